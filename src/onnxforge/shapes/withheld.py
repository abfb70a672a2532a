"""What ONNX's inference is not told, as it would draw conclusions from it that runs refute."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
from onnx import AttributeProto, NodeProto, TensorProto, helper, numpy_helper

from onnxforge.shapes.shape_movement import end_is_open

Constants: TypeAlias = Mapping[str, TensorProto | AttributeProto]
"""What is known of values: as tensors, or as the attributes of Constants that have no tensor."""

WITHHELD = "what ONNX is not told"
"""An input of which nothing is known, as no value has this name."""


def misleads(node: NodeProto) -> bool:
    """Whether ONNX's inference goes wrong about some nodes of the operator."""
    return node.op_type in _CHANGES and node.domain in ("", "ai.onnx")


def withhold(node: NodeProto, version: int, constants: Constants) -> None:
    """Take from a node of ONNX's that opset *version* what its inference goes wrong about."""
    _CHANGES[node.op_type](node, version, constants)


def constants_of(nodes: Iterable[NodeProto]) -> dict[str, TensorProto | AttributeProto]:
    """What is known of the outputs of Constants among *nodes*."""
    return {
        node.output[0]: attribute.t if attribute.type == AttributeProto.TENSOR else attribute
        for node in nodes
        if node.op_type == "Constant" and node.output
        for attribute in node.attribute[:1]
    }


def _attention(node: NodeProto, version: int, _: Constants) -> None:
    # It takes sizes with names for zeros.
    if version >= 23 and len(node.input) > 2:
        node.input[2] = WITHHELD
        del node.output[3:]


def _einsum(node: NodeProto, _: int, __: Constants) -> None:
    # It takes the first size of what has a label for that of all, and they may be broadcast.
    equation = _attributes(node).get("equation", b"").decode(errors="replace").replace(" ", "")
    terms, arrow, result = equation.replace("...", ".").partition("->")
    kept = result if arrow else terms
    if any(sum(label in term for term in terms.split(",")) > 1 for label in kept if label != ","):
        _leave_element_type(node)


def _non_zero(node: NodeProto, _: int, __: Constants) -> None:
    # Of a scalar ONNX gives indices of no axes, ONNX Runtime those of a list of one.
    node.input[:] = [WITHHELD]


def _pool(node: NodeProto, _: int, __: Constants) -> None:
    attributes = _attributes(node)
    kernel = attributes.get("kernel_shape", [])
    rank = len(kernel)
    strides, dilations = (attributes.get(name, [1] * rank) for name in ("strides", "dilations"))
    auto = attributes.get("auto_pad", b"NOTSET")
    behind = attributes.get("pads", [0] * 2 * rank)[rank:] if auto == b"NOTSET" else [0] * rank
    if auto.startswith(b"SAME"):
        # ONNX Runtime pads for a kernel without dilations.
        is_wrong = attributes.get("ceil_mode", 0) or max(dilations, default=1) > 1
    else:
        # ONNX counts windows that start in the padding behind, ONNX Runtime does not.
        windows = zip(kernel, strides, dilations, behind, strict=False)
        is_wrong = attributes.get("ceil_mode", 0) and any(
            pad + stride > (width - 1) * dilation + 1 for width, stride, dilation, pad in windows
        )
    if is_wrong:
        _leave_element_type(node)


def _conv_transpose(node: NodeProto, _: int, __: Constants) -> None:
    # ONNX adds what pads the output to a size that has it already.
    attributes = _attributes(node)
    if attributes.get("auto_pad", b"").startswith(b"SAME") and any(
        attributes.get("output_padding", [])
    ):
        _leave_element_type(node)


def _resize(node: NodeProto, _: int, __: Constants) -> None:
    # ONNX Runtime does not count axes from the end here, nor round as ONNX does.
    if _attributes(node).get("keep_aspect_ratio_policy", b"stretch") != b"stretch":
        _leave_element_type(node)


def _slice(node: NodeProto, version: int, constants: Constants) -> None:
    # Of opset 10 it leaves a size with a name as it is, whatever it cuts off.  Going backwards to
    # what means the end, it takes nothing for ONNX and all for ONNX Runtime.
    if len(node.input) < 2 or version < 10:
        return
    if version == 10 or (
        len(node.input) > 4
        and min(_numbers(constants.get(node.input[4])), default=1) < 0
        and any(map(end_is_open, _numbers(constants.get(node.input[2]))))
    ):
        node.input[1] = WITHHELD


def _split_to_sequence(node: NodeProto, _: int, constants: Constants) -> None:
    # Of pieces of one length ONNX always keeps the axis, ONNX Runtime if it is told to.
    if len(node.input) < 2 or not node.input[1] or _attributes(node).get("keepdims", 1):
        return
    split = constants.get(node.input[1])
    lengths = split.ints if isinstance(split, AttributeProto) else split.dims if split else ()
    if not lengths:
        node.input[0] = WITHHELD


def _squeeze(node: NodeProto, version: int, _: Constants) -> None:
    # Axes in another order than they have in the tensor are not all found.
    if version < 11:
        for attribute in node.attribute:
            attribute.ints[:] = sorted(attribute.ints)


_CHANGES: dict[str, Callable[[NodeProto, int, Constants], None]] = {
    "Attention": _attention,
    "AveragePool": _pool,
    "ConvTranspose": _conv_transpose,
    "Einsum": _einsum,
    "LpPool": _pool,
    "MaxPool": _pool,
    "NonZero": _non_zero,
    "Resize": _resize,
    "Slice": _slice,
    "SplitToSequence": _split_to_sequence,
    "Squeeze": _squeeze,
}


def _leave_element_type(node: NodeProto) -> None:
    """Make of a node one that tells no more than that elements are of the first input's type."""
    node.op_type = "Reshape"
    node.input[1:] = [WITHHELD]
    del node.output[1:]


def _attributes(node: NodeProto) -> dict[str, Any]:
    plain = (each for each in node.attribute if not each.ref_attr_name)
    return {each.name: helper.get_attribute_value(each) for each in plain}


def _numbers(known: TensorProto | AttributeProto | None) -> list[int]:
    """The elements of what holds integers; none of anything else, or of what is not at hand."""
    if isinstance(known, AttributeProto):
        return list(known.ints)
    if known is None or known.data_location == TensorProto.EXTERNAL:
        return []
    array = numpy_helper.to_array(known)
    return array.reshape(-1).tolist() if np.issubdtype(array.dtype, np.integer) else []
