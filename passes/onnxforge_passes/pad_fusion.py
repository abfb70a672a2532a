from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnxforge import Const, Decline, Match, Node, RewritePass, Value
from onnxforge.shapes import at_least

from .clip_merging import range_of


class PadFusion(RewritePass):
    """Let a Conv, AveragePool or MaxPool pad by itself what a Pad ahead of it pads.

    The Pad must add constants around the spatial axes alone: 0 for Conv, 0 for AveragePool, which
    then counts them, and for MaxPool, whose own padding is never the maximum, -inf or any number
    that nothing in its input is below, as 0 after a Relu.
    """

    def pattern(
        self,
        op: Any,
        x: Value,
        W: Value,
        B: Value | None,
        pads: Const | None,
        fill: Const | None,
        axes: Const | None,
    ) -> Any:
        """A Conv of what was padded."""
        return op.Conv(_pad(op, x, pads, fill, axes), W, B)

    def pattern_average(
        self, op: Any, x: Value, pads: Const | None, fill: Const | None, axes: Const | None
    ) -> Any:
        """An AveragePool of what was padded."""
        return op.AveragePool(_pad(op, x, pads, fill, axes), ceil_mode=0)

    def pattern_max(
        self, op: Any, x: Value, pads: Const | None, fill: Const | None, axes: Const | None
    ) -> Any:
        """A MaxPool of what was padded."""
        return op.MaxPool(_pad(op, x, pads, fill, axes), ceil_mode=0)

    def rewrite(
        self,
        op: Any,
        match: Match,
        x: Value,
        W: Value | None,
        B: Value | None,
        pads: Const | None,
        fill: Const | None,
        axes: Const | None,
    ) -> Any:
        """The node with the padding of both."""
        pad, node = match.nodes
        if pad.version < 2 or node.version < 7:
            raise Decline("operators this old pad by other rules")
        added = _spatial(pad, x, pads, axes)
        number = _fill(pad, fill)
        is_least = number is not None and number <= range_of(x)[0]
        if number != 0 if node.op_type != "MaxPool" else not is_least:
            raise Decline(f"{node.op_type} does not pad with this number")
        auto = node.attribute("auto_pad")
        if auto not in ("NOTSET", "VALID"):
            raise Decline("the padding is left to be computed (auto_pad)")
        own = (auto == "NOTSET" and node.attribute("pads")) or [0] * len(added)
        both = [a + b for a, b in zip(own, added, strict=True)]
        options: dict[str, Any] = {"pads": both, "auto_pad": None}
        if node.op_type == "Conv":
            return op.Conv(x, W, B, like=node, **options)
        kernel = node.attribute("kernel_shape")
        if any(pad >= size for pad, size in zip(both, kernel * 2, strict=True)):
            raise Decline("a window would lie in the padding alone")
        if node.op_type == "MaxPool" and not _hits(node, x):
            raise Decline("a window may skip what is not padding")
        if node.op_type == "AveragePool":
            if any(own) and not node.attribute("count_include_pad"):
                raise Decline("the pool counts what the Pad adds, but not what it adds itself")
            options["count_include_pad"] = 1
        return getattr(op, node.op_type)(x, like=node, **options)


def _pad(op: Any, x: Value, pads: Const | None, fill: Const | None, axes: Const | None) -> Any:
    return op.Pad(x, pads, fill, axes, mode="constant")


def _spatial(pad: Node, x: Value, pads: Const | None, axes: Const | None) -> list[int]:
    """What is added ahead of each spatial axis, then behind each."""
    given: Sequence[int]
    if pad.version < 11:
        given = pad.attribute("pads")
    elif pads is None:
        raise Decline("the Pad says not how much")
    else:
        given = pads.numpy().tolist()
    half = len(given) // 2
    places = list(range(half)) if axes is None else axes.numpy().tolist()
    rank = half if axes is None else x.rank
    if rank is None:
        raise Decline("the rank of what is padded is not known")
    sizes = [0] * (2 * rank)
    for index, axis in enumerate(places):
        sizes[axis % rank] = given[index]
        sizes[axis % rank + rank] = given[half + index]
    if any(sizes[axis + side] for axis in (0, 1) for side in (0, rank)):
        raise Decline("the Pad adds samples or channels")
    if min(sizes) < 0:
        raise Decline("the Pad takes away")
    return sizes[2:rank] + sizes[rank + 2 :]


def _hits(pool: Node, x: Value) -> bool:
    """Whether no window is known to step over all of *x*."""
    steps = pool.attribute("dilations") or []
    if all(step == 1 for step in steps):
        return True
    sizes = (x.shape or ())[2:]
    return len(sizes) == len(steps) and all(map(at_least, sizes, steps))


def _fill(pad: Node, fill: Const | None) -> Any:
    if pad.version < 11:
        return pad.attribute("value")
    if fill is None:
        return 0
    return fill.numpy().item() if fill.numpy().size == 1 else None
