"""What the tests of a pass are written with, ours and yours alike: two texts and one helper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnxforge.testing.checks import assert_consistent, check
from onnxforge.testing.texts import calls, model, names_of

if TYPE_CHECKING:
    from onnxforge.testing.soundness import NeverFired, assert_pass_is_sound, assert_sound_on
    from onnxforge.testing.strategies import models

__all__ = [
    "NeverFired",
    "assert_consistent",
    "assert_pass_is_sound",
    "assert_sound_on",
    "calls",
    "check",
    "model",
    "models",
    "names_of",
]


def __getattr__(name: str) -> Any:
    # These need Hypothesis, which whoever only writes before and after does without.
    if name == "models":
        from onnxforge.testing.strategies import models

        return models
    if name in ("NeverFired", "assert_pass_is_sound", "assert_sound_on"):
        from onnxforge.testing import soundness

        return getattr(soundness, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
