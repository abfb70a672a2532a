"""Where the bytes of a model live: in its file, beside it, in a scratch file; in memory last."""

from onnxforge.storage.detach import detach
from onnxforge.storage.digest import digest, sample
from onnxforge.storage.files import write
from onnxforge.storage.load import Origin, load_skeleton, load_with_origin, skeleton_from_bytes
from onnxforge.storage.save import materialize, save, to_bytes
from onnxforge.storage.scratch import Scratch
from onnxforge.storage.span import Span, is_external, is_parked, maps_kept
from onnxforge.storage.tensors import (
    dtype_of,
    from_array,
    model_nbytes,
    nbytes,
    shape_of,
    tensors,
    to_array,
)

__all__ = [
    "Origin",
    "Scratch",
    "Span",
    "detach",
    "digest",
    "dtype_of",
    "from_array",
    "is_external",
    "is_parked",
    "load_skeleton",
    "load_with_origin",
    "maps_kept",
    "materialize",
    "model_nbytes",
    "nbytes",
    "sample",
    "save",
    "shape_of",
    "skeleton_from_bytes",
    "tensors",
    "to_array",
    "to_bytes",
    "write",
]
