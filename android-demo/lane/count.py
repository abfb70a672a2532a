"""The Arm64 instructions that the app's models take: `python -m lane.count`, in `android-demo`.

Writes `build/android/instructions.json`: by model, then by provider, for one image.
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


def main() -> None:
    apk = BUILD / "onnxforge-demo.apk"
    if not apk.exists():
        sys.exit("there is no APK yet: make android")
    try:
        folder = arm64.prepare(apk)
    except MissingError as error:
        sys.exit(f"not counted: {error}")
    image = np.random.default_rng(0).random((1, 1, 28, 28), np.float32)
    counts: dict[str, dict[str, int]] = {}
    for model in sorted((MAIN / "assets" / "models").glob("*.onnx")):
        counts[model.stem] = {
            provider: arm64.instructions(folder, model, image, provider) for provider in PROVIDERS
        }
        for provider, count in counts[model.stem].items():
            print(f"{model.stem:10} on {provider:8}{count:12,} instructions", flush=True)
    COUNTS.write_text(json.dumps(counts, indent=1))


if __name__ == "__main__":
    main()
