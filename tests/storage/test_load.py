from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto
from protos import everywhere, field, model, tensor

from onnxforge.errors import ExternalDataError, InvalidModelError
from onnxforge.storage import (
    is_parked,
    load_skeleton,
    materialize,
    skeleton_from_bytes,
    to_array,
    to_bytes,
)
from onnxforge.storage.load import SPLIT_FROM

LARGE = tensor("w", SPLIT_FROM)


def test_a_large_file_is_split_and_means_the_same(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(model(LARGE, tensor("small", 10)), path)
    skeleton = load_skeleton(path)
    assert skeleton.ByteSize() < 1000
    parked, small = skeleton.graph.initializer
    assert is_parked(parked)
    assert len(small.raw_data) == 10
    assert to_array(parked).tobytes() == LARGE.raw_data
    assert to_bytes(skeleton) == path.read_bytes()
    assert materialize(skeleton) == onnx.load(path)


def test_a_small_file_is_simply_read(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(everywhere(), path)
    assert load_skeleton(str(path)) == everywhere()


def test_every_place_of_a_tensor_reads_the_same_as_by_onnx(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    expected = everywhere()
    expected.graph.initializer.append(LARGE)
    path.write_bytes(expected.SerializeToString())
    assert materialize(load_skeleton(path)) == expected


def test_a_relative_path_holds_when_the_working_folder_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx.save(model(LARGE), tmp_path / "m.onnx")
    monkeypatch.chdir(tmp_path)
    skeleton = load_skeleton("m.onnx")
    monkeypatch.chdir("/")
    assert materialize(skeleton) == model(LARGE)


def test_a_model_beside_a_link_or_under_an_odd_name_loads(tmp_path: Path) -> None:
    onnx.save(model(LARGE), tmp_path / "m.onnx")
    (tmp_path / "location location ü.onnx").symlink_to("m.onnx")
    assert materialize(load_skeleton(tmp_path / "location location ü.onnx")) == model(LARGE)
    if os.name == "posix":
        odd = tmp_path / os.fsdecode(b"\xff.onnx")
        odd.write_bytes((tmp_path / "m.onnx").read_bytes())
        assert materialize(load_skeleton(odd)) == model(LARGE)


def test_a_missing_file_is_the_error_python_has_for_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_skeleton(tmp_path / "none.onnx")


@pytest.mark.skipif(os.name != "posix", reason="links take rights elsewhere")
def test_links_in_a_circle_are_the_error_python_has_for_them(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").symlink_to("m.onnx")
    with pytest.raises(OSError, match=r"m\.onnx"):
        load_skeleton(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"PK\x03\x04" + bytes(100), "torch.onnx.export"),
        (b"<!DOCTYPE html><html></html>", "download"),
        (b'<ir_version: 8, opset_import: ["": 17]>\n', "ONNX text"),
        (b'{"irVersion": "8"}', "JSON"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"\x18\x00\x00\x00ORTM" + bytes(20), "ONNX Runtime's own"),
        (b"\xde\xad\xbe\xef" * 10, "download it again"),
        (ModelProto(ir_version=8).SerializeToString(), "no graph"),
        (model(tensor("w", 100)).SerializeToString()[:-60], "damaged"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("size", [0, SPLIT_FROM])
def test_what_is_no_model_is_refused_with_its_name_and_a_remedy(
    tmp_path: Path, content: bytes, remedy: str, size: int
) -> None:
    path = tmp_path / "odd.onnx"
    if content and size:
        content += b"\xff" * size
    path.write_bytes(content)
    with pytest.raises(InvalidModelError, match=r"odd\.onnx: ") as caught:
        load_skeleton(path)
    assert size or remedy in str(caught.value)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelError, match="folder"):
        load_skeleton(tmp_path)


def test_bytes_that_are_no_model_are_refused() -> None:
    for data in (b"", b"\xff\xff", b"\x08\x01"):
        with pytest.raises(InvalidModelError):
            skeleton_from_bytes(data)


def absolute(location: str) -> TensorProto:
    result = TensorProto(name="thief", data_type=TensorProto.UINT8, dims=[8])
    result.data_location = TensorProto.EXTERNAL
    result.external_data.add(key="location", value=location)
    return result


@pytest.mark.parametrize("location", ["/etc/passwd", "C:\\secret", "\\\\server\\secret"])
@pytest.mark.parametrize("payload", [10, SPLIT_FROM])
def test_an_absolute_location_in_a_file_is_refused(
    tmp_path: Path, location: str, payload: int
) -> None:
    data = model(tensor("w", payload), absolute(location)).SerializeToString()
    (tmp_path / "m.onnx").write_bytes(data)
    with pytest.raises(ExternalDataError, match=r"'thief'.*absolute"):
        load_skeleton(tmp_path / "m.onnx")
    with pytest.raises(ExternalDataError, match=r"'thief'.*absolute"):
        skeleton_from_bytes(data)


def test_an_absolute_location_cannot_hide_behind_our_own(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    # The key spelled in an unusual encoding, after its value, in an attribute left as it is.
    entry = field(2, b"/etc/passwd") + field(1, b"location")
    thief = field(8, b"thief") + field(13, entry) + b"\x70\x01"
    doubled = field(5, LARGE.SerializeToString()) * 2
    node = field(1, field(5, doubled) + field(5, field(5, thief)))
    path.write_bytes(field(7, field(5, LARGE.SerializeToString()) + node))
    with pytest.raises(ExternalDataError, match="thief"):
        load_skeleton(path)


def test_a_model_written_to_after_loading_is_not_misread(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(model(LARGE), path)
    skeleton = load_skeleton(path)
    path.write_bytes(b"x" + path.read_bytes())
    with pytest.raises(ExternalDataError, match="load the model again"):
        to_array(skeleton.graph.initializer[0])


def test_detached_weights_run_in_onnx_runtime(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    from onnx import helper, numpy_helper

    from onnxforge.storage import detach

    weight = numpy_helper.from_array(np.arange(40_000, dtype=np.float32), "w")
    constant = helper.make_node("Constant", [], ["c"], value=weight)
    nodes = [constant, helper.make_node("Add", ["w", "c"], ["y"])]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [40_000])
    proto = helper.make_model(
        helper.make_graph(nodes, "g", [], [output], [weight]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    for external in (False, True):
        onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=external, location="m.data")
        skeleton = load_skeleton(tmp_path / "m.onnx")
        before = skeleton.SerializeToString()
        lean, arrays = detach(skeleton, tmp_path)
        assert skeleton.SerializeToString() == before
        assert list(arrays) == ["w"]
        options = onnxruntime.SessionOptions()
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in arrays.values()]
        options.add_external_initializers(list(arrays), values)
        session = onnxruntime.InferenceSession(lean.SerializeToString(), options)
        (result,) = session.run(None, {})
        assert result.tolist() == (2 * np.arange(40_000, dtype=np.float32)).tolist()
