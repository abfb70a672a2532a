from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from onnxforge import Graph, Pass, registry

Cli = Callable[..., Any]


def test_every_installed_pass_is_listed_with_a_sentence(cli: Cli) -> None:
    lines = cli("passes").stdout.splitlines()
    assert [line.split()[0] for line in lines] == sorted(registry.installed())
    assert all(len(line.split(maxsplit=1)) == 2 for line in lines)
    assert "BROKEN" not in " ".join(lines)


def test_a_rewrite_shows_what_it_looks_for(cli: Cli) -> None:
    shown = cli("passes", "conv-batch-norm-fusion").stdout
    assert shown.startswith("conv-batch-norm-fusion, from onnxforge ")
    assert "Fold an inference-mode BatchNormalization" in shown
    assert "BatchNormalization <training_mode: int = 0>" in shown


def test_a_pipeline_shows_its_members(cli: Cli) -> None:
    shown = cli("passes", "standard").stdout
    assert "  identity-elimination " in shown
    assert "  dead-node-elimination " in shown


@dataclass
class Example(Pass):
    """Do nothing.

    At length.
    """

    much: int = 3

    def run(self, graph: Graph) -> int:
        return len(graph) * 0


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass that is registered, and one that cannot be loaded."""
    point = EntryPoint("example", f"{__name__}:Example", registry.GROUP)
    broken = EntryPoint("broken", "no_such_module:Gone", registry.GROUP)
    monkeypatch.setattr(registry, "installed", lambda: {"example": point, "broken": broken})
    monkeypatch.setattr(EntryPoint, "load", lambda self: _loaded(self.name))


def _loaded(name: str) -> type[Pass]:
    if name == "broken":
        raise ModuleNotFoundError("No module named 'no_such_module'")
    return Example


@pytest.mark.usefixtures("example")
def test_a_pass_shows_its_documentation_and_its_options(cli: Cli) -> None:
    shown = cli("passes", "example").stdout.splitlines()
    assert shown[2:5] == ["Do nothing.", "", "At length."]
    assert shown[6:] == ["Options:", "  much  int  default 3"]


@pytest.mark.usefixtures("example")
def test_a_package_that_is_broken_does_not_hide_the_others(cli: Cli) -> None:
    done = cli("passes")
    assert done.exit_code == 0
    assert "example  Do nothing." in done.stdout
    assert "broken   BROKEN: " in done.stdout
    done = cli("passes", "broken")
    assert done.exit_code == 2
    assert "no_such_module" in done.stderr


def test_an_unknown_pass_is_one_line(cli: Cli) -> None:
    done = cli("passes", "nonsense")
    assert done.exit_code == 2
    assert done.stderr == "onnxforge: no pass called 'nonsense'; `onnxforge passes` lists them\n"
