"""Models as live views over their protobufs."""

from .graph import Graph
from .inline import inline
from .model import Model, load
from .node import Node
from .value import Value

__all__ = ["Graph", "Model", "Node", "Value", "inline", "load"]
