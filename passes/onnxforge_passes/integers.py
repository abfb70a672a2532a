"""Small tensors of integers: sizes, axes, indices."""

from __future__ import annotations

from onnxforge import Value


def integers(value: Value | None) -> list[int] | None:
    """The elements of a small integer tensor, constant or not; None if not all are known."""
    contents = value.contents if value is not None else None
    return contents.constants() if contents is not None else None
