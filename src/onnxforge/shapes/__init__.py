"""What is known about types, shapes, and the contents of shapes: pure functions on protobufs."""

from onnxforge.shapes import contrib as _contrib  # noqa: F401 - registers its functions
from onnxforge.shapes.call import MAX_ELEMENTS, KnownInput, ShapeValue, broadcast
from onnxforge.shapes.custom import ShapeFunction, register
from onnxforge.shapes.dims import (
    Dim,
    DimLike,
    Known,
    Shape,
    as_int,
    at_least,
    dim,
    exact_quotient,
    is_constant,
    is_named,
    known_different,
    known_equal,
    maximum,
    minimum,
    unnamed,
)
from onnxforge.shapes.dtypes import output_dtypes
from onnxforge.shapes.infer import Inferred, infer_model, infer_node
from onnxforge.shapes.refine import output_shapes
from onnxforge.shapes.skeleton import GraphPath
from onnxforge.shapes.types import contradicts, dtype_of, shape_of, tensor_type
from onnxforge.shapes.value_arithmetic import RANGES
from onnxforge.shapes.values import follows, propagate, value_of

__all__ = [
    "MAX_ELEMENTS",
    "RANGES",
    "Dim",
    "DimLike",
    "GraphPath",
    "Inferred",
    "Known",
    "KnownInput",
    "Shape",
    "ShapeFunction",
    "ShapeValue",
    "as_int",
    "at_least",
    "broadcast",
    "contradicts",
    "dim",
    "dtype_of",
    "exact_quotient",
    "follows",
    "infer_model",
    "infer_node",
    "is_constant",
    "is_named",
    "known_different",
    "known_equal",
    "maximum",
    "minimum",
    "output_dtypes",
    "output_shapes",
    "propagate",
    "register",
    "shape_of",
    "tensor_type",
    "unnamed",
    "value_of",
]
