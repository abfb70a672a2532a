"""ONNX models, smaller and faster, and never wrong."""

from .builder import Builder, Decline
from .errors import OnnxForgeError
from .extract import extract
from .ir import Graph, Model, Node, Value, inline, load
from .manager import PassManager
from .passes import Pass, Pipeline
from .pattern import Const, Match, Pattern
from .report import Report
from .rewrite import RewritePass
from .runtime import evaluate

__version__ = "0.1.0"

__all__ = [
    "Builder",
    "Const",
    "Decline",
    "Graph",
    "Match",
    "Model",
    "Node",
    "OnnxForgeError",
    "Pass",
    "PassManager",
    "Pattern",
    "Pipeline",
    "Report",
    "RewritePass",
    "Value",
    "evaluate",
    "extract",
    "inline",
    "load",
]
