"""Files that appear complete or not at all, large payloads copied from others as they stream."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from io import FileIO
from pathlib import Path
from typing import TypeAlias

from onnxforge.errors import ExternalDataError
from onnxforge.storage.scratch import reserve
from onnxforge.storage.span import Span
from onnxforge.storage.wire import size_of

Pieces: TypeAlias = list[bytes | Span]

GATHERED = 1 << 20
"""Bytes up to which pieces are read, and written together: a call for each would take longer."""
_BUFFER = 1 << 20
_PAGE = 4096
"""Bytes at whose multiples the kernel shares or copies the content of files whole."""

# How the kernel says that it cannot copy between these two files, though a program can.
_NO_COPY = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM}


def write(path: Path | str, *pieces: bytes | Span) -> None:
    """Write *pieces*, one after the other, to *path*.

    A regular file is replaced; anything else, such as a pipe, is written to as it is.

    Raises:
        OSError: the file cannot be written; a regular one is then what it was.

    """
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "a folder; name the file to write in it", str(path))
    if target.exists() and not target.is_file():
        with _named(target), target.open("wb", buffering=0) as file:
            _Output(file.fileno()).write(list(pieces))
    else:
        replace({Path(os.path.realpath(path)): list(pieces)}, {})


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
        stack.pop_all()  # nothing is left to remove


def _stage(path: Path, pieces: Pieces, stack: ExitStack) -> Path:
    replaced = path.exists()
    temporary = path.with_name(f".onnxforge-{os.urandom(8).hex()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with _named(path, temporary):
        file = os.open(temporary, flags, 0o666)
    stack.callback(temporary.unlink, missing_ok=True)
    try:
        if replaced:
            temporary.chmod(path.stat().st_mode & 0o7777)
        with _named(path):
            reserve(file, 0, sum(map(size_of, pieces)))
            _Output(file).write(pieces)
            if replaced:  # nothing that was is lost, not even if the machine stops
                os.fsync(file)
    finally:
        os.close(file)
    return temporary


@contextmanager
def _named(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Errors of the kernel that name no file, of a full disk for one, or *temporary*, name *path*."""
    try:
        yield
    except OSError as error:
        if error.filename is None or error.filename == str(temporary):
            error.filename = str(path)
        raise


class _Output:
    """A file being written: small pieces are gathered, large ones streamed."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._position = 0
        self._waiting: list[bytes] = []
        self._gathered = 0
        self._sources: dict[str, FileIO] = {}

    @cached_property
    def _buffer(self) -> memoryview:
        return memoryview(bytearray(_BUFFER))

    def write(self, pieces: Pieces) -> None:
        """Write *pieces*, one after the other."""
        with ExitStack() as stack:
            for piece in pieces:
                length = size_of(piece)
                if self._gathered + length > GATHERED:
                    self._flush()
                if isinstance(piece, Span):
                    self._add_span(piece, stack)
                elif length < GATHERED:
                    self._gather(piece)
                else:
                    self._write(piece)
            self._flush()

    def _add_span(self, span: Span, stack: ExitStack) -> None:
        if (source := self._sources.get(span.path)) is None:
            source = self._sources[span.path] = stack.enter_context(FileIO(span.path))
        is_small = span.length < GATHERED
        # Where pages of the two do not line up, the kernel takes longer than reading and writing.
        if not is_small and (span.offset - self._position) % _PAGE == 0:
            span = self._copy_in_kernel(source, span)
        source.seek(span.offset)
        left = span.length
        while left:
            if is_small:
                count = self._gather(source.read(left))
            elif count := source.readinto(self._buffer[:left]):
                self._write(self._buffer[:count])
            if not count:
                text = f"{span.path}: ends {left} bytes before a tensor's data does"
                raise ExternalDataError(text)
            left -= count

    def _copy_in_kernel(self, source: FileIO, span: Span) -> Span:
        """Copy what the kernel can, which may do it by reference; what is left is returned."""
        if not hasattr(os, "copy_file_range"):
            return span
        offset, left = span.offset, span.length
        try:
            while left and (n := os.copy_file_range(source.fileno(), self._file, left, offset)):
                offset, left = offset + n, left - n
                self._position += n
        except OSError as error:
            if error.errno not in _NO_COPY:
                raise
        return Span(span.path, offset, left)

    def _gather(self, piece: bytes) -> int:
        self._waiting.append(piece)
        self._gathered += len(piece)
        return len(piece)

    def _flush(self) -> None:
        self._write(b"".join(self._waiting))
        self._waiting.clear()
        self._gathered = 0

    def _write(self, content: bytes | memoryview) -> None:
        with memoryview(content) as left:
            done = 0
            while done < len(left):
                done += os.write(self._file, left[done:])
            self._position += done
