"""Writing a model: whole or not at all, its payloads copied from where they are by the kernel."""

from __future__ import annotations

import os
from pathlib import Path

from google.protobuf.message import EncodeError  # type: ignore[import-untyped]  # ships no types
from onnx import ModelProto, TensorProto

from onnxforge.errors import InvalidModelError
from onnxforge.storage.files import Pieces, replace, write
from onnxforge.storage.load import Origin, load_skeleton
from onnxforge.storage.scratch import ALIGNMENT
from onnxforge.storage.span import Span, is_external, is_parked, location_of
from onnxforge.storage.tensors import externals, tensors
from onnxforge.storage.wire import THRESHOLD, size_of, splice

LIMIT = 2**31 - 1
"""Bytes a protobuf message can have: protobuf.dev/programming-guides/proto-limits."""

STALE = 8
"""Data files are kept while what is new or no longer used is less than this part of them, ..."""

DEAD = 100
"""... and what is no longer used less than this part, by which a model then grows on disk."""


def save(
    proto: ModelProto,
    path: Path | str,
    *,
    folder: Path | str | None,
    source: Path | str | None = None,
    origin: Origin | None = None,
    external_data: bool | None = None,
    threshold: int = THRESHOLD,
) -> None:
    """Write *proto*, whose external data is in *folder*, to *path*.

    A model still equal to the one in the file *source* is copied byte for byte; that is told sooner
    by its *origin*.  Where the payloads of any other go is for *external_data* to say:

    - False: all into the file.
    - True: those of initializers of *threshold* bytes and more into ``<name>.data`` beside the
      file, aligned to 64 bytes, in the order of the initializers; the rest into the file.
    - None, the default: as they came.  What is new goes into the file; data files the model came
      with stay, or are copied along into another folder.  If a hundredth of those files would be
      unused or an eighth new, or one would overwrite another, or the file exceed protobuf's 2 GiB:
      as for True.

    Files appear complete or not at all, the old ones staying meanwhile; data is renamed into place
    just before the model that refers to it.  If *path* is where the model came from, *proto* refers
    to the new file afterwards.  What is no regular file, such as a pipe, is written to as it is.

    Raises:
        InvalidModelError: the model does not fit into the one file it has to be.
        ExternalDataError: data the model refers to is gone.
        OSError: a file cannot be written.

    """
    if Path(path).exists() and not Path(path).is_file():
        write(path, *_inlined(serialize(proto), folder))
        return
    target = Path(os.path.realpath(path))
    graph = b"" if external_data else serialize(proto)
    if source is not None and external_data is None and _equals(proto, graph, source, origin):
        copies = _copies(proto, graph, folder, target)
        if copies is not None:
            if not (target.exists() and target.samefile(source)):
                whole = Span(os.path.realpath(source), 0, Path(source).stat().st_size)
                replace({target: [whole]}, copies)
            return
    copies = {}
    if external_data is False:
        files = {target: _inlined(graph, folder)}
    else:
        kept = None if external_data else _as_it_came(proto, graph, folder, target)
        if kept is None:
            files = _packed(proto, folder, target, threshold)
        else:
            pieces, copies = kept
            files = {target: pieces}
    moved = _tensors_in(proto, folder, files)
    replace(files, copies)
    if moved:
        _follow(proto, moved, folder, target)


def to_bytes(proto: ModelProto, folder: Path | str | None = None) -> bytes:
    """*proto* serialized with every payload inline.

    Raises:
        InvalidModelError: that would exceed protobuf's 2 GiB.
        ExternalDataError: data the model refers to is gone.

    """
    return _join(_inlined(serialize(proto), folder))


def materialize(proto: ModelProto, folder: Path | str | None = None) -> ModelProto:
    """A copy of *proto* with every payload inline; raises as `to_bytes` does."""
    return parse(_inlined(serialize(proto), folder))


def parse(pieces: Pieces) -> ModelProto:
    """The model that *pieces* are; InvalidModelError if it exceeds protobuf's 2 GiB."""
    proto: ModelProto = ModelProto.FromString(_join(_within_limit(pieces)))
    return proto


def serialize(proto: ModelProto) -> bytes:
    """The bytes of *proto* as it is; InvalidModelError if they exceed protobuf's 2 GiB."""
    try:
        serialized: bytes = proto.SerializeToString()
    except (EncodeError, ValueError, MemoryError) as error:
        raise InvalidModelError(
            f"the graph, even without payloads left in files, cannot be serialized: {error}"
        ) from error
    return serialized


def _join(pieces: Pieces) -> bytes:
    return b"".join(piece.map().data if isinstance(piece, Span) else piece for piece in pieces)


# What to write


def _inlined(graph: bytes, folder: Path | str | None) -> Pieces:
    pieces = splice(graph, lambda tensor: Span.of(tensor, folder))
    return _within_limit(pieces)


def _as_it_came(
    proto: ModelProto, graph: bytes, folder: Path | str | None, target: Path
) -> tuple[Pieces, dict[Path, Path]] | None:
    """The file with everything but its own external data inline; None if that is no good idea."""
    used: dict[Span, None] = {}

    def resolve(tensor: TensorProto) -> Span | None:
        span = Span.of(tensor, folder)
        if span is None or is_parked(tensor):
            return span
        used[span] = None
        return None

    pieces = splice(graph, resolve)
    if sum(map(size_of, pieces)) > LIMIT:
        return None
    if not used:
        return pieces, {}
    new = sum(piece.length for piece in pieces if isinstance(piece, Span))
    total = sum(Path(path).stat().st_size for path in {span.path for span in used})
    dead = total - sum(span.length for span in used)
    if (new + dead) * STALE >= total or dead * DEAD >= total:
        return None
    copies = _copies(proto, graph, folder, target)
    return None if copies is None else (pieces, copies)


def _packed(
    proto: ModelProto, folder: Path | str | None, target: Path, threshold: int
) -> dict[Path, Pieces]:
    """The file and the one with the data of its initializers."""
    copy = ModelProto()
    copy.CopyFrom(proto)
    for tensor in tensors(copy):
        if is_external(tensor) and (span := Span.of(tensor, folder)):
            span.park(tensor)
    data = target.with_name(target.name + ".data")
    pieces: Pieces = []
    end = 0
    offsets: dict[Span, int] = {}
    for tensor in tensors(copy, initializers=True):
        piece: bytes | Span | None = Span.of(tensor)
        if piece is None and tensor.HasField("raw_data"):
            piece = tensor.raw_data
        if piece is None or size_of(piece) < threshold:
            continue
        offset = offsets.get(piece) if isinstance(piece, Span) else None
        if offset is None:
            offset = -(-end // ALIGNMENT) * ALIGNMENT
            pieces += bytes(offset - end), piece
            end = offset + size_of(piece)
        if isinstance(piece, Span):
            offsets[piece] = offset
        Span(data.name, offset, size_of(piece)).park(tensor)
    model = _within_limit(splice(serialize(copy)))
    return {data: pieces, target: model} if pieces else {target: model}


def _copies(
    proto: ModelProto, graph: bytes, folder: Path | str | None, target: Path
) -> dict[Path, Path] | None:
    """The data files to copy so that *proto* finds them from *target*, each with its original.

    None if one of them would overwrite something else.  They cannot be links to the originals:
    ONNX refuses data files under several names as a way to read what is not the model's.
    """
    copies: dict[Path, Path] = {}
    for tensor in externals(proto, graph):
        if is_external(tensor) and (span := Span.of(tensor, folder)):
            original = Path(span.path)
            copy = target.parent / location_of(tensor)
            if copy == target or copies.get(copy, original) != original:
                return None
            if not copy.exists():
                copies[copy] = original
            elif not _is_same(copy, original):
                return None
    return copies


def _is_same(copy: Path, original: Path) -> bool:
    # As rsync decides it: a copy made here keeps the time of its original.
    one, other = copy.stat(), original.stat()
    return os.path.samestat(one, other) or (
        (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)
    )


def _equals(proto: ModelProto, graph: bytes, source: Path | str, origin: Origin | None) -> bool:
    """Whether *proto*, of which *graph* are the bytes, is the model in the file *source*."""
    try:
        if origin is not None and len(graph) != origin.size:
            return False
        if origin is not None and origin.is_still(graph, source):
            return True
        return Path(source).is_file() and load_skeleton(source) == proto
    except (OSError, InvalidModelError):
        return False


def _within_limit(pieces: Pieces) -> Pieces:
    size = sum(map(size_of, pieces))
    if size > LIMIT:
        raise InvalidModelError(
            f"the model comes to {size:,} bytes in one piece and protobuf allows {LIMIT:,};"
            " save it to a file with external data"
        )
    return pieces


# Following a file that took the place of another


def _tensors_in(
    proto: ModelProto, folder: Path | str | None, files: dict[Path, Pieces]
) -> set[int]:
    """The tensors, counted as `tensors` does, that have their data in what *files* replace."""
    if not any(path.exists() for path in files):
        return set()
    read = {piece.path for pieces in files.values() for piece in pieces if isinstance(piece, Span)}
    replaced = {path for path in read if Path(path).resolve() in files}
    return {
        index
        for index, tensor in enumerate(tensors(proto) if replaced else ())
        if (span := Span.of(tensor, folder)) and span.path in replaced
    }


def _follow(proto: ModelProto, moved: set[int], folder: Path | str | None, target: Path) -> None:
    saved = dict(enumerate(tensors(load_skeleton(target))))
    for index, tensor in enumerate(tensors(proto)):
        if index in moved:
            tensor.CopyFrom(saved[index])
            if is_external(tensor) and (folder is None or Path(folder).resolve() != target.parent):
                span = Span.of(tensor, target.parent)
                assert span is not None
                span.park(tensor)
