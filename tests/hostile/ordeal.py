"""What every damaged or hostile model is put through."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

import onnxforge
from onnxforge import Model, OnnxForgeError, PassManager, registry
from onnxforge.cli import app
from onnxforge.errors import PassError
from onnxforge.inspection import inspect
from onnxforge.lint import lint
from onnxforge.opset import raise_opset

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def make(
    nodes: list[onnx.NodeProto],
    *,
    inputs: dict[str, object] | None = None,
    outputs: tuple[str, ...] = ("y",),
    weights: list[TensorProto] | None = None,
    opset: int = 17,
    functions: list[onnx.FunctionProto] | None = None,
) -> ModelProto:
    """A model nobody has checked."""
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info(name, FLOAT, shape)
            for name, shape in (inputs or {"x": [2]}).items()
        ],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
        weights or [],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("d", 1)]
    return helper.make_model(graph, ir_version=10, opset_imports=opsets, functions=functions or [])


def endure(source: bytes | Path) -> int:
    """Load, inspect and optimize a model; the number of steps that did not end in a typed error.

    A pass that trips over a model is no typed error: the manager only wraps it in one.
    """
    done = 0
    for step in (_inspect, _lint, _raise, *map(_optimize, registry.installed())):
        try:
            model = Model.load(source) if isinstance(source, Path) else Model.from_bytes(source)
            step(model)
            done += 1
        except OnnxForgeError as error:
            if isinstance(error, PassError) and not isinstance(error.__cause__, OnnxForgeError):
                raise
    return done


def _inspect(model: Model) -> None:
    inspect(model).to_dict()


def _lint(model: Model) -> None:
    lint(model, "1.29")


def _raise(model: Model) -> None:
    raise_opset(model, 24)
    model.to_bytes()


def _optimize(name: str):
    def optimize(model: Model) -> None:
        PassManager([registry.create(name)]).run(model)
        model.to_bytes()

    return optimize


def command(capsys: pytest.CaptureFixture[str], *args: object) -> int:
    """The status of a command, after asserting that it ended in order."""
    with pytest.raises(SystemExit) as end:
        app([str(each) for each in args], prog_name="onnxforge")
    told = capsys.readouterr().err
    assert "unexpected" not in told, told
    assert "Traceback" not in told, told
    assert end.value.code in (0, 1, 2)
    if end.value.code == 2:
        assert told.startswith("onnxforge: "), told
        assert told.count("\n") == 1, told
    return end.value.code


def command_all(capsys: pytest.CaptureFixture[str], path: Path, *, verify: bool = True) -> None:
    """Every command that reads a model, on this one."""
    out = path.with_suffix(".out.onnx")
    before = path.read_bytes()
    command(capsys, "inspect", path)
    command(capsys, "inspect", "--json", path)
    if verify:
        command(capsys, "verify", path, path)
    status = command(capsys, "optimize", path, "-o", out, *([] if verify else ["--no-verify"]))
    assert path.read_bytes() == before
    assert out.exists() == (status == 0)
    if out.exists():
        onnxforge.load(out)
