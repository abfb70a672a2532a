"""Shapes of convolutions, poolings and resizing.

The arithmetic floors, as ONNX's formulas do; runtimes truncate, which differs where a window does
not fit.  Convolutions then fail.  For poolings, which do not, such a size stays unknown unless it
is sure that the window fits, images without pixels being left out of account.  So does one on which
ONNX and ONNX Runtime, or versions of them, disagree.
"""

from __future__ import annotations

from onnxforge.shapes.call import Call, Rules, Unknown, axis_of
from onnxforge.shapes.dims import DimLike, Known, Shape, at_least, ceil_div, lower_bound

rules: Rules[Shape] = Rules()


@rules("Conv", "ConvInteger", "QLinearConv", "ConvTranspose")
def _convolution(call: Call) -> list[Shape]:
    shape = call.shape(0)
    known = call.input(3 if call.op_type == "QLinearConv" else 1).shape
    weights = known if known is not None else (None,) * len(shape)
    kernel: Shape = tuple(call.integers("kernel_shape") or weights[2:])
    if call.op_type == "ConvTranspose":
        group, channels = call.integer("group", 1), weights[1]
        channels = None if channels is None else channels * group
        return [(shape[0], channels, *_transposed(call, shape[2:], kernel))]
    return [(shape[0], weights[0], *_windows(call, shape[2:], kernel))]


@rules("MaxPool", "AveragePool", "LpPool")
def _pool(call: Call) -> list[Shape]:
    shape, kernel = call.shape(), call.integers("kernel_shape")
    if kernel is None or len(kernel) != len(shape) - 2:
        raise Unknown
    return [(*shape[:2], *_windows(call, shape[2:], tuple(kernel)))] * 2


@rules("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def _global_pool(call: Call) -> list[Shape]:
    shape = call.shape()
    return [(*shape[:2], *[1] * (len(shape) - 2))]


def _windows(call: Call, sizes: Shape, kernel: Shape) -> Shape:
    """How often the kernel fits in along each axis."""
    rank = len(sizes)
    strides = call.integers("strides") or [1] * rank
    dilations = call.integers("dilations") or [1] * rank
    pads = call.integers("pads") or [0] * 2 * rank
    auto, is_pool = call.text("auto_pad", "NOTSET"), call.op_type.endswith("Pool")
    counts: list[DimLike] = []
    for i, (size, width) in enumerate(zip(sizes, kernel, strict=True)):
        if size is None:
            counts.append(None)
        elif auto.startswith("SAME"):
            is_sure = not is_pool or dilations[i] == 1  # ONNX Runtime pads for the kernel undilated
            counts.append(ceil_div(size, strides[i]) if is_sure else None)
        elif width is None:
            counts.append(None)
        else:
            before, after = (pads[i], pads[i + rank]) if auto == "NOTSET" else (0, 0)
            margin = before + after - 1 - (width - 1) * dilations[i]
            may_not_fit = is_pool and strides[i] > 1
            if may_not_fit and not at_least(margin + max(lower_bound(size) or 1, 1), 0):
                counts.append(None)
            elif call.integer("ceil_mode", 0):
                counts.append(_rounded_up(size + before, margin - before, strides[i]))
            else:
                counts.append((size + margin) // strides[i] + 1)
    return tuple(counts)


def _rounded_up(size: Known, margin: Known, stride: int) -> DimLike:
    """How many windows there are with a part of one, *size* being that with the padding ahead.

    Versions differ on one that would start in the padding behind.
    """
    last = ceil_div(size + margin, stride)
    return last + 1 if at_least(size - 1 - last * stride, 0) else None


def _transposed(call: Call, sizes: Shape, kernel: Shape) -> Shape:
    rank = len(sizes)
    if (given := call.integers("output_shape")) is not None:
        return tuple(given[-rank:])
    strides = call.integers("strides") or [1] * rank
    dilations = call.integers("dilations") or [1] * rank
    pads = call.integers("pads") or [0] * 2 * rank
    extra = call.integers("output_padding") or [0] * rank
    auto = call.text("auto_pad", "NOTSET")
    results: list[DimLike] = []
    for i, (size, width) in enumerate(zip(sizes, kernel, strict=True)):
        if size is None or width is None or auto.startswith("SAME"):
            results.append(None)
        else:
            grown = strides[i] * (size - 1) + extra[i] + (width - 1) * dilations[i] + 1
            results.append(grown - (pads[i] + pads[i + rank] if auto == "NOTSET" else 0))
    return tuple(results)


@rules("Resize")
def _resize(call: Call) -> list[Shape]:
    shape = list(call.shape())
    if call.opset < 11 or not call.has(3):
        raise Unknown
    axes = call.integers("axes") or list(range(len(shape)))
    sizes = call.value(3).elements
    if call.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        sizes = (None,) * len(axes)
    for axis, size in zip(axes, sizes, strict=True):
        shape[axis_of(axis, len(shape))] = size
    return [tuple(shape)]


@rules("DepthToSpace", "SpaceToDepth")
def _blocks(call: Call) -> list[Shape]:
    batch, channels, *sizes = call.shape()
    block = call.integer("blocksize", 1)
    if call.op_type == "DepthToSpace":
        wider = [None if size is None else size * block for size in sizes]
        return [(batch, None if channels is None else channels // block**2, *wider)]
    narrower = [None if size is None else size // block for size in sizes]
    return [(batch, None if channels is None else channels * block**2, *narrower)]
