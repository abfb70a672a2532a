"""An edit found wrong, kept so that it can be shown to somebody else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any
from zipfile import ZipFile

import numpy as np
from onnx import ModelProto

from .compare import is_float, magnitude

_TEST = Template('''\
"""$text

Fails as long as after.onnx computes something else than before.onnx from the inputs in feeds.npz.
Run `pytest $file`; it needs $needs.
"""

from pathlib import Path

import numpy as np
import onnx

HERE = Path(__file__).parent
TOLERANCE = $tolerance  # relative
FLOOR = $floor  # absolute: TOLERANCE in units of the scale of the result


def load_feeds(model):
    """The inputs; npz knows neither lists, nor strings as ONNX has them, nor narrow floats."""
    stored = dict(np.load(HERE / "feeds.npz"))
    feeds = {}
    for info in model.graph.input:
        if info.name in stored:
            array = stored[info.name]
            if array.dtype.kind == "U":
                array = array.astype(object)
            elif array.dtype.kind == "V":
                kind = info.type.tensor_type.elem_type
                array = array.view(onnx.helper.tensor_dtype_to_np_dtype(kind))
            feeds[info.name] = array
        else:
            count = sum(name.startswith(info.name + "#") for name in stored)
            feeds[info.name] = [stored[f"{info.name}#{index}"] for index in range(count)]
    return feeds


def run(name):
    """The first output, computed without the runtime's own optimizations."""
    model = onnx.load(HERE / name)
    feeds = load_feeds(model)
    if $reference:
        from onnx.reference import ReferenceEvaluator

        return ReferenceEvaluator(model).run(None, feeds)[0]
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)[0]


def assert_same(expected, actual):
    """Equal to within the tolerance; exactly, for all but floats."""
    if isinstance(expected, (list, tuple)):
        assert len(expected) == len(actual)
        for pair in zip(expected, actual):
            assert_same(*pair)
        return
    expected, actual = np.asarray(expected), np.asarray(actual)
    assert expected.dtype == actual.dtype
    assert expected.shape == actual.shape
    if expected.dtype.kind in "OSUbiu" or "int" in expected.dtype.name:
        assert expected.tolist() == actual.tolist()
        return
    wide = np.complex128 if expected.dtype.kind == "c" else np.float64
    np.testing.assert_allclose(
        actual.astype(wide), expected.astype(wide), rtol=TOLERANCE, atol=FLOOR, equal_nan=True
    )


def test_after_computes_what_before_does():
    assert_same(run("before.onnx"), run("after.onnx"))
''')


@dataclass(frozen=True)
class Failure:
    """An edit that was found wrong: the two regions, what they were run on, and what came out.

    `after_result` is None if the new region cannot be run on *feeds*, which the old one can.
    `runtime` says what ran them, `error` and `tolerance` are relative to the size of the result.
    """

    pass_name: str
    text: str
    before: ModelProto
    after: ModelProto
    feeds: Mapping[str, Any]
    before_result: Any
    after_result: Any
    error: float
    tolerance: float
    runtime: str

    def __str__(self) -> str:
        return f"{self.pass_name}: {self.text}" if self.pass_name else self.text

    def write(self, folder: Path | str) -> Path:
        """Write before.onnx, after.onnx, feeds.npz and test_reproducer.py; return the latter.

        The test needs pytest, onnx, numpy and ONNX Runtime (where that can run the two at all),
        not this library, and fails as long as the two differ.  *folder* is made if need be.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "before.onnx").write_bytes(self.before.SerializeToString())
        (folder / "after.onnx").write_bytes(self.after.SerializeToString())
        with ZipFile(folder / "feeds.npz", "w") as archive:
            # As np.savez does, which takes no array called `file`.
            for name, array in _storable(self.feeds).items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, array)
        is_reference = "reference" in self.runtime
        # Halved, since the two bounds of the test add up.
        test = _TEST.substitute(
            text=str(self).replace("\\", "\\\\").replace('"', "'"),
            file="test_reproducer.py",
            tolerance=repr(self.tolerance / 2),
            floor=repr(self.tolerance / 2 * _scale(self.before_result)),
            needs="onnx and numpy" if is_reference else "onnx, numpy and onnxruntime",
            reference=repr(is_reference),
        )
        path = folder / "test_reproducer.py"
        path.write_text(test, "utf-8")
        return path


def _scale(result: Any) -> float:
    array = np.asarray(result) if not isinstance(result, list | dict) else np.zeros(())
    return magnitude(array) if is_float(array.dtype) else 0.0


def _storable(feeds: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    stored: dict[str, np.ndarray[Any, Any]] = {}
    for name, feed in feeds.items():
        if isinstance(feed, list):
            stored |= {f"{name}#{index}": np.asarray(each) for index, each in enumerate(feed)}
        else:
            array = np.asarray(feed)
            stored[name] = array.astype(str) if array.dtype == object else array
    return stored
