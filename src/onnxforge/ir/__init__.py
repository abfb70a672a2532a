"""Models as live views over their protobufs."""

from onnxforge.ir.graph import Graph
from onnxforge.ir.inline import inline
from onnxforge.ir.model import Model, load
from onnxforge.ir.node import Node
from onnxforge.ir.value import Value

__all__ = ["Graph", "Model", "Node", "Value", "inline", "load"]
