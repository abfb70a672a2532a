"""Telling payloads apart without having them in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from onnx import TensorProto

from onnxforge.errors import ExternalDataError
from onnxforge.storage.span import Span
from onnxforge.storage.tensors import from_array, nbytes, to_array

WINDOW = 1 << 20
"""Bytes that are read at a time."""

_SAMPLE = 64


def sample(tensor: TensorProto, folder: Path | str | None = None) -> bytes:
    """A few bytes of the data of *tensor*, from its start, its middle and its end.

    Equal for tensors of the same type, shape and data.  Raises as `to_array` does.
    """
    length = _length(source := _source(tensor, folder))
    starts = (0, length // 2, max(0, length - _SAMPLE))
    return b"".join(_read(source, start, _SAMPLE) for start in starts)


def digest(tensor: TensorProto, folder: Path | str | None = None) -> bytes:
    """A cryptographic hash of the data of *tensor*, of which a window at a time is in memory.

    Equal for tensors of the same type, shape and data, and no others.  Raises as `to_array` does.
    """
    import hashlib

    state = hashlib.blake2b()
    for window in _windows(_source(tensor, folder)):
        state.update(window)
    return state.digest()


def _source(tensor: TensorProto, folder: Path | str | None) -> bytes | Span:
    source: bytes | Span | None = Span.of(tensor, folder)
    if source is None and tensor.HasField("raw_data"):
        source = bytes(tensor.raw_data)
    if source is None or _length(source) != nbytes(tensor):
        array = to_array(tensor, folder)
        if array.dtype == object:
            return repr(array.tolist()).encode()
        source = bytes(from_array(array, "").raw_data)
    return source


def _length(source: bytes | Span) -> int:
    return source.length if isinstance(source, Span) else len(source)


def _read(source: bytes | Span, start: int, size: int) -> bytes:
    if isinstance(source, bytes):
        return source[start : start + size]
    part = Span(source.path, source.offset + start, min(size, source.length - start))
    return b"".join(_windows(part))


def _windows(source: bytes | Span) -> Iterator[bytes]:
    """The data, piece by piece: read and not mapped, so that nothing of it stays in memory."""
    if isinstance(source, bytes):
        yield source
        return
    with Path(source.path).open("rb", buffering=0) as file:
        offset, end = source.offset, source.offset + source.length
        file.seek(offset)
        while offset < end:
            window = file.read(min(WINDOW, end - offset))
            if not window:
                raise ExternalDataError(f"{source.path}: ends {end - offset} bytes too early")
            yield window
            offset += len(window)
