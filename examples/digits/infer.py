"""Read pictures of single digits.

python -m examples.digits.infer model.onnx picture.png...
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from examples.digits.glyph import glyph, stretched


def grey(path: Path) -> np.ndarray:
    """The picture at *path* in shades of grey, uint8 [H, W]."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def answers(session: onnxruntime.InferenceSession, images: np.ndarray) -> np.ndarray:
    """The probabilities, float32 [N, 10], of the digits in *images*, uint8 [N, 28, 28]."""
    (found,) = session.run(None, {"image": images[:, None].astype(np.float32) / 255})
    return np.asarray(found)


def main() -> None:
    parser = argparse.ArgumentParser(description="Read pictures of digits, dark on light.")
    parser.add_argument("model", type=Path)
    parser.add_argument("pictures", type=Path, nargs="+")
    arguments = parser.parse_args()
    session = onnxruntime.InferenceSession(arguments.model)
    for path in arguments.pictures:
        ink = stretched(grey(path))
        image = None if ink is None else glyph(ink)
        if image is None:
            print(f"{path}: nothing there")
            continue
        (found,) = answers(session, image[None])
        print(f"{path}: {found.argmax()}, {found.max():.1%} sure")


if __name__ == "__main__":
    main()
