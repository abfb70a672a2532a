from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxforge import Builder, Graph, Node, Pass, Value

from .weights import FLOATS, Array

# What ONNX Runtime merges into the Gemm before it.
_ACTIVATIONS = frozenset(
    {"Elu", "HardSigmoid", "LeakyRelu", "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Tanh"}
    | {"ThresholdedRelu"}
)
_PRODUCTS = ("Gemm", "MatMul")
# What is on the way from the queries to the Softmax of an attention, in so many steps.
_SCORES = frozenset({"Add", "Div", "MatMul", "Mul", "Reshape", "Transpose", "Where"})
_MAX_STEPS = 8


class ParallelMatmulMerging(Pass):
    """Multiply once, and split, where one value is multiplied by several constant matrices.

        x @ [V W] + [a b]  =  [x @ V + a, x @ W + b]

    These are the queries, keys and values of an attention.  The biases are added at once, too;
    where one lacks it is of zeros.  It is done where fewer nodes are left, and not where ONNX
    Runtime looks for the products: to make an Attention of them and a mask, as in BERT, or to merge
    each with an activation.
    """

    operators = _PRODUCTS

    def run(self, graph: Graph) -> int:
        """Merge them; return how many products there are for it."""
        nodes = list(graph.calls(*_PRODUCTS))
        readers = Counter(node.input(0) for node in nodes)
        groups: dict[tuple[Any, ...], list[Node]] = {}
        for node in nodes:
            if readers[node.input(0)] > 1 and (found := _product(node)) is not None:
                key = (found.x, node.op_type, found.is_turned, found.W.dtype)
                groups.setdefault(key, []).append(node)
        return sum(_merge(graph, nodes) for nodes in groups.values() if len(nodes) > 1)


@dataclass(frozen=True, slots=True)
class _Product:
    """One of the products, with what adds a bias to it."""

    node: Node
    x: Value
    W: Value
    B: Value | None
    add: Node | None = None

    @property
    def is_turned(self) -> bool:
        return self.node.op_type == "Gemm" and bool(self.node.attribute("transB"))

    @property
    def columns(self) -> int:
        rows, columns = self.W.numpy().shape
        return int(rows if self.is_turned else columns)

    @property
    def output(self) -> Value:
        return (self.add or self.node).output


def _product(node: Node) -> _Product | None:
    """The product that a node is, if it may be merged with others."""
    if node.domain or node.has_references or len(node.inputs) < 2:
        return None
    x, W, B = node.inputs[0], node.inputs[1], node.input(2)
    if x is None or x.is_constant or W is None or not _is_own(W, node, 2):
        return None
    if node.op_type == "Gemm":
        if node.version < 11 or node.attribute("transA") or node.attribute("alpha") != 1:
            return None
        found = _Product(node, x, W, B)
        if B is None:
            return found
        fits = _is_own(B, node, 1) and B.shape == (found.columns,) and node.attribute("beta") == 1
        return found if fits else None
    readers = list(node.output.consumers)
    if len(readers) == 1 and readers[0].graph is node.graph and not node.output.is_output:
        (add,) = readers
        if add.op_type == "Add" and not add.domain and add.version >= 7:
            B = next((value for value in add.inputs if value is not node.output), None)
            if B is not None and _is_bias(B, add, x, W):
                return _Product(node, x, W, B, add)
    return _Product(node, x, W, None)


def _is_bias(B: Value, add: Node, x: Value, W: Value) -> bool:
    """Whether a constant is one number for each column, and broadcasts the product to no more."""
    rank = B.rank or 0
    shape = (1,) * (rank - 1) + W.numpy().shape[1:]
    return _is_own(B, add, rank) and B.shape == shape and (rank == 1 or rank <= (x.rank or 0))


def _is_own(constant: Value, node: Node, rank: int) -> bool:
    """Whether a constant of floats is read by nothing else, lest the model grow."""
    return (
        constant.is_constant
        and constant.rank == rank
        and constant.dtype in FLOATS
        and list(constant.consumers) == [node]
        and not constant.is_output
    )


def _merge(graph: Graph, nodes: list[Node]) -> bool:
    # Asked anew: what they multiply may be a part of a Split that was made a moment ago.
    group = [found for node in nodes if (found := _product(node)) is not None]
    if len(group) < len(nodes):
        return False
    first, x = group[0], group[0].x
    if not x.rank:
        graph.decline("the rank of what is multiplied is unknown")
        return False
    adds = sum(each.add is not None for each in group)
    # A matrix times a matrix is a Gemm sooner or later, which adds the bias by itself.
    adds_apart = adds if x.rank > 2 else 0
    if len(group) + adds_apart <= 2 + (adds_apart > 0):
        graph.decline("it would not save a node")
        return False
    if x.rank == 2 and any(_is_activated(each) for each in group):
        graph.decline("ONNX Runtime merges activations into products of matrices")
        return False
    if x.rank == 2 and any(_is_added(each) for each in group):
        graph.decline("ONNX Runtime merges additions into products of matrices")
        return False
    if _is_attention(group):
        graph.decline("ONNX Runtime makes an Attention of it")
        return False
    op = Builder(graph, before=first.node)
    sizes = [each.columns for each in group]
    weights = np.concatenate([each.W.numpy() for each in group], 0 if first.is_turned else 1)
    bias = None
    if any(each.B is not None for each in group):
        bias = np.concatenate(
            [_bias(each, n, weights) for each, n in zip(group, sizes, strict=True)]
        )
    if first.node.op_type == "Gemm":
        # One without a bias may have any beta.
        y = op.Gemm(x, weights, bias, like=first.node, beta=None)
    else:
        y = op.MatMul(x, weights, like=first.node)
        if bias is not None:
            y = op.Add(y, bias)
    options: dict[str, Any] = {"axis": x.rank - 1, "outputs": len(group)}
    if first.node.version < 13:
        parts = op.Split(y, split=sizes, **options)
    else:
        parts = op.Split(y, np.array(sizes, np.int64), **options)
    done = [graph.replace(old.output, new) for old, new in zip(group, parts, strict=True)]
    op.undo()
    return any(done)


def _bias(product: _Product, columns: int, weights: Array) -> Array:
    if product.B is None:
        return np.zeros(columns, weights.dtype)
    return product.B.numpy().reshape(-1)


def _is_activated(product: _Product) -> bool:
    return any(node.op_type in _ACTIVATIONS for node in product.output.consumers)


def _is_added(product: _Product) -> bool:
    """Whether something is added that is no bias here, and would be one of a Gemm of the product.

    What is a product itself is as good a Gemm.
    """
    readers = list(product.output.consumers)
    if product.B is not None or len(readers) != 1 or readers[0].op_type != "Add":
        return False
    added = next((value for value in readers[0].inputs if value is not product.output), None)
    maker = added.producer if added is not None else None
    return bool(added and added.rank) and (maker is None or maker.op_type not in _PRODUCTS)


def _is_attention(group: list[_Product]) -> bool:
    """Whether it is what ONNX Runtime looks for: three sums, a residual, and a masked Softmax."""
    if len(group) != 3 or any(each.add is None for each in group):
        return False
    if not any(node.op_type == "Add" for node in group[0].x.consumers):
        return False
    level = dict.fromkeys(each.output for each in group)
    for _ in range(_MAX_STEPS):
        readers = dict.fromkeys(node for value in level for node in value.consumers)
        for node in readers:
            if node.op_type == "Softmax":
                scores = node.inputs[0]
                maker = scores.producer if scores is not None else None
                if maker is not None and maker.op_type in ("Add", "Where"):
                    return True
        level = {node.output: None for node in readers if node.op_type in _SCORES}
    return False
