"""Digits that the network has never seen the like of: those of a seven-segment display."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from examples.digits.data import SEED, Split, centred, distorted

LIT = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcdfg")
ENDS = {
    "a": (0, 0, 1, 0),
    "b": (1, 0, 1, 1),
    "c": (1, 1, 1, 2),
    "d": (0, 2, 1, 2),
    "e": (0, 1, 0, 2),
    "f": (0, 0, 0, 1),
    "g": (0, 1, 1, 1),
}


def display(count: int, seed: int) -> Split:
    """*count* pictures of each digit."""
    rng = np.random.default_rng([SEED, seed])
    images, labels = [], []
    for digit, lit in enumerate(LIT):
        page = Image.new("L", (64, 64), 255)
        draw = ImageDraw.Draw(page)
        for segment in lit:
            x0, y0, x1, y1 = np.array(ENDS[segment]) * 20 + np.array([21, 12, 21, 12])
            along, across = (3, 0) if y0 == y1 else (0, 3)
            draw.line([(x0 + along, y0 + across), (x1 - along, y1 - across)], 0, 4)
        for _ in range(count):
            images.append(centred(distorted(np.asarray(page), rng)))
            labels.append(digit)
    return Split(np.stack(images), np.array(labels, np.int64))
