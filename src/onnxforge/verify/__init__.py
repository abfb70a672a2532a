"""Are two computations the same function?  Both are run on the same inputs, and compared."""

from .compare import relative_error, tolerance
from .edits import EditChecker
from .failure import Failure
from .sample import Sampler

__all__ = ["EditChecker", "Failure", "Sampler", "relative_error", "tolerance"]
