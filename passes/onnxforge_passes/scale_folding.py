from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from onnxforge import Builder, Decline, Graph, Node, Pass, Value
from onnxforge.shapes import known_equal

from .reshape_target import elements
from .scalar import scalar
from .transpose_merging import permutation
from .weights import FLOATS, rounded

_VIEWS = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")
# From a scale up to the weights there are a Transpose, a Reshape, a Split and a bias.
_MAX_STEPS = 8


class ScaleFolding(Pass):
    """Fold the number by which an attention scales its queries, or its scores, into the weights.

        k * (moved(x @ W + B) @ y)  =  moved(x @ (k * W) + k * B) @ y

    To be moved is to be reshaped, transposed, or one part of a Split: then only the columns it is
    made of are scaled.  The new weights are computed in float64 and rounded once.  What ONNX
    Runtime makes an Attention of, with a mask, is left as it is.
    """

    operators = ("Div", "Mul")

    def run(self, graph: Graph) -> int:
        """Fold the scales; return how many."""
        return sum(_fold(graph, node) for node in graph.calls("Div", "Mul"))


def _fold(graph: Graph, scaling: Node) -> bool:
    if scaling.domain or scaling.version < 7:
        return False
    x, k = scaling.inputs
    if scaling.op_type == "Mul" and x is not None and x.is_constant:
        x, k = k, x
    if x is None or k is None or not k.is_constant or k.dtype not in FLOATS:
        return False
    scores = x.producer if _is_private(x, graph) else None
    if scores is not None and (scores.op_type != "MatMul" or scores.domain or _weights(scores)):
        scores = None
    for operand in (x,) if scores is None else scores.inputs:
        chain = _chain(graph, operand)
        if chain is None:
            continue
        if _is_attention(scaling, chain):
            graph.decline("ONNX Runtime makes an Attention of it")
            continue
        op = Builder(graph)
        try:
            factor = scalar(k, x)
            if scaling.op_type == "Div":
                factor = 1 / factor if factor else np.nan
            new, rest = _scaled(op, chain, factor)
        except Decline as reason:
            graph.decline(str(reason))
            op.undo()
            continue
        if scores is not None:
            op.before = scores
            inputs = [new if value is operand else value for value in scores.inputs]
            new = op.MatMul(*inputs, like=scores)
        done = graph.replace(scaling.output, new)
        for old, part in rest if done else ():
            graph.replace(old, part)
        op.undo()
        if done:
            return True
    return False


def _weights(product: Node) -> list[Value]:
    return [value for value in product.inputs[1:] if value is not None and value.is_constant]


def _is_private(value: Value, graph: Graph) -> bool:
    readers = list(value.consumers)
    if len(readers) != 1 or value.is_output or readers[0].graph is not graph:
        return False
    return readers[0].inputs.count(value) == 1  # twice, and it would be scaled twice


def _chain(graph: Graph, value: Value | None) -> list[Value] | None:
    """The values from *value* up to a product with constant weights, each read by the last alone.

    None if there is no such product.
    """
    found: list[Value] = []
    passed: list[str] = []
    while value is not None and len(found) < _MAX_STEPS and _is_private(value, graph):
        node = value.producer
        if node is None or node.graph is not graph or node.domain or node.has_references:
            return None
        found.append(value)
        if node.op_type in ("Gemm", "MatMul"):
            W = node.inputs[1]
            if W is None or W.rank is None or W.rank < 2:
                return None  # a vector has no columns
            return found if all(_is_own(each, node) for each in node.inputs[1:]) else None
        if "Add" in passed or (node.op_type == "Split" and "Split" in passed):
            return None
        if node.op_type == "Add":
            biases = [each for each in node.inputs if _is_own(each, node)]
            if node.version < 7 or len(biases) != 1 or biases[0] is None or biases[0].rank != 1:
                return None
            value = next(each for each in node.inputs if each is not biases[0])
        elif node.op_type in ("Split", "Transpose", *_VIEWS):
            value = node.inputs[0]
        else:
            return None
        passed.append(node.op_type)
    return None


def _is_own(constant: Value | None, node: Node) -> bool:
    """Whether a constant of floats is read by nothing else, lest the model grow."""
    return constant is None or (
        constant.is_constant
        and constant.dtype in FLOATS
        and list(constant.consumers) == [node]
        and not constant.is_output
    )


def _is_attention(scaling: Node, chain: list[Value]) -> bool:
    """Whether it may be what ONNX Runtime looks for: masked, of a residual or of a Split."""
    readers = {node.op_type for node in scaling.output.consumers}
    makers = [value.producer for value in chain]
    if any(node is not None and node.op_type == "Split" for node in makers):
        return bool(readers & {"Add", "Where"})
    x = makers[-1].inputs[0] if makers[-1] is not None else None
    is_residual = x is not None and any(node.op_type == "Add" for node in x.consumers)
    return is_residual and bool(readers & {"Add", "MatMul", "Where"})


class _Columns(NamedTuple):
    """Those elements of a value that are scaled: so many along an axis; None stands for all."""

    axis: int
    start: int
    size: int


def _scaled(
    op: Builder, chain: list[Value], factor: float
) -> tuple[Value, list[tuple[Value, Value]]]:
    """What the chain makes, scaled; and what is to stand for the other parts of a Split.

    Raises `Decline` if it cannot be told which columns it is made of.
    """
    columns: _Columns | None = None
    for value in chain:
        columns = _columns_above(value, columns)
    new: Any = None
    width = 0
    rest: list[tuple[Value, Value]] = []
    for value in reversed(chain):
        node = value.producer
        assert node is not None
        op.before = node
        draw = getattr(op, node.op_type)
        if node.op_type in ("Gemm", "MatMul"):
            x, W, *biases = node.inputs
            turned = node.op_type == "Gemm" and bool(node.attribute("transB"))
            assert W is not None
            axis = 0 if turned else -1
            width = W.numpy().shape[axis]
            constants = [_times(W, columns, factor, axis, width)]
            constants += [_times(B, columns, factor, -1, width) for B in biases]
            new = draw(x, *constants, like=node)
        elif node.op_type == "Add":
            (B,) = (each for each in node.inputs if each is not None and each.is_constant)
            new = draw(new, _times(B, columns, factor, -1, width), like=node)
        elif node.op_type == "Split":
            parts = draw(new, *node.inputs[1:], outputs=len(node.outputs), like=node)
            pairs = zip(node.outputs, parts, strict=True)
            rest = [(old, part) for old, part in pairs if old is not value]
            new = parts[node.outputs.index(value)]
        else:
            new = draw(new, *node.inputs[1:], like=node)
    return new, rest


def _columns_above(value: Value, columns: _Columns | None) -> _Columns | None:
    """Which elements of what *value* is computed from are scaled where these of its own are."""
    node = value.producer
    data = node.inputs[0] if node is not None else None
    if node is None or data is None or (columns is None and node.op_type != "Split"):
        return columns
    before, after = data.shape, value.shape
    if before is None or after is None:
        raise Decline("the shape on the way to the weights is unknown")
    if node.op_type == "Split":
        axis = node.attribute("axis") % len(before)
        index = node.outputs.index(value)
        sizes = [part.shape[axis] if part.shape else None for part in node.outputs]
        known = [size for size in sizes[: index + 1] if isinstance(size, int)]
        if len(known) <= index:
            raise Decline("the sizes of a Split are unknown")
        return _Columns(axis, sum(known[:index]), known[index])
    assert columns is not None
    axis, start, size = columns
    if node.op_type == "Transpose":
        return _Columns((permutation(node) or [])[axis], start, size)
    if node.op_type not in _VIEWS:
        if axis != len(after) - 1:
            raise Decline("what is scaled is not some of the columns")
        return columns
    width = elements(after[axis + 1 :])
    if not isinstance(width, int) or not known_equal(elements(before[:-1]), elements(after[:axis])):
        raise Decline("what is scaled is not some of the columns")
    return _Columns(len(before) - 1, start * width, size * width)


def _times(
    constant: Value | None, columns: _Columns | None, factor: float, axis: int, width: int
) -> Any:
    """The constant with those columns scaled, of the *width* ones that lie along *axis*."""
    if constant is None:
        return None
    old = constant.numpy()
    exact = old.astype(np.float64)
    if columns is None:
        return rounded(exact * factor, old.dtype)
    if not old.ndim or old.shape[axis] != width:
        raise Decline("the bias is not one number for each column")
    scaled = np.moveaxis(exact, axis, -1)  # a view
    scaled[..., columns.start : columns.start + columns.size] *= factor
    return rounded(exact, old.dtype)
