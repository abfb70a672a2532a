"""Output shapes from rules that keep expressions where ONNX's inference loses them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnxforge.shapes import shape_elementwise, shape_movement, shape_products, shape_spatial
from onnxforge.shapes.call import Call, KnownInput
from onnxforge.shapes.dims import MAX_SIZE, Shape

_rules = shape_elementwise.rules | shape_movement.rules | shape_products.rules | shape_spatial.rules


def output_shapes(
    op_type: str,
    domain: str,
    attributes: Mapping[str, Any],
    opset: int,
    inputs: Sequence[KnownInput | None],
    outputs: int = 1,
) -> list[Shape | None]:
    """The shapes of an operator's outputs, None for each whose rank is not known.

    Holds in every run of a node that the specification allows.  An input that is left out is None;
    *outputs* is how many outputs the node names.  Sizes that are not known are None, and so are
    those of a broadcast of two different symbols.
    """
    if domain not in ("", "ai.onnx"):
        return [None] * outputs
    shapes = _rules.apply(Call(op_type, attributes, opset, inputs, outputs))
    # A failing node would have a negative size, or one beyond all types.
    return [
        None
        if shape is None
        else tuple(
            [
                None if isinstance(size, int) and not 0 <= size <= MAX_SIZE else size
                for size in shape
            ]
        )
        for shape in shapes
    ]
