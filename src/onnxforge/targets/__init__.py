"""What runs where: one small data file for each target, and one question asked of it."""

from onnxforge.targets.files import load, names, read
from onnxforge.targets.partition import Partition, partitions, welcomes
from onnxforge.targets.target import Kernel, Target, strangers

__all__ = [
    "Kernel",
    "Partition",
    "Target",
    "load",
    "names",
    "partitions",
    "read",
    "strangers",
    "welcomes",
]
