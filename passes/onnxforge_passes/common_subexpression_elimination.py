from __future__ import annotations

from collections.abc import Hashable

from onnx import AttributeProto

from onnxforge import Graph, Model, Node, Pass, Value
from onnxforge.ir import operators


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


class _Known:
    """The nodes met so far, by what they call and read, and where that is not enough by the rest."""

    def __init__(self) -> None:
        self._groups: dict[Hashable, Node | dict[Hashable, Node]] = {}

    def find(self, reads: Hashable, node: Node) -> Node | None:
        """The node that computes the same, if it is still there."""
        group = self._groups.get(reads)
        if group is None:
            return None
        twin = self._told_apart(group, reads).get(_rest(node))
        return twin if twin is not None and twin.graph is not None else None

    def add(self, reads: Hashable, node: Node) -> None:
        """Remember a node that is like none here."""
        group = self._groups.setdefault(reads, node)
        if group is not node:
            self._told_apart(group, reads)[_rest(node)] = node

    def _told_apart(
        self, group: Node | dict[Hashable, Node], reads: Hashable
    ) -> dict[Hashable, Node]:
        if isinstance(group, Node):
            # Most nodes are the only ones that read what they do: there is nothing to compare.
            group = {_rest(group): group} if group.graph is not None else {}
            self._groups[reads] = group
        return group


def _merge(graph: Graph, around: list[_Known], *, nested: bool = False) -> int:
    here = _Known()
    scopes = [here, *around]
    changes = 0
    for node in graph:
        if node.subgraphs:
            if nested:
                changes += sum(_merge(body, scopes, nested=True) for body in node.subgraphs)
            continue
        if node.op_type == "DequantizeLinear" or not _is_mergeable(node):
            continue
        reads = _reads(node)
        found = (known.find(reads, node) for known in scopes)
        twin = next((each for each in found if each is not None), None)
        if twin is None:
            here.add(reads, node)
            continue
        for old, new in zip(node.outputs, twin.outputs, strict=True):
            changes += old.is_used and graph.replace(old, new)
    return changes


def _is_mergeable(node: Node) -> bool:
    known = node.operator
    return known.deterministic and not known.effects and bool(node.outputs)


def _reads(node: Node) -> Hashable:
    """What a node calls, and what on."""
    inputs: tuple[Value | None, ...] | frozenset[Value | None] = node.inputs
    if len(inputs) == 2 and operators.lookup(node.op_type, node.domain).commutative:
        inputs = frozenset(inputs)
    return node.domain, node.op_type, inputs


def _rest(node: Node) -> Hashable:
    """Equal for nodes that compute the same if they call and read the same."""
    defaults = operators.attribute_defaults(node.op_type, node.domain, node.version)
    attributes = []
    for attribute in node.proto.attribute:
        name = attribute.name
        if name not in defaults or operators.python_value(attribute) != defaults[name]:
            attributes.append(_bytes(attribute))
    present = tuple(bool(output.name) for output in node.outputs)
    return node.proto.overload, tuple(sorted(attributes)), present


def _bytes(attribute: AttributeProto) -> bytes:
    if attribute.HasField("doc_string"):
        copy = AttributeProto()
        copy.CopyFrom(attribute)
        copy.ClearField("doc_string")
        attribute = copy
    return bytes(attribute.SerializeToString(deterministic=True))
