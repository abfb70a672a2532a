"""Where new weights wait for the model to be saved."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from onnxforge.storage.span import Span, release

ALIGNMENT = 64
"""Bytes; a cache line, and the widest vector register."""


RESERVED = 1 << 18
"""Bytes from which telling the kernel of them ahead takes less than it saves."""

WINDOW = 1 << 23
"""Bytes that are brought into order at a time."""


class Scratch:
    """A temporary file that only grows, made on first use and removed with this object."""

    __slots__ = ("__weakref__", "_end", "_file", "_path")

    def __init__(self) -> None:
        self._path: Path | None = None
        self._file = -1
        self._end = 0

    @property
    def path(self) -> Path:
        """The file, in the folder for temporary files; asking for it makes it."""
        if self._path is None:
            self._file, name = tempfile.mkstemp(prefix="onnxforge-", suffix=".scratch")
            self._path = Path(name)
            weakref.finalize(self, _remove, self._file, name, os.getpid())
        return self._path

    def add(self, array: npt.NDArray[Any]) -> Span:
        """Where the elements of *array* now are: little-endian, row by row, aligned to 64 bytes.

        Raises:
            OSError: the folder for temporary files is full; TMPDIR names another.

        """
        path = self.path
        order = array.dtype.newbyteorder("<")
        offset = -(-self._end // ALIGNMENT) * ALIGNMENT
        os.lseek(self._file, offset, os.SEEK_SET)
        reserve(self._file, offset, array.nbytes)
        for block in _blocks(array):
            left = np.ascontiguousarray(block, order).reshape(-1).view(np.uint8).data
            while left:
                left = left[os.write(self._file, left) :]
        if array.nbytes > WINDOW:
            release()
        self._end = offset + array.nbytes
        return Span(str(path), offset, array.nbytes)


def reserve(file: int, offset: int, length: int) -> None:
    """Tell the kernel how much will be written where: page by page it takes half as long again."""
    if length >= RESERVED and hasattr(os, "posix_fallocate"):
        with suppress(OSError):  # whatever it is, writing says it
            os.posix_fallocate(file, offset, length)


def _blocks(array: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """The array, or parts of it that follow each other, if a copy of it would be large."""
    if array.nbytes <= WINDOW or array.flags.c_contiguous:
        yield array
        return
    step = max(1, WINDOW * len(array) // array.nbytes)
    for start in range(0, len(array), step):
        yield array[start : start + step]


def _remove(file: int, name: str, owner: int) -> None:
    os.close(file)
    # A forked process has the object too, but the file is its parent's.
    if os.getpid() == owner:
        Path(name).unlink(missing_ok=True)
