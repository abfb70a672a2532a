"""Reading a model: its structure into memory, its payloads not at all."""

from __future__ import annotations

import mmap
import os
import stat
from dataclasses import dataclass
from io import FileIO
from pathlib import Path, PureWindowsPath

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # ships no types
from onnx import ModelProto, TensorProto

from onnxforge.errors import ExternalDataError, InvalidModelError
from onnxforge.storage.span import KEY, location_of, stamp
from onnxforge.storage.tensors import tensors
from onnxforge.storage.wire import split_and_count

SPLIT_FROM = 1 << 16
"""Bytes of file from which leaving payloads in it is worth looking for them."""

PARK_FROM = 1 << 14
"""Bytes of payload from which it stays in the file: less is read sooner than looked up."""

KEPT = 1 << 24
"""Bytes of what was parsed up to which they are kept, to compare with; more is read again."""

# What else people have at hand, by its first bytes, and what to do about it.
_OTHERS = {
    b"version https://git-lfs": "a Git LFS pointer; `git lfs pull` fetches the model",
    b"PK\x03\x04": "a zip archive, as torch.save writes; export it with torch.onnx.export",
    b"\x1f\x8b": "compressed with gzip; decompress it first",
    b"<!DOCTYPE": "a web page; download the file itself",
    b"<html": "a web page; download the file itself",
    b"<ir_version": "ONNX text; onnx.parser.parse_model reads it",
    b"<\n": "ONNX text; onnx.parser.parse_model reads it",
    b"\x89HDF": "an HDF5 file; convert it with tf2onnx",
    b"{": "JSON, not ONNX's binary form; onnx.load with format='json' reads it",
}


@dataclass(frozen=True, slots=True)
class Origin:
    """What a model was when it was loaded.

    `size` is that of its protobuf and `elsewhere` how many bytes more `model_nbytes` counts, None if
    it has external data, which might not be there to be counted.  `skeleton` is what was parsed, or
    nothing if that was too much to keep, and `stamp` tells the state of the file.
    """

    size: int
    elsewhere: int | None
    stamp: str
    skeleton: bytes

    def is_still(self, serialized: bytes, path: Path | str) -> bool:
        """Whether a model so *serialized* is the one that was loaded, and the file as it was then.

        False also where that takes a closer look.
        """
        return serialized == self.skeleton and stamp(os.stat(path)) == self.stamp  # noqa: PTH116


def load_skeleton(path: Path | str) -> ModelProto:
    """The model in the file at *path*, its large payloads parked there.

    Takes memory and time for the graph alone: raw data of 16 KiB and more stays in the file, which
    must not be written to as long as the model is in use (replacing it is noticed).  External data
    is neither read nor looked for.

    Raises:
        OSError: there is no such file, or it may not be read.
        InvalidModelError: it is no ONNX model, or a damaged one.
        ExternalDataError: it asks for data by an absolute location.

    """
    return load_with_origin(path)[0]


def load_with_origin(path: str | os.PathLike[str]) -> tuple[ModelProto, Origin]:
    """What `load_skeleton` gives, and how to tell later whether it is still that."""
    location = os.path.realpath(path)
    # Not by its location: links such as /dev/stdin lead nowhere else.
    with _opened(path) as file:
        status = os.fstat(file.fileno())
        is_large = stat.S_ISREG(status.st_mode) and status.st_size >= SPLIT_FROM
        if not (is_large and _is_text(location)):
            data = file.read()
            proto = skeleton_from_bytes(data, str(path))
            return proto, _origin(proto, data, status, None if KEY in data else 0)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            try:
                skeleton, ours, saved = split_and_count(
                    mapped, location, PARK_FROM, stamp=stamp(status)
                )
            except InvalidModelError as error:
                raise InvalidModelError(_explain(str(path), mapped[:32], str(error))) from None
        proto = _parse(skeleton, str(path))
    is_all_ours = skeleton.count(KEY) == ours
    if not is_all_ours:
        _refuse_absolute(proto, location)
    return proto, _origin(proto, skeleton, status, saved if is_all_ours else None)


def _origin(
    proto: ModelProto, skeleton: bytes, status: os.stat_result, elsewhere: int | None
) -> Origin:
    is_kept = stat.S_ISREG(status.st_mode) and len(skeleton) <= KEPT
    return Origin(proto.ByteSize(), elsewhere, stamp(status), skeleton if is_kept else b"")


def skeleton_from_bytes(data: bytes, name: str = "the model") -> ModelProto:
    """The model serialized in *data*, with all it contains; *name* is for messages.

    Raises:
        InvalidModelError: the bytes are no ONNX model, or a damaged one.
        ExternalDataError: it asks for data by an absolute location.

    """
    proto = _parse(data, name)
    if KEY in data:
        _refuse_absolute(proto, "")
    return proto


def _parse(data: bytes, name: str) -> ModelProto:
    if not data:
        raise InvalidModelError(f"{name}: empty; export or download it again")
    try:
        proto: ModelProto = ModelProto.FromString(data)
    except DecodeError:
        raise InvalidModelError(
            _explain(name, data[:32], "not an ONNX model, or a damaged one")
        ) from None
    if not proto.HasField("graph"):
        raise InvalidModelError(_explain(name, data[:32], "not an ONNX model: it has no graph"))
    return proto


def _opened(path: str | os.PathLike[str]) -> FileIO:
    try:
        return FileIO(path)
    except (IsADirectoryError, PermissionError):  # the latter is what Windows says of a folder
        if Path(path).is_dir():
            raise InvalidModelError(f"{path}: a folder; name the .onnx file in it") from None
        raise


def _explain(name: str, start: bytes, why: str) -> str:
    if start[4:8] == b"ORTM":
        return f"{name}: a model in ONNX Runtime's own format; use the .onnx file it was made from"
    for magic, what in _OTHERS.items():
        if start.startswith(magic):
            return f"{name}: {what}"
    return f"{name}: {why}; export or download it again"


def _is_text(location: str) -> bool:
    """Whether protobuf can hold *location*: a file name is bytes, and need not be UTF-8."""
    try:
        location.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_absolute(proto: ModelProto, own: str) -> None:
    for tensor in tensors(proto):
        if tensor.data_location == TensorProto.EXTERNAL:
            location = location_of(tensor)
            if location != own and (
                Path(location).is_absolute() or PureWindowsPath(location).anchor
            ):
                raise ExternalDataError(
                    f"data of tensor {tensor.name!r} in {location!r}: an absolute location;"
                    " a model may only name files in its own folder"
                )
