"""Files that appear complete or not at all, large payloads copied by the kernel from others."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

from onnxforge.errors import ExternalDataError
from onnxforge.storage.span import Span
from onnxforge.storage.wire import size_of

Pieces: TypeAlias = list[bytes | Span]

GATHERED = 1 << 20
"""Bytes up to which pieces are read, and written together: a call for each would take longer."""

# How the kernel says that it cannot copy between these two files, though a program can.
_NO_COPY = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM}


def write(path: Path | str, *pieces: bytes | Span) -> None:
    """Write *pieces*, one after the other, to *path*.

    A regular file is replaced; anything else, such as a pipe, is written to as it is.

    Raises:
        OSError: the file cannot be written; a regular one is then what it was.

    """
    target = Path(path).resolve()
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "a folder; name the file to write in it", str(path))
    if target.exists() and not target.is_file():
        with target.open("wb", buffering=0) as file:
            _write_to(file.fileno(), list(pieces))
    else:
        replace({target: list(pieces)}, {})


def replace(files: Mapping[Path, Pieces], copies: Mapping[Path, Path]) -> None:
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


def _stage(path: Path, pieces: Pieces, stack: ExitStack) -> Path:
    replaced = path.exists()
    temporary = path.with_name(f".onnxforge-{os.urandom(8).hex()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    file = os.open(temporary, flags, 0o666)
    stack.callback(temporary.unlink, missing_ok=True)
    try:
        if replaced:
            temporary.chmod(path.stat().st_mode & 0o7777)
        _write_to(file, pieces)
        if replaced:  # nothing that was is lost, not even if the machine stops
            os.fsync(file)
    finally:
        os.close(file)
    return temporary


def _write_to(file: int, pieces: Pieces) -> None:
    waiting = bytearray()
    with ExitStack() as stack:
        sources: dict[str, int] = {}

        def source_of(span: Span) -> int:
            if span.path not in sources:
                source = os.open(span.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
                stack.callback(os.close, source)
                sources[span.path] = source
            return sources[span.path]

        for piece in pieces:
            if len(waiting) + size_of(piece) > GATHERED:
                _write_all(file, waiting)
                waiting.clear()
            is_small = size_of(piece) < GATHERED
            if isinstance(piece, bytes):
                if is_small:
                    waiting += piece
                else:
                    _write_all(file, piece)
            elif is_small:
                waiting += _read(source_of(piece), piece)
            else:
                _copy(source_of(piece), piece, file)
        _write_all(file, waiting)


def _read(source: int, span: Span) -> bytes:
    os.lseek(source, span.offset, os.SEEK_SET)
    content = os.read(source, span.length)
    while len(content) < span.length:
        more = os.read(source, span.length - len(content))
        if not more:
            raise _short(span, span.length - len(content))
        content += more
    return content


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
        raise _short(span, left)


def _short(span: Span, left: int) -> ExternalDataError:
    return ExternalDataError(f"{span.path}: ends {left} bytes before a tensor's data does")


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


def _write_all(file: int, content: bytes | bytearray) -> None:
    with memoryview(content) as left:
        done = 0
        while done < len(left):
            done += os.write(file, left[done:])
