from __future__ import annotations

import numpy as np

from onnxforge import Builder, Graph, Node, Pass, Value
from onnxforge.shapes import DimLike, known_equal


class EinsumLowering(Pass):
    """Write an Einsum as the one operator that it is: Transpose, ReduceSum, Mul or MatMul.

    Those are what other passes, and runtimes, look for.  One that takes several operators stays.
    """

    operators = ("Einsum",)

    def run(self, graph: Graph) -> int:
        """Write them so; return how many."""
        nodes = (node for node in graph.calls("Einsum") if not node.domain)
        return sum(_lower(graph, node) for node in nodes)


def _lower(graph: Graph, node: Node) -> bool:
    terms = _terms(node)
    if terms is None:
        return False
    operands, result = terms
    op = Builder(graph, before=node)
    new: Value | None = None
    if len(operands) == 1:
        new = _of_one(op, node, operands[0], result)
    elif len(operands) == 2 and _is_uniform(node, operands):
        new = _of_two(op, node, operands[0], operands[1], result)
    if new is None:
        graph.decline("Einsum: it is no one operator")
    done = new is not None and graph.replace(node.output, new)
    op.undo()
    return done


def _terms(node: Node) -> tuple[list[str], str] | None:
    """The letters of each operand and of the result, each in a term once."""
    equation = node.attribute("equation")
    if not isinstance(equation, str) or node.has_references:
        return None
    left, arrow, result = equation.replace(" ", "").partition("->")
    operands = left.split(",")
    terms = [*operands, result]
    if not arrow or not all(term == "" or term.isalpha() for term in terms):
        return None
    if any(len(set(term)) < len(term) for term in terms) or len(operands) != len(node.inputs):
        return None
    return operands, result


def _is_uniform(node: Node, operands: list[str]) -> bool:
    """Whether a letter stands for one size, where it could be broadcast as well."""
    sizes: dict[str, DimLike] = {}
    for value, term in zip(node.inputs, operands, strict=True):
        shape = value.shape if value is not None else None
        if shape is None or len(shape) != len(term):
            return False
        for letter, size in zip(term, shape, strict=True):
            if not known_equal(sizes.setdefault(letter, size), size):
                return False
    return True


def _of_one(op: Builder, node: Node, term: str, result: str) -> Value | None:
    (x,) = node.inputs
    new: Value
    if sorted(term) == sorted(result):
        new = op.Transpose(x, perm=[term.index(letter) for letter in result])
        return new
    summed = [axis for axis, letter in enumerate(term) if letter not in result]
    if "".join(letter for letter in term if letter in result) != result:
        return None
    if node.version < 13:
        new = op.ReduceSum(x, axes=summed, keepdims=0)
    else:
        new = op.ReduceSum(x, np.array(summed, np.int64), keepdims=0)
    return new


def _of_two(op: Builder, node: Node, left: str, right: str, result: str) -> Value | None:
    x, z = node.inputs
    new: Value
    if left == right == result:
        new = op.Mul(x, z)
        return new
    for first, second, a, b in ((left, right, x, z), (right, left, z, x)):
        if len(first) < 2 or len(second) < 2:
            return None
        batch, rows, inner, columns = first[:-2], first[-2], first[-1], second[-1]
        # A matrix alone is multiplied with each of a batch.
        fits = second in (batch + inner + columns, inner + columns)
        if fits and result == batch + rows + columns and columns not in first:
            new = op.MatMul(a, b)
            return new
    return None
