"""Tensors of indices that count along their axes, as exporters compute them from ranges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from onnx import TensorProto

from onnxforge import Node, Value
from onnxforge.shapes import Known, known_equal

from .uniform import uniform

_MAX_NODES = 32


@dataclass(frozen=True)
class Grid:
    """A tensor of `shape` whose element at (i, j, ...) is `start` + i * `steps[0]` + j * ..."""

    shape: tuple[Known, ...]
    start: Known
    steps: tuple[Known, ...]

    @property
    def rank(self) -> int:
        """How many axes it has."""
        return len(self.shape)


def grid(value: Value | None) -> Grid | None:
    """How *value* counts, or None if it is not known to."""
    order = _order(value)
    found: dict[Value, Grid | None] = {}
    for each in order:
        found[each] = _grid(each, found)
    return found.get(value) if value is not None else None


def _order(value: Value | None) -> list[Value]:
    """What *value* is computed from, each after what it needs itself, as far as may matter."""
    found: dict[Value, None] = {}
    seen: dict[Value, None] = {}
    stack = [value]
    while stack and len(seen) <= _MAX_NODES:
        each = stack[-1]
        if each is None or each in seen:
            stack.pop()
            if each is not None:
                found[each] = None
            continue
        seen[each] = None
        node = each.producer
        if (
            each.contents is None
            and node is not None
            and node.op_type in _RULES
            and not node.domain
        ):
            stack += node.inputs
    return list(found)


def _grid(value: Value, found: dict[Value, Grid | None]) -> Grid | None:
    shape, contents, node = value.shape, value.contents, value.producer
    if shape is None or None in shape or value.dtype not in (TensorProto.INT32, TensorProto.INT64):
        return None
    sizes = tuple(size for size in shape if size is not None)
    if all(size == 1 for size in sizes) and (contents is not None or value.is_constant):
        only = contents.elements[0] if contents is not None else uniform(value)
        return None if only is None else Grid(sizes, only, (0,) * len(sizes))
    rule = _RULES.get(node.op_type) if node is not None and not node.domain else None
    if node is None or rule is None or node.has_references:
        return None
    operands = [found.get(each) if each is not None else None for each in node.inputs]
    steps = rule(node, operands)
    if steps is None or len(steps[1]) != len(sizes):
        return None
    moving = (0 if size == 1 else step for size, step in zip(sizes, steps[1], strict=True))
    return Grid(sizes, steps[0], tuple(moving))


# Each rule gives start and steps of a node's output from what its inputs are.

_Steps = tuple[Known, tuple[Known, ...]]


def _range(_: Node, operands: list[Grid | None]) -> _Steps | None:
    start, _limit, delta = operands
    return None if start is None or delta is None else (start.start, (delta.start,))


def _view(node: Node, operands: list[Grid | None]) -> _Steps | None:
    source, shape = operands[0], node.output.shape
    if source is None or shape is None:
        return None
    pairs = zip(source.shape, source.steps, strict=True)
    moving = [(size, step) for size, step in pairs if size != 1]
    if [size for size, _ in moving] != [size for size in shape if size != 1]:
        return None
    rest = iter(moving)
    return source.start, tuple(0 if size == 1 else next(rest)[1] for size in shape)


def _transpose(node: Node, operands: list[Grid | None]) -> _Steps | None:
    source, perm = operands[0], node.attribute("perm")
    if source is None:
        return None
    order = perm if perm is not None else range(len(source.steps))[::-1]
    return source.start, tuple(source.steps[axis] for axis in order)


def _same(node: Node, operands: list[Grid | None]) -> _Steps | None:
    source = operands[0]
    steps = None if source is None else _stretched(source, node)
    return None if source is None or steps is None else (source.start, steps)


def _sum(sign: int) -> Callable[[Node, list[Grid | None]], _Steps | None]:
    def rule(node: Node, operands: list[Grid | None]) -> _Steps | None:
        left, right = operands
        if left is None or right is None:
            return None
        first, second = _stretched(left, node), _stretched(right, node)
        if first is None or second is None:
            return None
        pairs = zip(first, second, strict=True)
        return left.start + sign * right.start, tuple(a + sign * b for a, b in pairs)

    return rule


def _product(node: Node, operands: list[Grid | None]) -> _Steps | None:
    left, right = operands
    if left is None or right is None:
        return None
    if any(left.steps):
        left, right = right, left
    if any(left.steps):
        return None
    steps = _stretched(right, node)
    return (
        None if steps is None else (left.start * right.start, tuple(left.start * s for s in steps))
    )


def _stretched(source: Grid, node: Node) -> tuple[Known, ...] | None:
    """The steps along the axes of the output, which *source* is broadcast to.

    None if an axis along which it counts may be one of a single element that is repeated.
    """
    shape = node.output.shape or ()
    added = len(shape) - len(source.steps)
    for size, own, step in zip(shape[added:], source.shape, source.steps, strict=True):
        if step != 0 and not known_equal(size, own):
            return None
    return (0,) * added + source.steps


_RULES: dict[str, Callable[[Node, list[Grid | None]], _Steps | None]] = {
    "Add": _sum(1),
    "Cast": _same,
    "Expand": _same,
    "Identity": _same,
    "Mul": _product,
    "Range": _range,
    "Reshape": _view,
    "Squeeze": _view,
    "Sub": _sum(-1),
    "Transpose": _transpose,
    "Unsqueeze": _view,
}
