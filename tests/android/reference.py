"""What the app is compared with."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnxruntime

from lane.apk import MAIN

PICTURES = MAIN / "assets" / "pictures"
MODE = os.environ.get("ONNXFORGE_ANDROID")
"""`full`, `short`, or None: without being asked, no tool is fetched."""


def expected(model: Path, images: np.ndarray) -> np.ndarray:
    """What Python's ONNX Runtime makes of them: float32 [N, 10]."""
    options = onnxruntime.SessionOptions()
    # x86 saturates sums of signed products; as int8 by definition, the model runs slowly but right.
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    (answer,) = onnxruntime.InferenceSession(model, options).run(None, {"image": images})
    return np.asarray(answer)
