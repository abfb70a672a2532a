"""How many Arm64 instructions the APK's models take: `python -m lane.count`, in `android-demo`.

Writes `build/android/instructions.json`: by model, then by provider and number of images.
"""

from __future__ import annotations

import json
import sys

import numpy as np

from lane import arm64
from lane.apk import MAIN
from lane.toolchain import BUILD, MissingError

COUNTS = BUILD / "instructions.json"
PROVIDERS = ("CPU", "XNNPACK")
BATCHES = (1, 81)


def main() -> None:
    try:
        folder = arm64.prepare(BUILD / "onnxforge-demo.apk")
    except MissingError as error:
        sys.exit(f"not counted: {error}")
    images = np.random.default_rng(0).random((max(BATCHES), 1, 28, 28), np.float32)
    counts: dict[str, dict[str, dict[int, int]]] = {}
    for model in sorted((MAIN / "assets" / "models").glob("*.onnx")):
        counts[model.stem] = {
            provider: {n: arm64.instructions(folder, model, images[:n], provider) for n in BATCHES}
            for provider in PROVIDERS
        }
        print(model.stem, counts[model.stem], flush=True)
    COUNTS.write_text(json.dumps(counts, indent=1))


if __name__ == "__main__":
    main()
