"""Everything that can go wrong, as one tree, so that callers choose how finely to catch.

OnnxForgeError
├── InvalidModelError          the input is no usable model: truncated, dangling, cyclic, ...
│   └── ExternalDataError      a weight's file is missing, short, or outside the model's folder
├── PassError                  a pass cannot be found, built or run
│   ├── UnknownPassError
│   ├── PassOptionError
│   └── DuplicatePassError     two distributions claim one name
├── TargetError                a target cannot be found, or its file read
├── OpsetError                 a model cannot be brought to the opset asked for
├── NotConstantError           a value's data was asked for, and the model does not hold it
├── EvaluationError            a runtime refused, or failed, to compute a model
│   └── TooLongError           it was stopped, lest it never end
├── BenchmarkError             a measurement cannot be made, or results cannot be read
│   └── ProviderMissingError   the installed runtime has no such execution provider
├── InterfaceError             a pass changed what callers of the model rely on
└── NotEquivalentError         an edit, or a whole run, changed what the model computes
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxforge.report import Report


class OnnxForgeError(Exception):
    """The base of every error this library raises on purpose."""


class InvalidModelError(OnnxForgeError):
    """The input is not a usable ONNX model; the message names the file, node or value at fault."""


class ExternalDataError(InvalidModelError):
    """The data of a tensor cannot be read from where the model says it is."""


class PassError(OnnxForgeError):
    """A pass cannot be found, built or run."""


class UnknownPassError(PassError, LookupError):
    """No installed pass has this name."""


class PassOptionError(PassError, ValueError):
    """A pass has no such option, or the option cannot take this value."""


class DuplicatePassError(PassError):
    """Two installed distributions register a pass under the same name."""


class TargetError(OnnxForgeError):
    """There is no such target, or its file is none; the message names the file."""


class OpsetError(OnnxForgeError):
    """A model cannot be brought to the opset asked for; the message names the node at fault."""


class NotConstantError(OnnxForgeError):
    """The value's data was asked for, and the model does not hold it."""


class EvaluationError(OnnxForgeError):
    """A runtime refused, or failed, to compute a model."""


class BenchmarkError(OnnxForgeError):
    """A measurement cannot be made, or stored results cannot be read or compared."""


class ProviderMissingError(BenchmarkError):
    """The installed ONNX Runtime has no such execution provider."""


class TooLongError(EvaluationError):
    """A runtime was stopped: a loop of the model may not end."""


class InterfaceError(OnnxForgeError):
    """A pass changed what callers of the model rely on: names, types, order, metadata."""


class NotEquivalentError(OnnxForgeError):
    """An edit, or a whole run, changed what the model computes; `report` says what the run did."""

    def __init__(self, message: str, report: Report | None = None) -> None:
        super().__init__(message)
        self.report = report
