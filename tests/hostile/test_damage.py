from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, numpy_helper

import onnxforge
from hostile.ordeal import command, command_all, endure
from onnxforge.errors import ExternalDataError, InvalidModelError
from onnxforge.testing import model

CONV = """g (float[N,3,4,4] x) => (float[N,3,2,2] y)
    <float[3,3,3,3] W, float[3] s, float[3] b, float[3] m, float[3] v>
    { i = Identity(x) c = Conv(i, W) n = BatchNormalization(c, s, b, m, v) e = Sigmoid(n)
      y = Mul(n, e) }"""
BODIES = """g (float[2,3] x, bool q) => (float[2,3] y) <bool c = {1}, int64 n = {3}, float[3] k = {1,2,3}>
    { a = If(c) <then_branch = t () => (float[2,3] p) { p = Mul(x, k) },
                 else_branch = e () => (float[2,3] p2) { p2 = Neg(x) }>
      l = Loop(n, c, a) <body = b (int64 i, bool go, float[2,3] s) => (bool again, float[2,3] r)
            { again = Identity(go) r = Add(s, x) }>
      y = If(q) <then_branch = t () => (float[2,3] o) { o = Relu(l) },
                 else_branch = e () => (float[2,3] o2) { o2 = Identity(l) }> }"""
FUNCTIONS = """<ir_version: 10, opset_import: ["" : 17, "d" : 1]>
    g (float[N,3] x) => (float[N,3] y) <float[2] u = {1,2}, float[2] w = {3,4}>
    { s = Add(u, w) z = Shape(s) y = d.outer<a=0.5>(x) }
    <domain: "d", opset_import: ["" : 17, "d" : 1]>
    outer<a> (x) => (y) { k = Constant<value_float=2.0>() t = Mul(x, k) y = d.inner<b: float = @a>(t) }
    <domain: "d", opset_import: ["" : 17]>
    inner<b> (x) => (y) { y = LeakyRelu<alpha: float = @b>(x) }"""


@functools.cache
def sources() -> list[bytes]:
    return [model(text).SerializeToString() for text in (CONV, BODIES, FUNCTIONS)]


@functools.cache
def with_external_data(folder: Path) -> bytes:
    """A model, large enough to be split, with its data in a file beside it."""
    proto = model("g (float[1,128] x) => (float[1,128] y) { m = MatMul(x, W) y = Add(m, B) }")
    random = np.random.default_rng(0)
    for name, shape in (("W", (128, 128)), ("B", (128,))):
        array = random.standard_normal(shape).astype("f4")
        proto.graph.initializer.append(numpy_helper.from_array(array, name))
    path = folder / "source.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="source.data", size_threshold=1024)
    return path.read_bytes()


damage = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=3
)
STEADY = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


def spoiled(data: bytes, changes: list[tuple[float, int]]) -> bytes:
    copy = bytearray(data)
    for place, byte in changes:
        copy[int(place * len(copy))] = byte
    return bytes(copy)


@STEADY
@given(st.integers(0, 2), damage)
def test_changed_bytes_are_a_typed_error_or_another_model(which: int, changes):
    endure(spoiled(sources()[which], changes))


@STEADY
@given(st.integers(0, 2), st.floats(0, 1, exclude_max=True))
def test_a_truncated_model_is_a_typed_error_or_another_model(which: int, place: float):
    data = sources()[which]
    endure(data[: int(place * len(data))])


@STEADY
@given(damage)
def test_changed_bytes_of_a_model_with_a_data_file_are_no_way_out(tmp_path_factory, changes):
    folder = tmp_path_factory.getbasetemp()
    path = folder / "damaged.onnx"
    path.write_bytes(spoiled(with_external_data(folder), changes))
    endure(path)


@STEADY
@given(damage)
def test_changed_bytes_of_a_large_file_are_found_when_it_is_split(tmp_path_factory, changes):
    proto = ModelProto.FromString(sources()[1])
    proto.graph.initializer.append(numpy_helper.from_array(np.ones(1 << 15, "f4"), "large"))
    data = proto.SerializeToString()
    head, tail = data[:800], data[-800:]
    ends = spoiled(head + tail, changes)
    path = tmp_path_factory.getbasetemp() / "large.onnx"
    path.write_bytes(ends[:800] + data[800:-800] + ends[800:])
    endure(path)


@pytest.mark.parametrize("keep", [0, 1, 7, 100, 1000])
def test_commands_survive_truncated_files(keep: int, capsys, tmp_path: Path):
    path = tmp_path / "m.onnx"
    path.write_bytes(sources()[0][:keep])
    command_all(capsys, path)


@pytest.mark.parametrize("seed", range(8))
def test_commands_survive_changed_bytes(seed: int, capsys, tmp_path: Path):
    random = np.random.default_rng(seed)
    changes = [
        (float(place), int(byte))
        for place, byte in zip(random.random(3), random.integers(0, 256, 3), strict=True)
    ]
    path = tmp_path / "m.onnx"
    path.write_bytes(spoiled(sources()[seed % 3], changes))
    command_all(capsys, path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 100,
        b"\xff" * 100,
        b"PK\x03\x04" + bytes(50),
        bytes(range(256)) * 400,
        b"<html>",
    ],
    ids=["empty", "zeros", "ones", "zip", "noise", "web page"],
)
def test_what_is_no_model_is_refused(content: bytes, capsys, tmp_path: Path):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(InvalidModelError):
        onnxforge.load(path).graph  # noqa: B018 - views are made when asked for
    for arguments in (("inspect", path), ("verify", path, path), ("optimize", path, "-o", "out")):
        assert command(capsys, *arguments) == 2


@pytest.mark.parametrize(
    "location",
    ["/etc/passwd", "../secret", "a/../../secret", "C:\\secret", "\\\\host\\secret", "", ".", "gone",
     "link", "sub/link/secret", "source.data\0", "x" * 5000, "con\nfig"],
)  # fmt: skip
def test_data_outside_of_the_models_folder_is_not_read(location: str, capsys, tmp_path: Path):
    (tmp_path / "secret").write_bytes(bytes(1 << 16))
    folder = tmp_path / "models"
    (folder / "sub").mkdir(parents=True)
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "sub" / "link").symlink_to(tmp_path)
    proto = ModelProto.FromString(with_external_data(folder))
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path = folder / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ExternalDataError):
        onnxforge.load(path).graph.values["W"].numpy()
    endure(path)
    assert command(capsys, "optimize", path, "-o", folder / "out.onnx") == 2
    assert not (folder / "out.onnx").exists()
    with_external_data.cache_clear()


@pytest.mark.parametrize(
    "entries",
    [
        {"offset": "-1"},
        {"offset": "99999999999999999999"},
        {"offset": "abc"},
        {"length": "-5"},
        {"length": "1"},
        {"length": str(2**62)},
        {"length": "1e3"},
        {"offset": "65536", "length": "65536"},
    ],
    ids=str,
)
def test_offsets_and_lengths_beyond_the_data_are_refused(
    entries: dict[str, str], capsys, tmp_path: Path
):
    proto = ModelProto.FromString(with_external_data(tmp_path))
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            entry.value = entries.get(entry.key, entry.value)
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(InvalidModelError):
        onnxforge.load(path).graph.values["W"].numpy()
    endure(path)
    command_all(capsys, path)
    with_external_data.cache_clear()


SAVER = """
import sys
from pathlib import Path
import onnxforge
source, target = map(Path, sys.argv[1:])
for index in range(10_000):
    model = onnxforge.load(source)
    model.proto.graph.doc_string = f"save {index}"
    model.save(target)
    print(index, flush=True)
"""


@pytest.mark.parametrize("wait", [0.0, 0.003, 0.011, 0.027])
def test_a_process_killed_while_it_saves_leaves_a_whole_file(wait: float, tmp_path: Path):
    proto = model("g (float[1] x) => (float[1] y) { y = Relu(x) }")
    size = 1 << 24
    proto.graph.initializer.append(numpy_helper.from_array(np.arange(size, dtype="u1"), "w"))
    source, target = tmp_path / "source.onnx", tmp_path / "target.onnx"
    source.write_bytes(proto.SerializeToString())
    saver = subprocess.Popen(
        [sys.executable, "-c", SAVER, str(source), str(target)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert saver.stdout is not None
    for _ in range(2):
        assert saver.stdout.readline().strip().isdigit(), "the first saves have to succeed"
    time.sleep(wait)
    saver.send_signal(signal.SIGKILL)
    assert saver.wait() == -signal.SIGKILL
    saver.stdout.close()
    found = ModelProto.FromString(target.read_bytes())
    assert found.graph.doc_string.startswith("save ")
    assert found.graph.initializer == proto.graph.initializer
    onnxforge.load(target).graph.values["w"].numpy()
