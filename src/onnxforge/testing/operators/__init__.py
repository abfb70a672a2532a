"""The operators random models are made of: for each, how to add a node of it to a `Sketch`.

A rule draws what the node reads and its attributes, and says the element types and shapes of what
it computes; it returns None where the sketch has nothing the operator could read.
"""

from __future__ import annotations

from onnxforge.testing.operators import axes, elementwise, movement, products, quantization
from onnxforge.testing.operators.rules import RULES

__all__ = ["RULES", "axes", "elementwise", "movement", "products", "quantization"]
