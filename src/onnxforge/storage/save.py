"""Writing a model: whole or not at all, its payloads copied from where they are by the kernel."""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import ExitStack
from pathlib import Path

from google.protobuf.message import EncodeError  # type: ignore[import-untyped]  # ships no types
from onnx import ModelProto, TensorProto

from onnxforge.errors import ExternalDataError, InvalidModelError
from onnxforge.storage.load import load_skeleton
from onnxforge.storage.scratch import ALIGNMENT
from onnxforge.storage.span import Span, is_external, is_parked, location_of
from onnxforge.storage.tensors import tensors
from onnxforge.storage.wire import THRESHOLD, size_of, splice

LIMIT = 2**31 - 1
"""Bytes a protobuf message can have: protobuf.dev/programming-guides/proto-limits."""

STALE = 8
"""Data files are kept while what is new or no longer used is less than this part of them."""

# How the kernel says that it cannot copy between these two files, though a program can.
_NO_COPY = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM}

_Pieces = list[bytes | Span]


def save(
    proto: ModelProto,
    path: Path | str,
    *,
    folder: Path | str | None,
    source: Path | str | None = None,
    external_data: bool | None = None,
    threshold: int = THRESHOLD,
) -> None:
    """Write *proto*, whose external data is in *folder*, to *path*.

    A model still equal to the one in the file *source* is copied byte for byte.  Where the payloads
    of any other go is for *external_data* to say:

    - False: all into the file.
    - True: those of initializers of *threshold* bytes and more into ``<name>.data`` beside the
      file, aligned to 64 bytes, in the order of the initializers; the rest into the file.
    - None, the default: as they came.  What is new goes into the file; data files the model came
      with stay, or are copied along into another folder.  If an eighth of those files would be new
      or unused, or one would overwrite another, or the file exceed protobuf's 2 GiB: as for True.

    Files appear complete or not at all, the old ones staying meanwhile; data is renamed into place
    just before the model that refers to it.  If *path* is where the model came from, *proto* refers
    to the new file afterwards.  What is no regular file, such as a pipe, is written to as it is.

    Raises:
        InvalidModelError: the model does not fit into the one file it has to be.
        ExternalDataError: data the model refers to is gone.
        OSError: a file cannot be written.

    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "a folder; name the file to write in it", str(path))
    if target.exists() and not target.is_file():
        with target.open("wb", buffering=0) as file:
            _write(file.fileno(), _inlined(proto, folder))
        return
    if source is not None and external_data is None and _equals(proto, source):
        copies = _copies(proto, folder, target)
        if copies is not None:
            if not (target.exists() and target.samefile(source)):
                whole = Span(os.path.realpath(source), 0, Path(source).stat().st_size)
                _replace({target: [whole]}, copies)
            return
    copies = {}
    if external_data is False:
        files = {target: _inlined(proto, folder)}
    else:
        kept = None if external_data else _as_it_came(proto, folder, target)
        if kept is None:
            files = _packed(proto, folder, target, threshold)
        else:
            pieces, copies = kept
            files = {target: pieces}
    moved = _tensors_in(proto, folder, [*files, *copies])
    _replace(files, copies)
    if moved:
        _follow(proto, moved, folder, target)


def to_bytes(proto: ModelProto, folder: Path | str | None = None) -> bytes:
    """*proto* serialized with every payload inline.

    Raises:
        InvalidModelError: that would exceed protobuf's 2 GiB.
        ExternalDataError: data the model refers to is gone.

    """
    pieces = _inlined(proto, folder)
    return b"".join(piece.map().data if isinstance(piece, Span) else piece for piece in pieces)


def materialize(proto: ModelProto, folder: Path | str | None = None) -> ModelProto:
    """A copy of *proto* with every payload inline; raises as `to_bytes` does."""
    model: ModelProto = ModelProto.FromString(to_bytes(proto, folder))
    return model


# What to write


def _inlined(proto: ModelProto, folder: Path | str | None) -> _Pieces:
    pieces = splice(_serialize(proto), lambda tensor: Span.of(tensor, folder))
    return _within_limit(pieces)


def _as_it_came(
    proto: ModelProto, folder: Path | str | None, target: Path
) -> tuple[_Pieces, dict[Path, Path]] | None:
    """The file with everything but its own external data inline; None if that is no good idea."""
    used: dict[Span, None] = {}

    def resolve(tensor: TensorProto) -> Span | None:
        span = Span.of(tensor, folder)
        if span is None or is_parked(tensor):
            return span
        used[span] = None
        return None

    pieces = splice(_serialize(proto), resolve)
    if sum(map(size_of, pieces)) > LIMIT:
        return None
    if not used:
        return pieces, {}
    new = sum(piece.length for piece in pieces if isinstance(piece, Span))
    total = sum(Path(path).stat().st_size for path in {span.path for span in used})
    if (new + total - sum(span.length for span in used)) * STALE >= total:
        return None
    copies = _copies(proto, folder, target)
    return None if copies is None else (pieces, copies)


def _packed(
    proto: ModelProto, folder: Path | str | None, target: Path, threshold: int
) -> dict[Path, _Pieces]:
    """The file and the one with the data of its initializers."""
    copy = ModelProto()
    copy.CopyFrom(proto)
    for tensor in tensors(copy):
        if is_external(tensor) and (span := Span.of(tensor, folder)):
            span.park(tensor)
    data = target.with_name(target.name + ".data")
    pieces: _Pieces = []
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
    model = _within_limit(splice(_serialize(copy)))
    return {data: pieces, target: model} if pieces else {target: model}


def _copies(proto: ModelProto, folder: Path | str | None, target: Path) -> dict[Path, Path] | None:
    """The data files to copy so that *proto* finds them from *target*, each with its original.

    None if one of them would overwrite something else.
    """
    copies: dict[Path, Path] = {}
    # Looking through all tensors is dear for large graphs, and few models have external data.
    if b"location" not in _serialize(proto):
        return copies
    for tensor in tensors(proto):
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


def _equals(proto: ModelProto, source: Path | str) -> bool:
    try:
        return load_skeleton(source) == proto
    except (OSError, InvalidModelError):
        return False


def _serialize(proto: ModelProto) -> bytes:
    try:
        serialized: bytes = proto.SerializeToString()
        return serialized
    except (EncodeError, ValueError, MemoryError) as error:
        raise InvalidModelError(
            f"the graph alone, without its parked payloads, cannot be serialized: {error}"
        ) from error


def _within_limit(pieces: _Pieces) -> _Pieces:
    size = sum(map(size_of, pieces))
    if size > LIMIT:
        raise InvalidModelError(
            f"the model comes to {size:,} bytes in one piece and protobuf allows {LIMIT:,};"
            " save it to a file with external data"
        )
    return pieces


# Following a file that took the place of another


def _tensors_in(proto: ModelProto, folder: Path | str | None, files: list[Path]) -> list[int]:
    """The tensors, counted as `tensors` does, whose data is in one of *files*, which exist."""
    existing = {os.fspath(file) for file in files if file.exists()}
    return [
        index
        for index, tensor in enumerate(tensors(proto) if existing else ())
        if (span := Span.of(tensor, folder)) and os.path.realpath(span.path) in existing
    ]


def _follow(proto: ModelProto, moved: list[int], folder: Path | str | None, target: Path) -> None:
    saved = dict(enumerate(tensors(load_skeleton(target))))
    wanted = set(moved)
    for index, tensor in enumerate(tensors(proto)):
        if index in wanted:
            tensor.CopyFrom(saved[index])
            if is_external(tensor) and os.path.realpath(folder or "") != str(target.parent):
                span = Span.of(tensor, target.parent)
                assert span is not None
                span.park(tensor)


# How it is written


def _replace(files: dict[Path, _Pieces], copies: dict[Path, Path]) -> None:
    """Write *files* and *copies* under temporary names, and rename them once all are complete."""
    with ExitStack() as stack:
        staged = {}
        for path, original in copies.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            status = original.stat()
            staged[path] = _stage(path, [Span(str(original), 0, status.st_size)], stack)
            os.utime(staged[path], ns=(status.st_atime_ns, status.st_mtime_ns))
        for path, pieces in files.items():
            staged[path] = _stage(path, pieces, stack)
        for path, temporary in staged.items():
            temporary.replace(path)


def _stage(path: Path, pieces: _Pieces, stack: ExitStack) -> Path:
    temporary = path.with_name(f".onnxforge-{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    file = os.open(temporary, flags, 0o666)
    stack.callback(temporary.unlink, missing_ok=True)
    try:
        if path.exists():
            temporary.chmod(path.stat().st_mode & 0o7777)
        _write(file, pieces)
        os.fsync(file)
    finally:
        os.close(file)
    return temporary


def _write(file: int, pieces: _Pieces) -> None:
    with ExitStack() as stack:
        sources: dict[str, int] = {}
        for piece in pieces:
            if isinstance(piece, bytes):
                _write_all(file, piece)
                continue
            source = sources.get(piece.path)
            if source is None:
                source = os.open(piece.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
                stack.callback(os.close, source)
                sources[piece.path] = source
            _copy(source, piece, file)


def _copy(source: int, span: Span, file: int) -> None:
    offset, left = span.offset, span.length
    for step in (_copy_in_kernel, _send_in_kernel, _copy_here):
        while left:
            try:
                copied = step(source, file, left, offset)
            except OSError as error:
                if step is _copy_here or error.errno not in _NO_COPY:
                    raise
                break
            if not copied:
                # Also what some file systems answer instead of an error: ask the next way.
                break
            offset, left = offset + copied, left - copied
    if left:
        raise ExternalDataError(f"{span.path}: ends {left} bytes before a tensor's data does")


def _copy_in_kernel(source: int, file: int, count: int, offset: int) -> int:
    if not hasattr(os, "copy_file_range"):
        return 0
    return os.copy_file_range(source, file, count, offset)


def _send_in_kernel(source: int, file: int, count: int, offset: int) -> int:
    if not hasattr(os, "sendfile"):
        return 0
    return os.sendfile(file, source, offset, count)


def _copy_here(source: int, file: int, count: int, offset: int) -> int:
    os.lseek(source, offset, os.SEEK_SET)
    content = os.read(source, min(count, 1 << 20))
    _write_all(file, content)
    return len(content)


def _write_all(file: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(file, left) :]
