"""A payload that stays in its file until someone reads it.

A tensor says where its bytes are with ONNX's own external data.  A *relative* location is the
model's own affair: a data file beside it.  An *absolute* one never comes from a file, `load` refuses
it, so it is ours: the payload of a model file, or of the scratch file, that was not read into
memory.  Such a tensor is called parked.
"""

from __future__ import annotations

import mmap
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from onnxforge.errors import ExternalDataError

Bytes: TypeAlias = npt.NDArray[np.uint8]

KEY = b"location"
"""The key of external data: where it is spelled out, beyond what we wrote, there may be some."""

MAP_FROM = 1 << 16
"""Bytes from which mapping a file costs less than reading it."""

_TEXT = {str}

# Every mapping holds a file descriptor, so a model's tensors share one.  A file replaced or grown
# is another key; an inode cannot be reused while it is mapped.
_maps: WeakValueDictionary[tuple[int, int, int], mmap.mmap] = WeakValueDictionary()


class _Kept(threading.local):
    """The mapping that a thread used last, while it has a `maps_kept` open."""

    depth = 0
    last: mmap.mmap | None = None


_kept = _Kept()


@dataclass(frozen=True, slots=True)
class Span:
    """*length* bytes of the file at *path*, from *offset* on."""

    path: str
    offset: int
    length: int

    @staticmethod
    def of(tensor: TensorProto, folder: Path | str | None = None) -> Span | None:
        """Where the bytes of *tensor* are; None when it carries them itself.

        A relative location is looked up in *folder*, the model's own, and has to stay there: the
        data of a model from a stranger is no way to read other files of this machine.

        Raises:
            ExternalDataError: no such file, one outside *folder*, too short, or, for a parked
                tensor, written to since the model was loaded.

        """
        if tensor.data_location != TensorProto.EXTERNAL:
            return None
        entries = _entries(tensor)
        location = entries.get("location", "")
        offset = _number(tensor, entries, "offset", 0)
        parked = os.path.isabs(location)  # noqa: PTH117 - as below
        path = location if parked else _inside(tensor, location, folder)
        try:
            status = os.stat(path)  # noqa: PTH116 - a Path takes longer to make than to ask
        except (OSError, ValueError) as error:
            raise _unreadable(tensor, location, "there is no such file") from error
        if not stat.S_ISREG(status.st_mode):
            raise _unreadable(tensor, location, "it is not a regular file")
        if parked and "checksum" in entries and entries["checksum"] != stamp(status):
            why = "it changed since the model was loaded; load the model again"
            raise _unreadable(tensor, location, why)
        length = _length(tensor, entries)
        if offset + length > status.st_size:
            why = f"bytes {offset} to {offset + length} are wanted, and it ends at {status.st_size}"
            raise _unreadable(tensor, location, why)
        return Span(path, offset, length)

    def map(self) -> Bytes:
        """The bytes, shape (length,), read-only; large ones are mapped, not read."""
        if not self.length:
            return np.frombuffer(b"", np.uint8)
        try:
            mapped = _maps.get(_key(os.stat(self.path)))  # noqa: PTH116 - as above
            if mapped is None:
                with open(self.path, "rb", buffering=0) as file:  # noqa: PTH123 - as above
                    status = os.fstat(file.fileno())
                    self._check(status.st_size)
                    if self.length < MAP_FROM:
                        file.seek(self.offset)
                        return np.frombuffer(file.read(self.length), np.uint8)
                    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                    _maps[_key(status)] = mapped
        except OSError as error:
            raise ExternalDataError(f"{self.path}: cannot be read: {error.strerror}") from error
        self._check(len(mapped))
        if _kept.depth:
            _kept.last = mapped
        return np.frombuffer(mapped, np.uint8, self.length, self.offset)

    def _check(self, size: int) -> None:
        if self.offset + self.length > size:
            raise ExternalDataError(
                f"{self.path}: ends at {size}, before byte {self.offset + self.length}"
                " of a tensor's data"
            )

    def park(self, tensor: TensorProto, *, stamp: str = "", explicit: bool = False) -> None:
        """Let *tensor* say that its bytes are here.

        *stamp* tells the state of a file that should not change: see `stamp`.  *explicit* keeps
        that a tensor said ``data_location: DEFAULT``, so that it is saved saying it again.
        """
        tensor.ClearField("raw_data")
        del tensor.external_data[:]
        tensor.data_location = TensorProto.EXTERNAL
        numbers = [("offset", str(self.offset)), ("length", str(self.length))]
        # The order of the entries is free, and is the one place left to remember this bit in.
        entries = [("location", self.path), *(reversed(numbers) if explicit else numbers)]
        for key, value in [*entries, *([("checksum", stamp)] if stamp else [])]:
            tensor.external_data.add(key=key, value=value)


def payload(tensor: TensorProto) -> int:
    """How many bytes of *tensor* are elsewhere: in a file of its own, or parked."""
    if tensor.data_location != TensorProto.EXTERNAL:
        return 0
    return _length(tensor, _entries(tensor))


@contextmanager
def maps_kept() -> Iterator[None]:
    """Let the file stay mapped that was read last, as long as nothing else is read.

    Mapping it anew for each weight takes longer than reading the weight.
    """
    _kept.depth += 1
    try:
        yield
    finally:
        _kept.depth -= 1
        if not _kept.depth:
            _kept.last = None


def release() -> None:
    """Count no longer as this process's memory what was read of files; it can be read again."""
    if hasattr(mmap, "MADV_DONTNEED"):
        for mapped in list(_maps.values()):
            mapped.madvise(mmap.MADV_DONTNEED)


def is_parked(tensor: TensorProto) -> bool:
    """Whether the bytes of *tensor* are inline by right, and only left in a file by us."""
    return tensor.data_location == TensorProto.EXTERNAL and _is_absolute(tensor)


def is_external(tensor: TensorProto) -> bool:
    """Whether *tensor* has external data in the sense of ONNX: in a file beside the model."""
    return tensor.data_location == TensorProto.EXTERNAL and not is_parked(tensor)


def was_explicit(tensor: TensorProto) -> bool:
    """Whether a parked tensor said ``data_location: DEFAULT`` in its file."""
    return len(tensor.external_data) > 1 and tensor.external_data[1].key == "length"


def location_of(tensor: TensorProto) -> str:
    """The location among the external data of *tensor*, as it is written; "" for none."""
    return _entries(tensor).get("location", "")


def stamp(status: os.stat_result) -> str:
    """What changes when a file does; parked tensors keep it in ONNX's entry "checksum"."""
    return f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"


def _key(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_dev, status.st_ino, status.st_size


def _is_absolute(tensor: TensorProto) -> bool:
    return os.path.isabs(location_of(tensor))  # noqa: PTH117 - a Path takes longer to make


def _entries(tensor: TensorProto) -> dict[str, str]:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    if len(entries) == len(tensor.external_data) and _TEXT.issuperset(
        map(type, (*entries, *entries.values()))
    ):
        return entries
    entries.clear()
    for entry in tensor.external_data:
        # What is not UTF-8 protobuf hands out as bytes, whatever its type says.
        if not isinstance(entry.value, str) or not isinstance(entry.key, str):
            raise _unreadable(tensor, "?", "its name is not UTF-8")
        if entries.setdefault(entry.key, entry.value) != entry.value:
            raise _unreadable(tensor, entry.value, f"it is one of several for {entry.key!r}")
    return entries


def _length(tensor: TensorProto, entries: dict[str, str]) -> int:
    length = _number(tensor, entries, "length", -1)
    if length < 0:
        # Here, as arrays are read by way of spans.
        from onnxforge.storage.tensors import nbytes

        length = nbytes(tensor)
    return length


def _number(tensor: TensorProto, entries: dict[str, str], key: str, default: int) -> int:
    text = entries.get(key, "")
    if not text:
        return default
    # int() would take "1_0", " 1" and Arabic digits; more than 18 digits is more than 2**63.
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise _unreadable(
            tensor, entries.get("location", ""), f"{key} {text!r} is no size in bytes"
        )
    return int(text)


def _inside(tensor: TensorProto, location: str, folder: Path | str | None) -> str:
    if folder is None:
        raise _unreadable(tensor, location, "the model has no folder: load it from its file")
    if not location or "\0" in location:
        raise _unreadable(tensor, location, "that is no file name")
    if ".." in location.replace("\\", "/").split("/"):
        raise _unreadable(tensor, location, "it leads out of the model's folder")
    # A file right in the folder is inside, unless it is a link; Paths take longer to tell.
    path = os.path.join(os.path.abspath(folder), location)  # noqa: PTH100, PTH118
    if os.path.basename(location) != location or os.path.islink(path):  # noqa: PTH114, PTH119
        root = os.path.realpath(folder)
        path = os.path.realpath(path)
        if not Path(path).is_relative_to(root):
            why = "it is a link out of the model's folder; put the data itself beside the model"
            raise _unreadable(tensor, location, why)
    return path


def _unreadable(tensor: TensorProto, location: str, why: str) -> ExternalDataError:
    return ExternalDataError(f"data of tensor {tensor.name!r} in {location!r}: {why}")
