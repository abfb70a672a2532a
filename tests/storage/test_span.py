from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from onnxforge.errors import ExternalDataError
from onnxforge.storage import Span, is_external, is_parked, maps_kept, to_array
from onnxforge.storage.span import _maps, stamp


def external(location: str | bytes = "w.bin", **entries: object) -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.UINT8, dims=[8])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "w.bin").write_bytes(bytes(range(16)))
    (tmp_path / "secret").write_bytes(bytes(16))
    return folder


def test_an_inline_tensor_has_no_span(folder: Path) -> None:
    tensor = TensorProto(data_type=TensorProto.UINT8, dims=[1], raw_data=b"x")
    assert Span.of(tensor, folder) is None
    assert not is_external(tensor)
    assert not is_parked(tensor)


def test_external_data_is_found_in_the_folder(folder: Path) -> None:
    tensor = external(offset=4, length=8)
    assert Span.of(tensor, folder) == Span(str(folder / "w.bin"), 4, 8)
    assert is_external(tensor)
    assert to_array(tensor, folder).tolist() == list(range(4, 12))


def test_without_a_length_it_is_what_the_shape_says(folder: Path) -> None:
    assert Span.of(external(), folder) == Span(str(folder / "w.bin"), 0, 8)


def test_data_in_a_folder_below_is_found(folder: Path) -> None:
    (folder / "weights").mkdir()
    (folder / "w.bin").rename(folder / "weights" / "w.bin")
    assert Span.of(external("weights/w.bin"), folder) is not None


@pytest.mark.parametrize(
    "location", ["../secret", "sub/../../secret", "..\\secret", "..", "", ".", "a\0b", "none.bin"]
)
def test_a_location_that_is_no_file_of_the_folder_is_refused(folder: Path, location: str) -> None:
    with pytest.raises(ExternalDataError, match="'w'"):
        Span.of(external(location), folder)


def test_a_link_out_of_the_folder_is_refused(folder: Path) -> None:
    (folder / "link.bin").symlink_to(folder.parent / "secret")
    with pytest.raises(ExternalDataError, match="link out of"):
        Span.of(external("link.bin"), folder)
    (folder / "up").symlink_to(folder.parent)
    with pytest.raises(ExternalDataError, match="link out of"):
        Span.of(external("up/secret"), folder)


def test_a_link_within_the_folder_is_followed(folder: Path) -> None:
    (folder / "link.bin").symlink_to("w.bin")
    assert Span.of(external("link.bin"), folder) == Span(str(folder / "w.bin"), 0, 8)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no such files here")
def test_a_pipe_is_refused_without_waiting_for_it(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(ExternalDataError, match="regular file"):
        Span.of(external("pipe"), folder)


@pytest.mark.parametrize("number", ["-1", "1_0", " 1", "٣", "1e3", "9" * 5000, "0x10"])
@pytest.mark.parametrize("key", ["offset", "length"])
def test_a_number_that_is_none_is_refused(folder: Path, key: str, number: str) -> None:
    with pytest.raises(ExternalDataError, match=key):
        Span.of(external(**{key: number}), folder)


def test_a_short_file_is_refused_with_both_sizes(folder: Path) -> None:
    with pytest.raises(ExternalDataError, match=r"'w' in 'w\.bin'.*10 to 18.*ends at 16"):
        Span.of(external(offset=10, length=8), folder)


def test_one_key_with_two_values_is_refused(folder: Path) -> None:
    tensor = external()
    tensor.external_data.add(key="location", value="/etc/passwd")
    with pytest.raises(ExternalDataError, match="several"):
        Span.of(tensor, folder)


def test_a_name_that_is_no_text_is_refused(folder: Path) -> None:
    tensor = TensorProto.FromString(
        external("wxyz").SerializeToString().replace(b"wxyz", b"\xff" * 4)
    )
    with pytest.raises(ExternalDataError):
        Span.of(tensor, folder)


def test_a_model_without_a_folder_has_no_external_data() -> None:
    with pytest.raises(ExternalDataError, match="no folder"):
        Span.of(external(), None)


def test_a_parked_tensor_finds_its_bytes_again(folder: Path) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.UINT8, dims=[4], raw_data=b"gone")
    span = Span(str(folder / "w.bin"), 3, 4)
    span.park(tensor)
    assert is_parked(tensor)
    assert not tensor.HasField("raw_data")
    assert Span.of(tensor) == span
    assert to_array(tensor).tolist() == [3, 4, 5, 6]


def test_a_file_replaced_since_is_noticed(folder: Path) -> None:
    file = folder / "w.bin"
    tensor = TensorProto(name="w", data_type=TensorProto.UINT8, dims=[4])
    Span(str(file), 0, 4).park(tensor, stamp=stamp(file.stat()))
    assert Span.of(tensor) is not None
    file.write_bytes(bytes(17))
    with pytest.raises(ExternalDataError, match="load the model again"):
        Span.of(tensor)


def test_the_bytes_are_read_only_whether_read_or_mapped(tmp_path: Path) -> None:
    file = tmp_path / "large"
    content = np.arange(300_000, dtype=np.uint8)
    file.write_bytes(content.tobytes())
    for span in (Span(str(file), 1, 10), Span(str(file), 7, 200_000), Span(str(file), 5, 0)):
        array = span.map()
        assert array.tolist() == content[span.offset : span.offset + span.length].tolist()
        assert not array.flags.writeable


def test_many_mappings_of_one_file_take_one_descriptor(tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(bytes(1 << 20))
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
    arrays = [Span(str(file), offset, 1 << 17).map() for offset in range(2000)]
    assert len(arrays) == 2000
    if before:
        assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2


def test_of_what_nobody_holds_only_the_file_read_last_stays_mapped(tmp_path: Path) -> None:
    spans = [Span(str(tmp_path / name), 0, 1 << 17) for name in "ab"]
    for each in spans:
        Path(each.path).write_bytes(bytes(1 << 17))
    before = len(_maps)
    with maps_kept():
        for _ in range(3):
            assert [len(each.map()) for each in spans] == [1 << 17] * 2
            assert len(_maps) == before + 1
    assert len(_maps) == before


def test_a_mapping_outlives_a_replacement_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(b"a" * 100_000)
    span = Span(str(file), 0, 100_000)
    old = span.map()
    (tmp_path / "new").write_bytes(b"b" * 100_000)
    (tmp_path / "new").replace(file)
    assert bytes(old[:1]) == b"a"
    assert bytes(span.map()[:1]) == b"b"


def test_a_file_gone_or_cut_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(ExternalDataError):
        Span(str(tmp_path / "none"), 0, 1).map()
    (tmp_path / "short").write_bytes(b"x")
    with pytest.raises(ExternalDataError, match="ends at 1"):
        Span(str(tmp_path / "short"), 0, 2).map()
