from __future__ import annotations

from collections.abc import Iterator
from math import inf

from onnxforge import Builder, Graph, Node, Pass, Value
from onnxforge.shapes import Shape

from .uniform import uniform

# The number that leaves the other operand as it is, on either side or on the right alone.
_EITHER = {"Add": 0, "And": 1, "BitwiseOr": 0, "BitwiseXor": 0, "Max": -inf, "Min": inf}
_EITHER |= {"Mul": 1, "Or": 0, "Sum": 0, "Xor": 0}
_RIGHT = {"BitShift": 0, "Div": 1, "Pow": 1, "Sub": 0}
_INVERSE = frozenset({"BitwiseNot", "Neg", "Not"})
_OF_TWO_ALIKE = frozenset({"And", "BitwiseAnd", "BitwiseOr", "Max", "Min", "Or"})
_IDEMPOTENT = frozenset({"Abs", "Ceil", "Floor", "Relu", "Round", "Sign"})
_ROUNDED = frozenset({"Ceil", "Floor", "Round"})
_ZERO_BIAS = {"Conv": 2, "ConvTranspose": 2, "Gemm": 2}
_OPERATORS = ("BitwiseAnd", "Where", *_EITHER, *_RIGHT, *_INVERSE, *_IDEMPOTENT, *_ZERO_BIAS)


class ArithmeticIdentityElimination(Pass):
    """Read past arithmetic that changes no number.

    That is x + 0, x - 0, x * 1, x / 1, x ** 1, the units of And, Or, Xor, Min and Max, those of a
    value and itself, a Where of constant condition or between a value and itself, an operator twice
    that undoes itself (Neg, Not) or has nothing left to do (Abs, Ceil, Floor, Relu, Round, Sign),
    and a bias of zeros of Conv, ConvTranspose and Gemm.

    Only where the shape is proved to stay, and numerically: -0.0 may remain where adding 0 gave
    0.0.  The scale and bias of a normalization that is spelled out stay, even if they are ones and
    zeros: runtimes recognize the whole by them.
    """

    def run(self, graph: Graph) -> int:
        """Replace the outputs of such nodes; return how many there were."""
        changes = 0
        for node in graph.calls(*_OPERATORS):
            if node.domain or node.has_references:
                continue
            if node.op_type in _ZERO_BIAS:
                changes += _drop_bias(graph, node, _ZERO_BIAS[node.op_type])
                continue
            source = next((each for each in sources_of(node) if _is_alike(node, each)), None)
            if source is not None:
                changes += graph.replace(node.output, source)
        return changes


def sources_of(node: Node) -> Iterator[Value]:
    """The values that the output of *node* could be, but for its shape."""
    op_type = node.op_type
    if op_type == "Where":
        condition = uniform(node.inputs[0])
        chosen = node.inputs[1 if condition else 2]
        is_either = condition is not None or node.inputs[1] is node.inputs[2]
        if is_either and chosen is not None:
            yield chosen
    elif len(node.inputs) == 2:
        left, right = node.inputs
        if left is None or right is None:
            return
        if left is right and op_type in _OF_TWO_ALIKE:
            yield left
        if _is(right, _EITHER.get(op_type, _RIGHT.get(op_type)), left):
            yield left
        if _is(left, _EITHER.get(op_type), right):
            yield right
    elif len(node.inputs) == 1 and node.inputs[0] is not None:
        inner = node.inputs[0].producer
        if inner is None or inner.domain:
            return
        if op_type in _INVERSE and inner.op_type == op_type and inner.inputs[0] is not None:
            yield inner.inputs[0]
        elif (op_type in _IDEMPOTENT and inner.op_type == op_type) or (
            op_type in _ROUNDED and inner.op_type in _ROUNDED
        ):
            yield inner.output


def _is(operand: Value, unit: float | None, other: Value) -> bool:
    if unit is None or _is_looked_for(operand, other, is_shift=unit == 0):
        return False
    return bool(uniform(operand) == unit)


def _is_looked_for(operand: Value, other: Value, *, is_shift: bool) -> bool:
    """Whether a runtime recognizes more by this parameter than it saves without it.

    Such are the scale and bias of a normalization spelled out, which follow its division or each
    other.  A product of which nothing is constant, as where quantized numbers get their scale, is
    not the scale that a bias follows.
    """
    maker = other.producer
    if maker is None or maker.op_type not in ("Div", "Mul"):
        return False
    if is_shift and maker.op_type == "Mul" and not any(v and v.is_constant for v in maker.inputs):
        return False
    return operand.is_constant and operand.shape != ()


def _is_alike(node: Node, source: Value) -> bool:
    """Whether *source* is proved to have the shape of the node's output, whose type it has."""
    if len(node.inputs) == 1:
        return True
    if source.shape is None:
        return False
    others = [each for each in node.inputs if each is not source]
    if all(each is not None and _adds_nothing(each, source.shape) for each in others):
        return True
    return None not in source.shape and source.shape == node.output.shape


def _adds_nothing(other: Value, shape: Shape) -> bool:
    """Whether a tensor of *shape* keeps it when *other* is broadcast against it."""
    if other.shape is None or len(other.shape) > len(shape):
        return False
    aligned = zip(other.shape, shape[len(shape) - len(other.shape) :], strict=True)
    return all(size == 1 or (size is not None and size == own) for size, own in aligned)


def _drop_bias(graph: Graph, node: Node, index: int) -> bool:
    """Leave out a bias of zeros; Gemm may since opset 11."""
    bias = node.input(index)
    if bias is None or (node.op_type == "Gemm" and node.version < 11) or uniform(bias) != 0:
        return False
    op = Builder(graph, before=node)
    replaced = graph.replace(
        node.output, getattr(op, node.op_type)(*node.inputs[:index], like=node)
    )
    op.undo()
    return replaced
