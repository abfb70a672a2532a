"""Protobuf's wire format, read just closely enough to leave the weights where they are.

Parsing a model costs its size three times over.  `split` copies everything but the large
payloads, a few kilobytes of model out of many megabytes of file, and `splice` puts them back; what
neither needs to understand, unknown fields included, passes through them byte for byte.

The format is one loop: a varint holds a field's number and wire type; type 0 is a varint, 1 and 5
are eight and four bytes, 2 is a length and as many bytes, 3 and 4 bracket a group
(protobuf.dev/programming-guides/encoding).
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # ships no types
from onnx import TensorProto

from onnxforge.errors import InvalidModelError
from onnxforge.storage.span import Span, is_parked, was_explicit

THRESHOLD = 1024
"""Bytes from which a payload stays in its file; below, telling where it is would save little."""

WINDOW = 1 << 23
"""Bytes of a file after which those passed over are no longer counted as this process's memory."""

DEPTH = 100
"""How many messages within one another are followed: protobuf's own parsers stop there too."""

Buffer: TypeAlias = bytes | mmap.mmap
Chunk: TypeAlias = bytes | Span

# The fields, by message and number, that are or hold tensors; from onnx.proto.
_FIELDS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_BELOW = {
    message: {number << 3 | 2: kind for number, kind in fields.items()}
    for message, fields in _FIELDS.items()
}
_GRAPH = 7 << 3 | 2
_RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 9 << 3 | 2, 13 << 3 | 2, 14 << 3 | 0
_DEFAULT_LOCATION = bytes((_DATA_LOCATION, TensorProto.DEFAULT))

# The numbers of an attribute, each a field of its own: trees have a million of them.
_NUMBERS = {
    7 << 3 | 5: re.compile(rb"(?:\x3d.{4})++", re.DOTALL),
    8 << 3 | 0: re.compile(rb"(?:\x40[\x80-\xff]{0,9}[\x00-\x7f])++"),
}

# Where a tensor is a singular field: of one that comes twice a parser makes a single tensor, with
# the payload of one and the place of the other, so it is left as it is.
_SINGULAR = {"attribute": {5 << 3 | 2, 22 << 3 | 2}, "sparse": {1 << 3 | 2, 2 << 3 | 2}}

_Rewritten: TypeAlias = tuple[list[Chunk], int]
_Field: TypeAlias = tuple[int, int, int, int]


def split(buffer: Buffer, location: str, threshold: int = THRESHOLD, *, stamp: str = "") -> bytes:
    """A serialized model without its payloads of *threshold* bytes and more.

    *buffer* is the whole content of the file *location*, an absolute path.  A tensor whose raw data
    is left out is parked there (see `span`), with *stamp*; everything else is the same, byte for
    byte but for lengths.  Tensors with external data of their own stay as they are.

    Raises:
        InvalidModelError: the bytes are not an ONNX model, or end too early.

    """
    return split_and_count(buffer, location, threshold, stamp=stamp)[0]


def split_and_count(
    buffer: Buffer, location: str, threshold: int = THRESHOLD, *, stamp: str = ""
) -> tuple[bytes, int, int]:
    """What `split` gives, how often it wrote ``location``, the key of external data, and how many
    bytes more the payloads are that it left out than what it wrote in their place.
    """
    if all(tag != _GRAPH for _, tag, _, _ in _fields(buffer, 0, len(buffer))):
        raise InvalidModelError("not an ONNX model: it has no graph")
    count = saved = passed = 0

    def take(start: int, end: int) -> _Rewritten | None:
        nonlocal count, saved, passed
        raw = None
        explicit = False
        for at, tag, body, stop in _fields(buffer, start, end):
            if tag == _RAW_DATA and raw is None:
                raw = at, body, stop
            elif tag == _DATA_LOCATION and buffer[body] == TensorProto.DEFAULT:
                explicit = True
            elif tag in (_RAW_DATA, _DATA_LOCATION, _EXTERNAL_DATA):
                return None
        if raw is None or raw[2] - raw[1] < threshold:
            return None
        at, body, stop = raw
        place = TensorProto()
        Span(location, body, stop - body).park(place, stamp=stamp, explicit=explicit)
        entries = place.SerializeToString()
        count += entries.count(b"location")
        saved += stop - body - sum(entry.ByteSize() for entry in place.external_data)
        if isinstance(buffer, mmap.mmap) and stop - passed > WINDOW:
            # One byte touched maps up to 2 MiB around it: all of a large file, in the end.
            if hasattr(mmap, "MADV_DONTNEED"):
                buffer.madvise(mmap.MADV_DONTNEED)
            passed = stop
        parts: list[Chunk] = [buffer[start:at], buffer[stop:end], entries]
        return parts, end - start - (stop - at) + len(entries)

    def worth(start: int, end: int) -> bool:
        return end - start > threshold

    rewritten = _rewrite(buffer, "model", 0, len(buffer), worth, take, DEPTH)
    if rewritten is None:
        return buffer[:], count, saved
    return b"".join(part for part in rewritten[0] if isinstance(part, bytes)), count, saved


def splice(
    skeleton: bytes, resolve: Callable[[TensorProto], Span | None] | None = None
) -> list[bytes | Span]:
    """The inverse of `split`: the pieces of the file, with the payloads back as raw data.

    *skeleton* is a model as protobuf serializes it.  *resolve* says of each tensor with external
    data which span it should hold inline, None for one that stays as it is; unless told otherwise,
    parked tensors become inline.
    """
    ahead = -1

    def worth(start: int, end: int) -> bool:
        # Messages come in the order of the file, so one forward search serves them all.
        nonlocal ahead
        if ahead < start:
            found = skeleton.find(b"location", start)
            ahead = len(skeleton) if found < 0 else found
        return ahead < end

    def put(start: int, end: int) -> _Rewritten | None:
        try:
            tensor = TensorProto.FromString(skeleton[start:end])
        except DecodeError as error:
            raise InvalidModelError(f"damaged tensor at offset {start}: {error}") from error
        if tensor.data_location != TensorProto.EXTERNAL:
            return None
        span = resolve(tensor) if resolve else Span.of(tensor) if is_parked(tensor) else None
        if span is None:
            return None
        new: list[tuple[int, list[Chunk]]] = [
            (9, [_varint(_RAW_DATA) + _varint(span.length), span])
        ]
        if was_explicit(tensor):
            new.append((14, [_DEFAULT_LOCATION]))
        parts: list[Chunk] = []
        copied = start
        for at, tag, _, stop in _fields(skeleton, start, end):
            while new and tag >> 3 > new[0][0]:
                parts += skeleton[copied:at], *new.pop(0)[1]
                copied = at
            if tag in (_RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION):
                parts.append(skeleton[copied:at])
                copied = stop
        parts += skeleton[copied:end], *(part for _, piece in new for part in piece)
        return parts, sum(map(size_of, parts))

    rewritten = _rewrite(skeleton, "model", 0, len(skeleton), worth, put, DEPTH)
    return _joined(rewritten[0]) if rewritten else [skeleton]


def size_of(chunk: Chunk) -> int:
    """How many bytes *chunk* comes to."""
    return chunk.length if isinstance(chunk, Span) else len(chunk)


def _rewrite(
    data: Buffer,
    message: str,
    start: int,
    end: int,
    worth: Callable[[int, int], bool],
    tensor: Callable[[int, int], _Rewritten | None],
    depth: int,
) -> _Rewritten | None:
    """The parts of a message, *tensor* applied to all below that are *worth* it, and their size.

    None where nothing changes, so that the message above copies this one with its neighbours.
    """
    if not depth:
        raise InvalidModelError(f"more than {DEPTH} messages within one another at offset {start}")
    fields: Iterable[_Field] = _fields(data, start, end)
    if message in _SINGULAR:
        fields = list(fields)
        single = [tag for _, tag, _, _ in fields if tag in _SINGULAR[message]]
        if len(single) > len(set(single)):
            return None
    below = _BELOW[message]
    parts: list[Chunk] = []
    size = 0
    copied = start
    for at, tag, body, stop in fields:
        if tag in below and worth(body, stop):
            if below[tag] == "tensor":
                rewritten = tensor(body, stop)
            else:
                rewritten = _rewrite(data, below[tag], body, stop, worth, tensor, depth - 1)
            if rewritten is not None:
                header = _varint(tag) + _varint(rewritten[1])
                parts += data[copied:at], header, *rewritten[0]
                size += at - copied + len(header) + rewritten[1]
                copied = stop
    if not parts:
        return None
    parts.append(data[copied:end])
    return parts, size + end - copied


def _fields(data: Buffer, pos: int, end: int) -> Iterator[_Field]:
    """The fields of a message: where each starts, its tag, where its content starts and ends.

    What is within a group, which ONNX has none of, is passed over; numbers in a row count as one.
    """
    groups = 0
    at = pos
    try:
        while pos < end:
            at = pos
            tag = data[pos]
            pos += 1
            if tag > 127:
                tag, pos = _read_varint(data, at)
            wire_type = tag & 7
            if wire_type == 2:
                length = data[pos]
                pos += 1
                if length > 127:
                    length, pos = _read_varint(data, pos - 1)
                body = pos
                pos += length
            else:
                body = pos
                if tag in _NUMBERS and (row := _NUMBERS[tag].match(data, at, end)):
                    pos = row.end()
                elif wire_type == 0:
                    _, pos = _read_varint(data, pos)
                elif wire_type == 5:
                    pos += 4
                elif wire_type == 1:
                    pos += 8
                elif wire_type == 3:
                    groups += 1
                elif wire_type == 4 and groups:
                    groups -= 1
                    continue
                else:
                    raise _damaged(at)
            if pos > end:
                raise _damaged(at)
            if not groups:
                yield at, tag, body, pos
    except IndexError:
        raise _damaged(at) from None
    if groups:
        raise _damaged(at)


def _read_varint(data: Buffer, pos: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[pos]
        pos += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, pos
    raise _damaged(pos)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _joined(chunks: list[Chunk]) -> list[bytes | Span]:
    joined: list[bytes | Span] = []
    run: list[bytes] = []
    for chunk in chunks:
        if isinstance(chunk, Span):
            joined += b"".join(run), chunk
            run = []
        else:
            run.append(chunk)
    return [*joined, b"".join(run)]


def _damaged(at: int) -> InvalidModelError:
    return InvalidModelError(
        f"not an ONNX model, or a damaged one: the field at offset {at} is cut short or malformed"
    )
