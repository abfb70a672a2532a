"""Are two computations the same function?  Both are run on the same inputs, and compared."""

from .compare import relative_error, tolerance
from .edits import EditChecker
from .failure import Failure
from .feeds import feeds_for, load_feeds
from .levels import LevelResult, compare_levels
from .models import Baseline, compare_models
from .sample import CannotSample, Mood, Sampler

__all__ = [
    "Baseline",
    "CannotSample",
    "EditChecker",
    "Failure",
    "LevelResult",
    "Mood",
    "Sampler",
    "compare_levels",
    "compare_models",
    "feeds_for",
    "load_feeds",
    "relative_error",
    "tolerance",
]
