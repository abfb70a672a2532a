"""Passes are found by name, ours and a stranger's by the same door."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest

from onnxforge import Graph, Pass, registry
from onnxforge.errors import PassOptionError, UnknownPassError
from onnxforge.testing import model
from onnxforge_passes import DeadNodeElimination, IdentityElimination

PLUGINS = Path(__file__).parent / "plugin"


def install(name: str, target: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"]
    options = ["--no-build-isolation", "--disable-pip-version-check", "--target", str(target)]
    subprocess.run([*command, *options, str(PLUGINS / name)], check=True)


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with one foreign pass."""
    target = tmp_path_factory.mktemp("site")
    install("double_negation", target)
    return target


def run(*arguments: str, path: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(path)}
    command = [sys.executable, "-m", "onnxforge", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_foreign_pass_is_listed_and_described_with_its_owner(plugin: Path) -> None:
    listed = run("passes", path=plugin)
    assert "double-negation" in listed.stdout
    assert "Read past two negations in a row." in listed.stdout
    described = run("passes", "double-negation", path=plugin).stdout
    assert "forge-double-negation 1.2" in described
    assert "enabled  bool  default True" in described
    assert "Neg (x)" in described


def test_a_foreign_pass_runs_by_name_and_takes_options(plugin: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "in.onnx", tmp_path / "out.onnx"
    text = "g (float[2] x) => (float[2] y) { a = Neg(x)  b = Neg(a)  y = Relu(b) }"
    onnx.save(model(text), source)
    command = ("optimize", str(source), "-o", str(target), "--no-verify", "-p")
    done = run(*command, "double-negation", path=plugin)
    assert done.returncode == 0, done.stderr
    assert [node.op_type for node in onnx.load(target).graph.node] == ["Relu"]
    done = run(*command, "double-negation(enabled=False)", path=plugin)
    assert "left 1 alone: it is switched off" in done.stdout
    done = run(*command, "double-negation(enabled=maybe)", path=plugin)
    assert done.returncode == 2
    assert "should be of type bool" in done.stderr


def test_a_name_claimed_twice_names_both_owners(plugin: Path, tmp_path: Path) -> None:
    install("clash", tmp_path)
    both = os.pathsep.join((str(plugin), str(tmp_path)))
    done = run("passes", path=Path(both))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    for part in ("double-negation", "forge-double-negation", "forge-clash"):
        assert part in done.stderr


def test_names_instances_and_lists_of_both_mean_passes() -> None:
    expected = [IdentityElimination, DeadNodeElimination]

    def types(passes: object) -> list[type]:
        return [type(each) for each in registry.resolve(passes)]  # type: ignore[arg-type]

    assert types("identity-elimination, dead-node-elimination") == expected
    assert types(["identity-elimination", DeadNodeElimination()]) == expected
    assert types([IdentityElimination, ["dead-node-elimination"]]) == expected
    assert types("") == types([]) == []
    with pytest.raises(TypeError, match="no pass"):
        registry.resolve(3)  # type: ignore[arg-type]


def test_options_are_literals_and_commas_inside_them_do_not_split() -> None:
    parts = registry._split("a(x=[1, 2], y=',)'), b , c()")
    assert parts == ["a(x=[1, 2], y=',)')", "b", "c()"]
    assert registry._parse(parts[0]) == ("a", {"x": [1, 2], "y": ",)"})
    assert registry._parse("a(mode=fast, n=-1)") == ("a", {"mode": "fast", "n": -1})


@pytest.mark.parametrize(
    "spec",
    ["a(", "a(1)", "a(x=)", "a(x=f())", "a(x=1", "a(**x)", "a(x=1))", "a(x=1)b", "a(x=1, x=2)"],
)
def test_what_is_no_option_list_is_refused_in_words(spec: str) -> None:
    with pytest.raises(PassOptionError, match="cannot read"):
        registry.create(spec)


def test_an_unknown_pass_says_where_to_look() -> None:
    with pytest.raises(UnknownPassError, match="'nonsense'; `onnxforge passes` lists them"):
        registry.create("nonsense")


def test_every_installed_entry_loads() -> None:
    for name in registry.installed():
        found = registry.load(name)
        assert isinstance(found, Pass) or issubclass(found, Pass)


def test_an_option_that_is_needed_is_asked_for() -> None:
    with pytest.raises(PassOptionError, match=r"scaling needs by: write scaling\(by=value\)"):
        registry.resolve([Scaling])


@dataclass
class Scaling(Pass):
    by: int

    def run(self, graph: Graph) -> int:
        return len(graph) * 0
