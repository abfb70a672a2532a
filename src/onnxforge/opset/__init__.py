"""Raising a model's opset: other versions of ONNX's operators, the same computation."""

from onnxforge.opset.raising import raise_opset

__all__ = ["raise_opset"]
