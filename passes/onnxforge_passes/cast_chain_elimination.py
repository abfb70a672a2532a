from __future__ import annotations

from onnx import TensorProto

from onnxforge import Builder, Graph, Node, Pass, Value

# Of each type: whether it has a sign, a fraction, and how many bits hold its digits and, of floats,
# its exponent.
_INTEGERS: dict[int, tuple[bool, int]] = {
    TensorProto.BOOL: (False, 1),
    TensorProto.UINT8: (False, 8),
    TensorProto.INT8: (True, 7),
    TensorProto.UINT16: (False, 16),
    TensorProto.INT16: (True, 15),
    TensorProto.UINT32: (False, 32),
    TensorProto.INT32: (True, 31),
    TensorProto.UINT64: (False, 64),
    TensorProto.INT64: (True, 63),
}
_FLOATS: dict[int, tuple[int, int]] = {
    TensorProto.BFLOAT16: (8, 8),
    TensorProto.FLOAT16: (11, 5),
    TensorProto.FLOAT: (24, 8),
    TensorProto.DOUBLE: (53, 11),
}


class CastChainElimination(Pass):
    """Cast once where a value is cast twice, if the first cast keeps every value its type has.

    Such as float16 to float to float16, which is nothing at all, or int32 to double to float.  A
    cast that rounds, truncates or wraps stays.
    """

    operators = ("Cast",)

    def run(self, graph: Graph) -> int:
        """Merge the pairs; return how many went."""
        return sum(_merge(graph, node) for node in graph.calls("Cast") if _is_cast(node))


def _merge(graph: Graph, node: Node) -> bool:
    between = node.inputs[0]
    if between is None or between.producer is None or not _is_cast(between.producer):
        return False
    x, to = between.producer.inputs[0], node.attribute("to")
    if x is None or x.dtype is None or not _keeps(x.dtype, between.dtype):
        return False
    if to == x.dtype:
        return graph.replace(node.output, x)
    if not _is_same_cast(x.dtype, between.dtype, to) or not _is_private(between):
        return False
    op = Builder(graph, before=node)
    replaced = graph.replace(node.output, op.Cast(x, like=node))
    op.undo()
    return replaced


def _is_cast(node: Node) -> bool:
    # Until opset 6 the type was spelled out.
    return (
        node.op_type == "Cast" and not node.domain and node.version >= 6 and not node.has_references
    )


def _is_private(value: Value) -> bool:
    return len(value.consumers) == 1 and not value.is_output


def _keeps(source: int, target: int | None) -> bool:
    """Whether *target* can hold every value of *source*."""
    if source == target and source in _INTEGERS | _FLOATS:
        return True
    if source in _INTEGERS:
        signed, bits = _INTEGERS[source]
        if target in _INTEGERS:
            target_signed, target_bits = _INTEGERS[target]
            return bits <= target_bits and (target_signed or not signed)
        if target in _FLOATS:
            digits, exponent = _FLOATS[target]
            return bits <= digits and bits < 1 << (exponent - 1)
        return False
    if source in _FLOATS and target in _FLOATS:
        return all(a <= b for a, b in zip(_FLOATS[source], _FLOATS[target], strict=True))
    return False


def _is_same_cast(source: int, between: int | None, to: int) -> bool:
    """Whether casting equal values of these two types to a third gives the same.

    Integers wrap around where they do not fit, and what floats do then is left open.
    """
    if to not in _INTEGERS | _FLOATS:
        return False
    if source in _INTEGERS and between in _FLOATS and to in _INTEGERS:
        return to == TensorProto.BOOL or _keeps(source, to)
    return True
