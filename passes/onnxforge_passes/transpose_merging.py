from __future__ import annotations

from onnxforge import Builder, Graph, Node, Pass, Value


class TransposeMerging(Pass):
    """Two Transposes in a row are one, or none."""

    operators = ("Transpose",)

    def run(self, graph: Graph) -> int:
        """Merge them; return how many were replaced."""
        return sum(_merge(graph, node) for node in graph.calls("Transpose") if is_transpose(node))


def is_transpose(node: Node) -> bool:
    """Whether a node is a Transpose whose order is known."""
    return node.op_type == "Transpose" and not node.domain and permutation(node) is not None


def permutation(node: Node) -> list[int] | None:
    """The order of a Transpose: for each dimension of the result, which of the input's it is."""
    perm, data = node.attribute("perm"), node.input(0)
    if perm is None and data is not None and data.rank is not None:
        return list(reversed(range(data.rank)))
    return list(perm) if isinstance(perm, list) else None


def _merge(graph: Graph, node: Node) -> bool:
    data = node.input(0)
    inner = data.producer if data is not None else None
    if inner is None or inner.graph is not graph or not is_transpose(inner):
        return False
    source = inner.input(0)
    first, second = permutation(inner), permutation(node)
    if first is None or second is None or source is None:
        return False
    perm = [first[axis] for axis in second]
    if perm == sorted(perm):
        return graph.replace(node.output, source)
    if not _only_transposed(data):
        return False
    op = Builder(graph, before=node)
    done = graph.replace(node.output, op.Transpose(source, perm=perm))
    op.undo()
    return done


def _only_transposed(value: Value | None) -> bool:
    """Whether the value goes once each of its readers reads past it."""
    return value is not None and not value.is_output and all(map(is_transpose, value.consumers))
