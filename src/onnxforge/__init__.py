"""ONNX models, smaller and faster, and never wrong."""

from onnxforge.api import optimize
from onnxforge.builder import Builder, Decline
from onnxforge.errors import OnnxForgeError
from onnxforge.extract import extract
from onnxforge.ir import Graph, Model, Node, Value, inline, load
from onnxforge.manager import PassManager
from onnxforge.passes import Pass, Pipeline
from onnxforge.pattern import Const, Match, Pattern
from onnxforge.report import Report
from onnxforge.rewrite import RewritePass
from onnxforge.runtime import evaluate

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
    "optimize",
]
