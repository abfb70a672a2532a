from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from onnxforge.testing import model

Cli = Callable[..., Any]
RELU = "g (float[n, 2] x) => (float[n, 2] y) { y = Relu(x) }"
ABS = "g (float[n, 2] x) => (float[n, 2] y) { y = Abs(x) }"
LEAKY = "g (float[n, 2] x) => (float[n, 2] y) { y = LeakyRelu<alpha = 0.0>(x) }"
NOISE = "g (float[n, 2] x) => (float[n, 2] y) { a = RandomNormalLike(x)  y = Add(x, a) }"


@pytest.fixture
def paths(tmp_path: Path) -> Callable[..., list[Path]]:
    """The paths of models written to disk."""

    def save(*texts: str) -> list[Path]:
        found = [tmp_path / f"{number}.onnx" for number in range(len(texts))]
        for path, text in zip(found, texts, strict=True):
            onnx.save(model(text), path)
        return found

    return save


def test_models_that_do_the_same_are_status_0(cli: Cli, paths: Callable[..., list[Path]]) -> None:
    done = cli("verify", *paths(RELU, LEAKY))
    assert done.exit_code == 0, done.output
    assert "whole model: error 0.0e+00" in done.stdout


def test_models_that_differ_are_status_1(cli: Cli, paths: Callable[..., list[Path]]) -> None:
    done = cli("verify", *paths(RELU, ABS))
    assert done.exit_code == 1
    assert "NOT EQUIVALENT" in done.stdout
    assert "  y: error " in done.stdout


def test_what_cannot_be_compared_is_not_success(cli: Cli, paths: Callable[..., list[Path]]) -> None:
    done = cli("verify", *paths(NOISE, NOISE))
    assert done.exit_code == 1
    assert "UNCHECKED" in done.stdout


def test_inputs_of_ones_own_decide(
    cli: Cli, paths: Callable[..., list[Path]], tmp_path: Path
) -> None:
    np.savez(tmp_path / "positive.npz", x=np.ones((1, 2), np.float32))
    done = cli("verify", *paths(RELU, ABS), "--input", tmp_path / "positive.npz")
    assert done.exit_code == 0, done.output


def test_the_same_as_json(cli: Cli, paths: Callable[..., list[Path]]) -> None:
    found = json.loads(cli("verify", *paths(RELU, ABS), "--json").stdout)
    assert found["is_equivalent"] is False
    assert found["outputs"]["y"] > 0.1


def test_bad_input_is_one_line(cli: Cli, paths: Callable[..., list[Path]], tmp_path: Path) -> None:
    done = cli("verify", *paths(RELU), tmp_path / "missing.onnx")
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert "missing.onnx" in done.stderr
