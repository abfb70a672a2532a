"""What a model contains that a runtime is known to miscompile."""

from onnxforge.lint.known import Finding, Known, installed, known, lint

__all__ = ["Finding", "Known", "installed", "known", "lint"]
