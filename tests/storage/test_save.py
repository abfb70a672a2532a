from __future__ import annotations

import errno
import importlib
import os
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto
from protos import everywhere, model, tensor

from onnxforge.errors import ExternalDataError, InvalidModelError
from onnxforge.storage import (
    Scratch,
    files,
    from_array,
    is_external,
    load_skeleton,
    materialize,
    save,
    to_array,
    to_bytes,
    write,
)
from onnxforge.storage.load import SPLIT_FROM
from onnxforge.storage.scratch import RESERVED

# The function of that name hides the module.
saving = importlib.import_module("onnxforge.storage.save")

LARGE = tensor("w", SPLIT_FROM)


def listed(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def inline(tmp_path: Path) -> Path:
    """A model in one file, its fields in an order protobuf would not write."""
    path = tmp_path / "m.onnx"
    path.write_bytes(model(LARGE, tensor("v", 5000)).SerializeToString())
    return path


@pytest.fixture
def external(tmp_path: Path) -> Path:
    """A model with a data file, in a folder of its own."""
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "m.onnx"
    proto = model(LARGE, tensor("v", SPLIT_FROM), tensor("small", 10))
    onnx.save(proto, path, save_as_external_data=True, location="weights.bin")
    return path


def edited(path: Path) -> ModelProto:
    proto = load_skeleton(path)
    proto.graph.name = "edited"
    return proto


def whole(path: Path) -> ModelProto:
    """What ONNX itself reads, payloads inline and without traces of where they were."""
    proto = onnx.load(path)
    for each in proto.graph.initializer:
        each.ClearField("data_location")
    return proto


def test_an_unedited_model_is_copied_byte_for_byte(tmp_path: Path) -> None:
    # An order of fields that protobuf would not write.
    proto = model(LARGE)
    graph = proto.graph.SerializeToString()
    proto.ClearField("graph")
    odd = ModelProto(graph=onnx.GraphProto.FromString(graph)).SerializeToString()
    source = tmp_path / "m.onnx"
    source.write_bytes(odd + proto.SerializeToString())
    save(load_skeleton(source), tmp_path / "o.onnx", folder=tmp_path, source=source)
    assert (tmp_path / "o.onnx").read_bytes() == source.read_bytes()
    assert to_bytes(load_skeleton(source)) != source.read_bytes()


def test_an_edited_model_differs_by_the_edit(inline: Path) -> None:
    out = inline.with_name("o.onnx")
    save(edited(inline), out, folder=inline.parent, source=inline)
    expected = onnx.load(inline)
    expected.graph.name = "edited"
    assert out.read_bytes() == expected.SerializeToString()
    assert listed(inline.parent) == ["m.onnx", "o.onnx"]


def test_every_place_of_a_tensor_is_written_back(tmp_path: Path) -> None:
    proto = everywhere()
    proto.graph.initializer.append(LARGE)
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    save(edited(tmp_path / "m.onnx"), tmp_path / "o.onnx", folder=tmp_path)
    proto.graph.name = "edited"
    assert (tmp_path / "o.onnx").read_bytes() == proto.SerializeToString()


def test_new_weights_come_from_the_scratch_file(inline: Path) -> None:
    scratch = Scratch()
    proto = load_skeleton(inline)
    array = np.arange(100_000, dtype=np.float32)
    proto.graph.initializer.append(from_array(array, "new", scratch))
    out = inline.with_name("o.onnx")
    save(proto, out, folder=inline.parent, source=inline)
    *old, new = onnx.load(out).graph.initializer
    assert onnx.numpy_helper.to_array(new).tolist() == array.tolist()
    assert old == list(onnx.load(inline).graph.initializer)


def test_a_model_can_be_saved_over_itself_and_used_on(inline: Path) -> None:
    proto = edited(inline)
    # Bytes in front of the payloads, so that each is elsewhere afterwards.
    proto.graph.initializer[0].name = "a much longer name"
    for round_ in range(3):
        proto.producer_name = "p" * round_
        save(proto, inline, folder=inline.parent, source=inline)
        assert to_array(proto.graph.initializer[0]).tobytes() == LARGE.raw_data
        assert materialize(proto) == onnx.load(inline)
    assert listed(inline.parent) == ["m.onnx"]


def test_saving_over_a_link_replaces_what_it_points_to(inline: Path) -> None:
    link = inline.with_name("link.onnx")
    link.symlink_to("m.onnx")
    save(edited(link), link, folder=inline.parent, source=link)
    assert link.is_symlink()
    assert onnx.load(inline).graph.name == "edited"


def test_saving_an_unedited_model_over_itself_touches_nothing(inline: Path) -> None:
    before = inline.stat()
    save(load_skeleton(inline), inline, folder=inline.parent, source=inline)
    assert (inline.stat().st_ino, inline.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("call", ["write", "fsync", "replace", "copy"])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    inline: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "no space left on device")

    before = inline.read_bytes()
    proto = edited(inline)
    if call == "replace":
        monkeypatch.setattr(Path, "replace", fail)
    elif call == "copy":
        monkeypatch.setattr(files, "GATHERED", 0)
        monkeypatch.setattr(files, "_PAGE", 1)
        monkeypatch.setattr(os, "copy_file_range", fail)
    else:
        monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="no space") as caught:
        save(proto, inline, folder=inline.parent)
    assert call == "replace" or caught.value.filename == str(inline)
    assert inline.read_bytes() == before
    assert listed(inline.parent) == ["m.onnx"]
    assert to_array(proto.graph.initializer[0]).tobytes() == LARGE.raw_data


@pytest.mark.parametrize("can_reserve", [True, False])
def test_large_files_have_their_length_whether_or_not_the_kernel_reserves_it(
    tmp_path: Path, can_reserve: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def reserve(file: int, offset: int, length: int) -> None:
        asked.append((offset, length))
        if not can_reserve:
            raise OSError(errno.EOPNOTSUPP, "not on this file system")
        os.truncate(file, offset + length)

    monkeypatch.setattr(os, "posix_fallocate", reserve, raising=False)
    target = tmp_path / "large"
    write(target, b"x" * RESERVED, b"y")
    assert target.read_bytes() == b"x" * RESERVED + b"y"
    scratch = Scratch()
    span = scratch.add(np.arange(RESERVED, dtype=np.float32))
    assert span.map().view(np.float32).tolist() == list(range(RESERVED))
    assert asked == [(0, RESERVED + 1), (0, 4 * RESERVED)]


def test_a_source_that_changed_is_an_error_not_a_wrong_model(inline: Path) -> None:
    proto = load_skeleton(inline)
    inline.write_bytes(model(tensor("other", SPLIT_FROM)).SerializeToString())
    with pytest.raises(ExternalDataError, match="load the model again"):
        save(proto, inline.with_name("o.onnx"), folder=inline.parent, source=inline)
    assert listed(inline.parent) == ["m.onnx"]


@pytest.mark.parametrize("page", [1, 1 << 40], ids=["aligned", "not aligned"])
@pytest.mark.parametrize("how", [errno.EXDEV, 0], ids=["error", "nothing copied"])
def test_without_the_kernel_s_copy_the_bytes_are_the_same(
    inline: Path, page: int, how: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        if how:
            raise OSError(how, "not between these")
        return 0

    monkeypatch.setattr(files, "GATHERED", 0)
    monkeypatch.setattr(files, "_PAGE", page)
    monkeypatch.setattr(os, "copy_file_range", refuse)
    out = inline.with_name("o.onnx")
    save(edited(inline), out, folder=inline.parent)
    expected = onnx.load(inline)
    expected.graph.name = "edited"
    assert out.read_bytes() == expected.SerializeToString()


def test_the_mode_of_a_file_stays_and_a_new_one_follows_the_umask(inline: Path) -> None:
    inline.chmod(0o640)
    save(edited(inline), inline, folder=inline.parent)
    assert inline.stat().st_mode & 0o777 == 0o640
    plain = inline.with_name("plain")
    plain.touch()
    write(inline.with_name("o.onnx"), b"x")
    assert inline.with_name("o.onnx").stat().st_mode == plain.stat().st_mode


def test_a_folder_or_a_missing_one_is_an_error(inline: Path) -> None:
    with pytest.raises(IsADirectoryError, match="name the file"):
        save(edited(inline), inline.parent, folder=inline.parent)
    with pytest.raises(FileNotFoundError, match=r"m\.onnx"):
        save(edited(inline), inline.parent / "none" / "m.onnx", folder=inline.parent)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no such files here")
def test_a_pipe_is_written_to_and_stays_one(inline: Path) -> None:
    pipe = inline.with_name("pipe")
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    save(load_skeleton(inline), pipe, folder=inline.parent, source=inline)
    reader.join()
    assert read == [inline.read_bytes()]
    assert pipe.is_fifo()


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="no such folder here")
def test_a_pipe_without_a_name_is_read_and_written() -> None:
    small = model(tensor("w", 8))
    reading, writing = os.pipe()
    save(small, f"/dev/fd/{writing}", folder=None)
    os.close(writing)
    assert load_skeleton(f"/dev/fd/{reading}") == small
    os.close(reading)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device here")
def test_a_device_that_is_full_is_named(inline: Path) -> None:
    with pytest.raises(OSError, match="/dev/full"):
        save(edited(inline), "/dev/full", folder=inline.parent)


# External data


def test_external_data_on_request(inline: Path) -> None:
    out = inline.with_name("o.onnx")
    save(load_skeleton(inline), out, folder=inline.parent, source=inline, external_data=True)
    assert listed(inline.parent) == ["m.onnx", "o.onnx", "o.onnx.data"]
    assert whole(out) == onnx.load(inline)
    onnx.checker.check_model(out)
    offsets = [
        int(entry.value)
        for each in load_skeleton(out).graph.initializer
        for entry in each.external_data
        if entry.key == "offset"
    ]
    assert len(offsets) == 2
    assert all(offset % 64 == 0 for offset in offsets)


def test_external_data_is_the_same_every_time(inline: Path) -> None:
    first, second = inline.with_name("o.onnx"), inline.parent / "again" / "o.onnx"
    second.parent.mkdir()
    for out in (first, second, second):
        save(load_skeleton(inline), out, folder=inline.parent, external_data=True)
    for name in ("o.onnx", "o.onnx.data"):
        assert (first.parent / name).read_bytes() == (second.parent / name).read_bytes()


def test_only_initializers_of_the_threshold_leave_the_file(tmp_path: Path) -> None:
    proto = everywhere()
    proto.graph.initializer.append(LARGE)
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    out = tmp_path / "o.onnx"
    skeleton = load_skeleton(tmp_path / "m.onnx")
    save(skeleton, out, folder=tmp_path, external_data=True, threshold=47)
    assert str(load_skeleton(out)).count("EXTERNAL") == 3  # training's 48 and 49, and the large one
    assert materialize(load_skeleton(out), tmp_path) == proto


def test_one_payload_used_twice_is_written_once(inline: Path) -> None:
    proto = load_skeleton(inline)
    proto.graph.initializer.add().CopyFrom(proto.graph.initializer[0])
    proto.graph.initializer[2].name = "again"
    save(proto, inline.with_name("o.onnx"), folder=inline.parent, external_data=True)
    assert inline.with_name("o.onnx.data").stat().st_size < SPLIT_FROM + 5000 + 64
    assert to_array(load_skeleton(inline.with_name("o.onnx")).graph.initializer[2], inline.parent
    ).tobytes() == LARGE.raw_data  # fmt: skip


def test_data_files_are_copied_along(external: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "o.onnx"
    out.parent.mkdir()
    for proto in (load_skeleton(external), edited(external)):
        for _ in range(2):
            save(proto, out, folder=external.parent, source=external)
            assert listed(out.parent) == ["o.onnx", "weights.bin"]
            assert whole(out).graph.initializer == whole(external).graph.initializer
    assert not (out.parent / "weights.bin").samefile(external.parent / "weights.bin")
    onnx.checker.check_model(out)


def test_in_the_same_folder_data_files_are_shared(external: Path) -> None:
    before = (external.parent / "weights.bin").stat()
    save(edited(external), external.with_name("o.onnx"), folder=external.parent, source=external)
    assert listed(external.parent) == ["m.onnx", "o.onnx", "weights.bin"]
    assert (external.parent / "weights.bin").stat().st_ino == before.st_ino
    assert whole(external.with_name("o.onnx")).graph.initializer == (
        whole(external).graph.initializer
    )


def test_a_data_file_is_never_written_over_another(external: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "o.onnx"
    out.parent.mkdir()
    (out.parent / "weights.bin").write_bytes(b"someone's")
    expected = whole(external)
    save(load_skeleton(external), out, folder=external.parent, source=external)
    assert (out.parent / "weights.bin").read_bytes() == b"someone's"
    assert listed(out.parent) == ["o.onnx", "o.onnx.data", "weights.bin"]
    assert whole(out) == expected


def test_few_new_weights_go_into_the_file(external: Path) -> None:
    proto = load_skeleton(external)
    proto.graph.initializer.append(tensor("new", 2000))
    out = external.with_name("o.onnx")
    save(proto, out, folder=external.parent, source=external)
    assert listed(external.parent) == ["m.onnx", "o.onnx", "weights.bin"]
    assert whole(out).graph.initializer[3] == tensor("new", 2000)


@pytest.mark.parametrize("name", ["o.onnx", "m.onnx"])
def test_many_new_weights_get_a_fresh_data_file(external: Path, name: str) -> None:
    scratch = Scratch()
    proto = load_skeleton(external)
    array = np.arange(100_000, dtype=np.float32)
    proto.graph.initializer[1].CopyFrom(from_array(array, "v", scratch))
    out = external.with_name(name)
    save(proto, out, folder=external.parent, source=external)
    assert f"{name}.data" in listed(external.parent)
    for skeleton in (proto, load_skeleton(out)):
        first, second, _ = skeleton.graph.initializer
        assert to_array(first, external.parent).tobytes() == LARGE.raw_data
        assert to_array(second, external.parent).tolist() == array.tolist()


@pytest.mark.parametrize(("dropped", "packs"), [("small", False), ("v", True)])
def test_a_data_file_that_is_unused_in_part_is_not_kept(
    tmp_path: Path, dropped: str, packs: bool
) -> None:
    path = tmp_path / "m.onnx"
    proto = model(tensor("w", 50 * SPLIT_FROM), tensor("v", SPLIT_FROM), tensor("small", 2000))
    onnx.save(proto, path, save_as_external_data=True, location="weights.bin")
    fewer = load_skeleton(path)
    index = [each.name for each in fewer.graph.initializer].index(dropped)
    del fewer.graph.initializer[index]
    save(fewer, tmp_path / "o.onnx", folder=tmp_path, source=path)
    assert ("o.onnx.data" in listed(tmp_path)) == packs


def test_a_model_with_its_data_file_can_be_saved_over_itself(inline: Path) -> None:
    folder = inline.parent
    path = folder / "e.onnx"
    save(load_skeleton(inline), path, folder=folder, external_data=True)
    proto = load_skeleton(path)
    # Without the first the second is elsewhere in the new data file.
    del proto.graph.initializer[0]
    for _ in range(2):
        save(proto, path, folder=folder, source=path)
        assert listed(folder) == ["e.onnx", "e.onnx.data", "m.onnx"]
        assert (folder / "e.onnx.data").stat().st_size == 5000
        for skeleton in (proto, load_skeleton(path)):
            assert to_array(skeleton.graph.initializer[0], folder).tobytes() == (
                tensor("v", 5000).raw_data
            )


def test_a_parked_model_saved_over_itself_with_external_data_is_used_on(
    inline: Path, tmp_path: Path
) -> None:
    proto = load_skeleton(inline)
    save(proto, inline, folder=None, external_data=True)
    assert to_array(proto.graph.initializer[0], None).tobytes() == LARGE.raw_data
    save(proto, tmp_path / "o.onnx", folder=None)
    assert onnx.load(tmp_path / "o.onnx") == whole(inline)


def test_all_inline_on_request(external: Path) -> None:
    out = external.with_name("o.onnx")
    save(load_skeleton(external), out, folder=external.parent, source=external, external_data=False)
    assert not any(map(is_external, load_skeleton(out).graph.initializer))
    assert onnx.load(out) == whole(external)


def test_a_model_too_large_for_one_file_gets_external_data(
    inline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "LIMIT", SPLIT_FROM)
    out = inline.with_name("o.onnx")
    with pytest.raises(InvalidModelError, match="external data"):
        save(edited(inline), out, folder=inline.parent, external_data=False)
    with pytest.raises(InvalidModelError, match="external data"):
        to_bytes(edited(inline), inline.parent)
    assert listed(inline.parent) == ["m.onnx"]
    save(edited(inline), out, folder=inline.parent)
    assert listed(inline.parent) == ["m.onnx", "o.onnx", "o.onnx.data"]
    assert whole(out).graph.initializer == onnx.load(inline).graph.initializer


def test_beyond_two_gigabytes_of_data_only_the_graph_is_handled(tmp_path: Path) -> None:
    large = onnx.TensorProto(name="w", data_type=onnx.TensorProto.UINT8, dims=[3 << 30])
    large.data_location = onnx.TensorProto.EXTERNAL
    large.external_data.add(key="location", value="w.bin")
    with (tmp_path / "w.bin").open("wb") as file:
        file.truncate(3 << 30)
    path = tmp_path / "m.onnx"
    onnx.save(model(large), path)
    save(edited(path), tmp_path / "o.onnx", folder=tmp_path, source=path)
    assert (
        to_array(load_skeleton(tmp_path / "o.onnx").graph.initializer[0], tmp_path).size == 3 << 30
    )
    with pytest.raises(InvalidModelError, match="2,147,483,647"):
        materialize(edited(path), tmp_path)


def test_missing_data_is_an_error_that_names_it(external: Path) -> None:
    (external.parent / "weights.bin").unlink()
    with pytest.raises(ExternalDataError, match=r"'w' in 'weights\.bin'"):
        save(edited(external), external.with_name("o.onnx"), folder=external.parent)
    assert listed(external.parent) == ["m.onnx"]


def test_a_killed_save_leaves_the_old_model(inline: Path) -> None:
    """Killed at any system call: at each the old file, or the new one, is whole."""
    before = inline.read_bytes()
    seen = set()

    def watch(step: object) -> object:
        def watched(*args: object, **kwargs: object) -> object:
            seen.add(inline.read_bytes())
            return step(*args, **kwargs)  # type: ignore[operator]

        return watched

    with pytest.MonkeyPatch.context() as patch:
        for name in ("write", "copy_file_range", "fsync", "close"):
            patch.setattr(files.os, name, watch(getattr(os, name)))
        save(edited(inline), inline, folder=inline.parent)
    assert seen == {before}
    assert inline.read_bytes() != before
