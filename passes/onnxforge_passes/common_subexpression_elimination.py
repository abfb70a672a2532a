from __future__ import annotations

from collections.abc import Hashable

from onnx import AttributeProto

from onnxforge import Graph, Model, Node, Pass, Value
from onnxforge.ir import operators

_Known = dict[Hashable, Node]


class CommonSubexpressionElimination(Pass):
    """Compute once what is computed several times.

    Two nodes compute the same if they call one deterministic operator with the same attributes,
    defaults filled in, on the same inputs, in either order where they may be swapped.  Bodies see
    what is computed around them.  A DequantizeLinear stays with its reader, since runtimes take the
    two for one quantized operator.
    """

    def run(self, graph: Graph) -> int:
        """Merge the nodes of one graph; return how many outputs were replaced."""
        return _merge(graph, [])

    def apply(self, model: Model) -> int:
        """Merge the nodes of every graph of *model*, those of bodies with those around them too."""
        return sum(_merge(graph, [], nested=True) for graph in (*model.functions, model.graph))


def _merge(graph: Graph, around: list[_Known], *, nested: bool = False) -> int:
    here: _Known = {}
    scopes = [here, *around]
    changes = 0
    for node in graph:
        if node.subgraphs:
            if nested:
                changes += sum(_merge(body, scopes, nested=True) for body in node.subgraphs)
            continue
        if node.op_type == "DequantizeLinear" or not _is_mergeable(node):
            continue
        key = _key(node)
        twin = next((known[key] for known in scopes if key in known), None)
        if twin is None or twin.graph is None:
            here[key] = node
            continue
        for old, new in zip(node.outputs, twin.outputs, strict=True):
            changes += old.is_used and graph.replace(old, new)
    return changes


def _is_mergeable(node: Node) -> bool:
    known = node.operator
    return known.deterministic and not known.effects and bool(node.outputs)


def _key(node: Node) -> Hashable:
    """Equal for nodes that compute the same."""
    inputs: tuple[Value | None, ...] | frozenset[Value | None] = node.inputs
    if len(inputs) == 2 and operators.lookup(node.op_type, node.domain).commutative:
        inputs = frozenset(inputs)
    defaults = operators.attribute_defaults(node.op_type, node.domain, node.version)
    attributes = []
    for attribute in node.proto.attribute:
        name = attribute.name
        if name not in defaults or operators.python_value(attribute) != defaults[name]:
            attributes.append(_bytes(attribute))
    present = tuple(bool(output.name) for output in node.outputs)
    operator = (node.domain, node.op_type, node.proto.overload)
    return operator, inputs, tuple(sorted(attributes)), present


def _bytes(attribute: AttributeProto) -> bytes:
    if attribute.HasField("doc_string"):
        copy = AttributeProto()
        copy.CopyFrom(attribute)
        copy.ClearField("doc_string")
        attribute = copy
    return bytes(attribute.SerializeToString(deterministic=True))
