"""The arithmetic of shapes, with "N" for the dynamic size."""

from __future__ import annotations

from collections.abc import Sequence

Sizes = Sequence["int | str"]


def broadcast(a: Sizes, b: Sizes) -> tuple[int | str, ...]:
    """The shape two shapes that fit broadcast to."""
    rank = max(len(a), len(b))
    pairs = zip((1,) * (rank - len(a)) + tuple(a), (1,) * (rank - len(b)) + tuple(b), strict=True)
    return tuple(y if x == 1 else x for x, y in pairs)


def fits(a: Sizes, b: Sizes) -> bool:
    """Whether two shapes broadcast."""
    return all(x == y or 1 in (x, y) for x, y in zip(reversed(a), reversed(b), strict=False))


def factorings(count: int) -> list[tuple[int, ...]]:
    """Shapes of up to three sizes that hold *count* elements."""
    pairs = [(d, count // d) for d in range(1, count + 1) if count % d == 0]
    return [(count,), *pairs, *((a, 1, b) for a, b in pairs), *([()] if count == 1 else [])]


def sliced(size: int, start: int, end: int, step: int) -> int:
    """How many of *size* elements a Slice takes.

    Unlike Python, ONNX moves a start ahead of the first element to it even if the step is negative.
    """
    start, end = (at + size if at < 0 else at for at in (start, end))
    low, high = (0, size) if step > 0 else (-1, size - 1)
    return len(range(min(max(start, 0), high), min(max(end, low), high), step))
