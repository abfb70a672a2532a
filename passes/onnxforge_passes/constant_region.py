"""What of a graph is known before it runs: the region that constant folding works on."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from onnx import TensorProto, helper

from onnxforge import Graph, Node, OnnxForgeError, Value, shapes, storage

from . import numpy_kernels
from .numpy_kernels import MAX_ELEMENTS, Array, Undefined
from .weights import FLOATS

# They say more than their results do: that a tensor is quantized, or that it is noise in training.
KEPT = frozenset(
    {"Constant", "DequantizeLinear", "Dropout", "DynamicQuantizeLinear", "QuantizeLinear"}
)
# A string's own length is not known before it is there.
_STRING_BYTES = 16


class Region:
    """The nodes of a graph whose outputs depend on constants alone, and what they compute.

    `nodes` are they, in order.  `arrays` holds what is cheap to know: small results, and the
    elements of shapes, even of shapes that no constant says.  No output is larger than
    *max_bytes*; `nbytes` tells how large.
    """

    def __init__(self, graph: Graph, max_bytes: int) -> None:
        self.graph = graph
        self.nodes: dict[Node, None] = {}
        self.arrays: dict[Value, Array] = {}
        self._max_bytes = max_bytes
        self._sizes: dict[Value, int] = {}
        self._shapes: dict[Value, None] = {}  # whose elements may be known, as they come from one
        for node in graph:
            if node.op_type not in KEPT and not node.subgraphs:
                self._visit(node)

    def knows(self, value: Value) -> bool:
        """Whether the value is computed in the region, or otherwise known, and no constant yet."""
        return value in self._sizes

    @property
    def values(self) -> Iterator[Value]:
        """What the region knows, in order."""
        return iter(self._sizes)

    def nbytes(self, value: Value) -> int:
        """How many bytes a value of the region, or a constant, takes in the file."""
        if (size := self._sizes.get(value)) is not None:
            return size
        tensor = value.tensor
        if tensor is None:
            return value.producer.proto.ByteSize() if value.producer is not None else 0
        return storage.nbytes(tensor)

    def exclude(self, value: Value) -> None:
        """Leave alone the node that computes *value*, and whatever needs it."""
        stack = [value.producer]
        while stack:
            node = stack.pop()
            if node is None or node not in self.nodes:
                continue
            del self.nodes[node]
            for output in node.outputs:
                if output not in self.arrays:
                    self._sizes.pop(output, None)
                    stack += output.consumers

    def _visit(self, node: Node) -> None:
        for value in node.inputs:
            if value is not None and value not in self._sizes and not value.is_constant:
                break
        else:
            self._add(node)
            return
        if (
            node.op_type in ("Shape", "Size")
            or (self._shapes and any(value in self._shapes for value in node.inputs))
        ) and not node.domain:
            self._add_shape(node)

    def _add_shape(self, node: Node) -> None:
        """Note what is known of a shape, or of what is computed from one."""
        if not shapes.follows(node.op_type):
            return
        for output in node.outputs:
            if (contents := output.contents) is None:
                continue
            self._shapes[output] = None
            numbers, dtype = contents.constants(), output.dtype
            if numbers is not None and dtype is not None:
                array = np.array(numbers, helper.tensor_dtype_to_np_dtype(dtype))
                self._know(output, array.reshape(contents.shape))
        if all(output in self._sizes for output in node.outputs):
            self.nodes[node] = None

    def _add(self, node: Node) -> None:
        """Take in a node that depends on constants, if what it computes can be relied upon."""
        if node.has_references or not node.operator.deterministic:
            return
        try:
            arrays = self._computed(node)
        except (Undefined, OnnxForgeError) as reason:
            self.graph.decline(f"{node.op_type} fails: {reason}")
            return
        if arrays is not None:
            for output, array in zip(node.outputs, arrays, strict=True):
                self._know(output, array)
                self.graph.model.inference.learn(output, array)
        elif self._is_deadly(node) or not self._measure(node):
            return
        self.nodes[node] = None

    def _know(self, value: Value, array: Array) -> None:
        self.arrays[value] = array
        self._sizes[value] = array.size * _STRING_BYTES if array.dtype == object else array.nbytes

    def _computed(self, node: Node) -> list[Array] | None:
        inputs: list[Array | None] = []
        for value in node.inputs:
            if value is None:
                inputs.append(None)
            elif (array := self.arrays.get(value)) is not None:
                if array.size > MAX_ELEMENTS:  # it grows from node to node
                    return None
                inputs.append(array)
            elif value in self._sizes or not _is_small(value):
                return None
            else:
                inputs.append(value.numpy())
        return numpy_kernels.compute(node, inputs)

    def _is_deadly(self, node: Node) -> bool:
        """Whether ONNX Runtime's kernel may end the process, and not just fail.

        Some divide by the size of what has no elements; whole numbers overflow, divided by -1; and
        an Einsum reads what is not there where its ellipsis stands for more axes here than there.
        """
        reads = node.inputs if node.op_type == "Einsum" else node.inputs[:1]
        if any(value is not None and 0 in (value.shape or ()) for value in reads):
            self.graph.decline(f"{node.op_type}: it reads a tensor without elements")
            return True
        if node.op_type == "Einsum" and not _is_even(node):
            self.graph.decline("Einsum: its ellipsis stands for axes in different number")
            return True
        divisor = node.input(1)
        if node.op_type not in ("Div", "Mod") or divisor is None or divisor.dtype in FLOATS:
            return False
        known = self.arrays.get(divisor)
        if known is None and divisor.is_constant:
            known = divisor.numpy()
        if known is None or (known == -1).any():
            self.graph.decline(f"{node.op_type}: the division may overflow")
            return True
        return False

    def _measure(self, node: Node) -> bool:
        """Learn how large the outputs are; False if they are too large, or it cannot be told."""
        sizes: dict[Value, int] = {}
        for output in node.outputs:
            if not output.name:
                continue
            shape, dtype = output.shape, output.dtype
            dims = [dim for dim in shape if isinstance(dim, int)] if shape is not None else []
            if dtype is None or shape is None or len(dims) < len(shape):
                self.graph.decline(f"{node.op_type}: how large its result is cannot be told")
                return False
            if dtype == TensorProto.STRING:
                sizes[output] = math.prod(dims) * _STRING_BYTES
            else:
                sizes[output] = storage.nbytes(TensorProto(data_type=dtype, dims=dims))
            if sizes[output] > self._max_bytes:
                self.graph.decline(f"{node.op_type}: its result exceeds max_bytes")
                return False
        self._sizes |= sizes
        return True


def _is_even(einsum: Node) -> bool:
    """Whether the ellipsis of an Einsum stands for as many axes wherever it is."""
    terms = str(einsum.attribute("equation")).replace(" ", "").partition("->")[0].split(",")
    counts = {
        None if value is None or value.rank is None else value.rank - len(term.replace("...", ""))
        for term, value in zip(terms, einsum.inputs, strict=False)
        if "..." in term
    }
    return len(counts) < 2


def _is_small(constant: Value) -> bool:
    tensor = constant.tensor
    return tensor is None or math.prod(tensor.dims) <= MAX_ELEMENTS
