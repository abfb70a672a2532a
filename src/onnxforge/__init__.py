"""ONNX models, smaller and faster, and never wrong."""

from onnxforge.api import optimize
from onnxforge.builder import Builder, Decline
from onnxforge.errors import (
    DuplicatePassError,
    EvaluationError,
    ExternalDataError,
    InterfaceError,
    InvalidModelError,
    NotConstantError,
    NotEquivalentError,
    OnnxForgeError,
    OpsetError,
    PassError,
    PassOptionError,
    TargetError,
    TooLongError,
    UnknownPassError,
)
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
    "DuplicatePassError",
    "EvaluationError",
    "ExternalDataError",
    "Graph",
    "InterfaceError",
    "InvalidModelError",
    "Match",
    "Model",
    "Node",
    "NotConstantError",
    "NotEquivalentError",
    "OnnxForgeError",
    "OpsetError",
    "Pass",
    "PassError",
    "PassManager",
    "PassOptionError",
    "Pattern",
    "Pipeline",
    "Report",
    "RewritePass",
    "TargetError",
    "TooLongError",
    "UnknownPassError",
    "Value",
    "evaluate",
    "extract",
    "inline",
    "load",
    "optimize",
]
