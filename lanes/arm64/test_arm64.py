"""The library on Arm64, under emulation: its tests, its passes, its results in XNNPACK.

Run by lanes/arm64/test.sh, which sets the lane up.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import emulation
import numpy as np
import pytest
from emulation import LANE, ROOT

import onnxforge
from onnxforge.bench import wheel
from onnxforge.bench.providers import CPU
from onnxforge.testing import model
from onnxforge.verify import feeds_for

CPUS = ["cortex-a72", "cortex-a76", "max"]  # a Raspberry Pi 4, a Raspberry Pi 5, and all there is
XNNPACK = "XnnpackExecutionProvider"
DIGITS = ROOT / "examples" / "digits.onnx"

CORE = ["tests/ir", "tests/shapes", "tests/test_pattern.py", "tests/test_rewrite.py"]
# What stands in tests/passes and tests no pass: numpy against ONNX Runtime, and an algorithm.
NO_PASS = ["tests/passes/test_numpy_kernels.py", "tests/passes/test_minimum_cut.py"]
PASSES = ["tests/passes", *(f"--ignore={path}" for path in NO_PASS)]

Record = Callable[[str, object], None]


def run_tests(cpu: str, *selected: str) -> str:
    """Run tests of the library on a CPU; pytest's last line."""
    options = ("-q", "-p", "no:cacheprovider", "-o", "addopts=", "--strict-markers")
    done = emulation.run(
        emulation.python(
            *("wheel", "-m", "pytest", *options, *selected),
            cpu=cpu,
            HYPOTHESIS_PROFILE="emulated",
        )
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize("cpu", ["cortex-a76"])
def test_the_graph_is_edited_right(cpu: str, record_property: Record) -> None:
    record_property(f"tests/ir on {cpu}", run_tests(cpu, "tests/ir"))


@pytest.mark.full
@pytest.mark.parametrize("cpu", CPUS)
def test_the_core_is_right(cpu: str, record_property: Record) -> None:
    record_property(f"core on {cpu}", run_tests(cpu, *CORE))


@pytest.mark.full
@pytest.mark.parametrize("cpu", CPUS)
def test_all_passes_are_equivalent(cpu: str, record_property: Record) -> None:
    record_property(f"passes on {cpu}", run_tests(cpu, *PASSES))


@pytest.mark.parametrize("cpu", CPUS)
def test_every_edit_of_the_pipeline_is_checked_on_a_network(
    cpu: str, tmp_path: Path, record_property: Record
) -> None:
    target = tmp_path / "digits.onnx"
    arguments = ("optimize", DIGITS, "-o", target, "--verify", "edits")
    done = emulation.run(emulation.python("wheel", "-m", "onnxforge", *arguments, cpu=cpu))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "REFUSED" not in done.stdout
    record_property(f"digits on {cpu}", done.stdout.strip().splitlines()[-1].split(": ")[1])


def test_xnnpack_runs_what_we_make_and_less_is_left_to_the_cpu(
    tmp_path: Path, record_property: Record
) -> None:
    optimized = tmp_path / "digits.onnx"
    onnxforge.optimize(DIGITS).save(optimized)
    feeds = feeds_for(onnxforge.load(DIGITS))
    before, after = (
        emulation.count({name: path}, feeds, "xnnpack")[name]
        for name, path in (("original", DIGITS), ("onnxforge", optimized))
    )
    assert after["nodes"][XNNPACK] >= 9  # its convolutions, at least
    assert after["nodes"][XNNPACK] >= before["nodes"][XNNPACK]
    assert after["nodes"][CPU] < before["nodes"][CPU]
    assert after["instructions"] < 1.001 * before["instructions"]
    for name, found in (("original", before), ("onnxforge", after)):
        record_property(
            f"digits in XNNPACK, {name}",
            f"{found['partitions']} partitions, {found['instructions']:,} instructions",
        )


def test_counts_repeat() -> None:
    feeds = feeds_for(onnxforge.load(DIGITS))
    found = emulation.count({"once": DIGITS, "again": DIGITS}, feeds, "cpu")
    once, again = (found[name]["instructions"] for name in ("once", "again"))
    assert once == pytest.approx(again, rel=0.002)


RUNS = """
import sys, numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
options.add_session_config_entry("session.disable_prepacking", sys.argv[4])
session = onnxruntime.InferenceSession(sys.argv[1], options)
feeds = dict(numpy.load(sys.argv[2]))
numpy.save(sys.argv[3], [session.run(None, feeds)[0] for _ in range(3)])
"""
GROUPS = (
    "g (float16[1,4,6] x) => (float16[1,6,4] y) <float16[6,2,3] w> { y = Conv<group = 2>(x, w) }"
)
HEADS = """
g (float16[1,2,4,4] q, float16[1,2,4,4] k, float16[1,2,4,4] v) => (float16[1,2,4,4] y) {
    y = Attention(q, k, v)
}
"""


def half_precision(text: str, folder: Path, no_prepacking: str = "0") -> Any:
    """What three runs of a model give in ONNX Runtime's half-precision kernels."""
    subject = onnxforge.Model(model(text, opset=23))
    subject.save(folder / "m.onnx")
    np.savez(folder / "feeds.npz", **feeds_for(subject))
    files = (folder / name for name in ("m.onnx", "feeds.npz", "out.npy"))
    done = emulation.run(emulation.python("wheel", "-c", RUNS, *files, no_prepacking))
    assert done.returncode == 0, done.stderr
    return np.load(folder / "out.npy").astype(np.float32)


@pytest.mark.full
def test_what_onnx_runtime_gets_wrong_is_what_the_page_says(tmp_path: Path) -> None:
    """If this fails because all is right, the page and two tests of passes can say less."""
    once, again, _ = half_precision(GROUPS, tmp_path)
    assert np.abs(once - again).max() > 0.1
    once, again, _ = half_precision(GROUPS, tmp_path, "1")
    np.testing.assert_array_equal(once, again)
    assert not half_precision(HEADS, tmp_path).any()
    assert half_precision(HEADS.replace("4,4]", "4,8]"), tmp_path).all()


@pytest.mark.full
def test_the_page_for_boards_can_be_followed_literally(tmp_path: Path) -> None:
    """Every line of its blocks that is marked as the board's, in a shell whose python3 is Arm64's."""
    page = (ROOT / "docs" / "arm64.md").read_text()
    steps = re.findall(r"^```sh title=\"on the board\"\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(steps) >= 3
    _board_archive(tmp_path)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    path = f"{LANE}/wheel/usr/bin:{os.environ['PATH']}"
    for step in steps:
        script = f"set -e\n{step.replace('sudo apt install', ': sudo apt install')}"
        done = subprocess.run(
            ["bash", "-c", script],
            check=False,
            cwd=tmp_path,
            env=clean | {"PATH": path, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{step}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    assert "onnxforge.onnx" in (tmp_path / "results.json").read_text()
    assert '"aarch64"' in (tmp_path / "results.json").read_text()
    assert (tmp_path / "results.html").stat().st_size > 1000


def _board_archive(folder: Path) -> None:
    """A bundle.zip like that of `make bundle`, with one small model."""
    bundle = folder / "made" / "bundle"
    bundle.mkdir(parents=True)
    shutil.copy(DIGITS, bundle / "digits.original.onnx")
    onnxforge.optimize(DIGITS).save(bundle / "digits.onnxforge.onnx")
    feeds: dict[str, Any] = feeds_for(onnxforge.load(DIGITS))
    np.savez(bundle / "digits.npz", **feeds)
    (bundle / "suite.json").write_text(
        '{"models": [{"name": "digits", "feeds": "digits.npz", "variants": '
        '{"onnxforge": "digits.onnxforge.onnx", "original": "digits.original.onnx"}}]}'
    )
    wheel.build(folder / "made")
    shutil.make_archive(str(folder / "bundle"), "zip", folder / "made")
    shutil.rmtree(folder / "made")
