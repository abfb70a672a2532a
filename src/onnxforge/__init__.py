"""ONNX models, smaller and faster, and never wrong."""
__version__ = "0.1.0"
