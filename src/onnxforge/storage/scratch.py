"""Where new weights wait for the model to be saved."""

from __future__ import annotations

import os
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from onnxforge.storage.span import Span

ALIGNMENT = 64
"""Bytes; a cache line, and the widest vector register."""


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
        content = np.ascontiguousarray(array, order).reshape(-1).view(np.uint8)
        offset = -(-self._end // ALIGNMENT) * ALIGNMENT
        os.lseek(self._file, offset, os.SEEK_SET)
        left = content.data
        while left:
            left = left[os.write(self._file, left) :]
        self._end = offset + content.nbytes
        return Span(str(path), offset, content.nbytes)


def _remove(file: int, name: str, owner: int) -> None:
    os.close(file)
    # A forked process has the object too, but the file is its parent's.
    if os.getpid() == owner:
        Path(name).unlink(missing_ok=True)
