"""Targets of other people: a file, or an installed package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from onnxforge import Model, TargetError, optimize, targets
from onnxforge.cli import app
from onnxforge.testing import model

ABACUS = {
    "title": "An abacus",
    "source": "counting its beads",
    "needs": ["fixed shapes"],
    "operators": {
        "Add": [{"dtypes": ["INT32"]}, {"since": 7, "dtypes": ["FLOAT"], "note": "slowly"}],
        "com.example:Carry": [{}],
    },
}
SUM = "g (float[2] x) => (float[2] y) { a = Add(x, x) y = Neg(a) }"


def write(folder: Path, data: object, name: str = "abacus") -> str:
    path = folder / f"{name}.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return str(path)


def test_a_file_is_a_target(tmp_path: Path) -> None:
    abacus = targets.load(Path(write(tmp_path, ABACUS)))
    assert (abacus.name, abacus.title, abacus.passes) == ("abacus", "An abacus", ("standard",))
    assert abacus.runs("Carry", "com.example")
    split = targets.partitions(Model(model(SUM)).graph, abacus)
    assert [len(group) for group in split.groups] == [1]
    assert list(split.refused.values()) == ["no kernel for Neg"]


def test_what_a_target_needs_holds_for_all_its_kernels(tmp_path: Path) -> None:
    abacus = targets.load(write(tmp_path, ABACUS))
    subject = Model(model(SUM.replace("[2]", "[N]")))
    reasons = list(targets.partitions(subject.graph, abacus).refused.values())
    assert reasons == ["Add needs fixed shapes", "no kernel for Neg"]


def test_a_file_can_be_like_another_target(tmp_path: Path) -> None:
    data = {"title": "A small CPU", "source": "this test", "like": "ort-cpu", "passes": []}
    small = targets.load(write(tmp_path, data))
    assert small.kernels == targets.load("ort-cpu").kernels
    assert not small.passes


def test_the_command_line_takes_a_file(tmp_path: Path) -> None:
    Model(model(SUM)).save(tmp_path / "m.onnx")
    path = write(tmp_path, ABACUS)
    done = CliRunner().invoke(app, ["inspect", str(tmp_path / "m.onnx"), "--target", path])
    assert done.exit_code == 0
    assert "on An abacus:" in done.output
    assert "according to counting its beads" in done.output


def test_no_pass_introduces_what_the_file_lacks(tmp_path: Path) -> None:
    text = (
        "g (float[1,3,8,8] x) => (float[1,4,6,6] y) <float[4,3,3,3] W> "
        "{ c = Conv(x, W) y = Relu(c) }"
    )
    result = optimize(model(text), "fused-conv-injection", target=write(tmp_path, ABACUS))
    assert [node.op_type for node in result.graph] == ["Conv", "Relu"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("no json", "no JSON"),
        ([1], "a target should be a JSON object"),
        (ABACUS | {"title": ""}, "it needs a text as 'title'"),
        (ABACUS | {"operator": {}}, "a target has no 'operator'; it may have like, needs"),
        (ABACUS | {"like": "onnx"}, "either 'operators' or"),
        (ABACUS | {"passes": "standard"}, "its 'passes' are no list"),
        (ABACUS | {"rest": 1}, "its 'rest' is no name"),
        (ABACUS | {"rest": "a human"}, "no target called 'a human'"),
        (ABACUS | {"operators": []}, "operators should be a JSON object"),
        (ABACUS | {"operators": {"Add": {}}}, "the kernels of Add are no list"),
        (ABACUS | {"operators": {"Add": [{"dtype": ["FLOAT"]}]}}, "a kernel of Add has no 'dtype'"),
        (ABACUS | {"operators": {"Add": [{"dtypes": ["float"]}]}}, "no element type 'float'"),
        (ABACUS | {"operators": {"Add": [{"dtypes": "FLOAT"}]}}, "'dtypes' of Add are no list"),
        (ABACUS | {"operators": {"Add": [{"since": "7"}]}}, "are no opset versions"),
        (ABACUS | {"operators": {"Add": [{"needs": ["luck"]}]}}, "Add needs 'luck', which is not"),
        ({"title": "a", "source": "b", "like": "abacus"}, "no target called 'abacus'"),
    ],
)
def test_a_file_that_is_no_target_says_why(data: object, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, data)
    with pytest.raises(TargetError, match=message):
        targets.load(path)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    Model(model(SUM)).save(tmp_path / "m.onnx")
    done = CliRunner().invoke(app, ["inspect", str(tmp_path / "m.onnx"), "--target", "no.json"])
    assert done.exit_code == 2
    assert "no.json: No such file" in done.output


def package(folder: Path, name: str, value: str) -> None:
    """A package as an installer leaves it: a module, and metadata with an entry point."""
    (folder / "forge_abacus.py").write_text(
        "from pathlib import Path\nfrom onnxforge import targets\n"
        "ABACUS = targets.read(Path(__file__).with_name('abacus.json'))\nNOTHING = 1\n"
    )
    write(folder, ABACUS)
    info = folder / "forge_abacus-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: forge-abacus\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[onnxforge.targets]\n{name} = forge_abacus:{value}\n")


def inspect(target: str, folder: Path) -> subprocess.CompletedProcess[str]:
    Model(model(SUM)).save(folder / "m.onnx")
    command = [sys.executable, "-m", "onnxforge", "inspect", str(folder / "m.onnx")]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(
        [*command, "--target", target], env=environment, capture_output=True, text=True, check=False
    )


def test_a_package_brings_a_target(tmp_path: Path) -> None:
    package(tmp_path, "abacus", "ABACUS")
    done = inspect("abacus", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "on An abacus:" in done.stdout
    unknown = inspect("slide-rule", tmp_path)
    assert unknown.returncode == 2
    assert "there are abacus, coreml" in unknown.stderr


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ort-cpu", "ABACUS", "registers a target 'ort-cpu', and there is another one"),
        ("abacus", "NOTHING", "registered as the target 'abacus', is no Target"),
        ("abacus", "MISSING", "cannot be loaded from forge_abacus:MISSING"),
    ],
)
def test_a_package_that_brings_no_target_is_named(
    name: str, value: str, message: str, tmp_path: Path
) -> None:
    package(tmp_path, name, value)
    done = inspect(name, tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
