"""Telling payloads apart without having them in memory."""

from __future__ import annotations

from collections.abc import Iterator
from io import RawIOBase
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
    if isinstance(source, bytes) and length <= 3 * _SAMPLE:
        return source
    starts = (0, length // 2, max(0, length - _SAMPLE))
    if isinstance(source, bytes):
        return b"".join(source[start : start + _SAMPLE] for start in starts)
    with open(source.path, "rb", buffering=0) as file:  # noqa: PTH123 - a Path takes longer to make
        sizes = [min(_SAMPLE, length - start) for start in starts]
        return b"".join(
            _read(file, source, start, size) for start, size in zip(starts, sizes, strict=True)
        )


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
        if array.dtype.isbuiltin == 1:
            source = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        else:  # elements may share bytes
            source = bytes(from_array(array, "").raw_data)
    return source


def _length(source: bytes | Span) -> int:
    return source.length if isinstance(source, Span) else len(source)


def _windows(source: bytes | Span) -> Iterator[bytes]:
    """The data, piece by piece: read and not mapped, so that nothing of it stays in memory."""
    if isinstance(source, bytes):
        yield source
        return
    with Path(source.path).open("rb", buffering=0) as file:
        for start in range(0, source.length, WINDOW):
            yield _read(file, source, start, min(WINDOW, source.length - start))


def _read(file: RawIOBase, source: Span, start: int, size: int) -> bytes:
    """So many bytes of a span, of whose file *file* is."""
    file.seek(source.offset + start)
    data = b""
    while len(data) < size:
        piece = file.read(size - len(data))
        if not piece:
            missing = source.length - start - len(data)
            raise ExternalDataError(f"{source.path}: ends {missing} bytes too early")
        data = data + piece if data else piece
    return data
