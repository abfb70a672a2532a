"""A picture of a digit as the network wants it: 28 x 28, ink bright on black, centred, contrasty.

The app on the phone does the same in Java, to the pixel (`Glyph.java`).  So everything that counts
is integer arithmetic, or float64 in an order that is written down; OpenCV and Pillow round as they
please, and differently from version to version.
"""

from __future__ import annotations

import cv2
import numpy as np

SIDE = 28
MARGIN = 4
"""Pixels of paper around the digit: its longer side becomes SIDE - 2 * MARGIN."""
CONTRAST = 50
"""Levels of grey between paper and ink below which there is no ink."""


def stretched(picture: np.ndarray) -> np.ndarray | None:
    """Dark ink on light paper, uint8, to 0 for the lightest pixel and 255 for the darkest.

    None if the picture is all of one shade.
    """
    light, dark = int(picture.max()), int(picture.min())
    reach = light - dark
    if reach < CONTRAST:
        return None
    return ((2 * 255 * (light - picture.astype(np.int64)) + reach) // (2 * reach)).astype(np.uint8)


def glyph(ink: np.ndarray) -> np.ndarray | None:
    """The digit in *ink*, as `stretched` gives it: uint8 [28, 28]; None if there is none."""
    rows, columns = np.nonzero(ink >= 128)
    if len(rows) == 0:
        return None
    top, bottom = int(rows.min()), int(rows.max()) + 1
    left, right = int(columns.min()), int(columns.max()) + 1
    step = max(bottom - top, right - left) / (SIDE - 2 * MARGIN)
    x = (left + right) / 2 - step * SIDE / 2
    y = (top + bottom) / 2 - step * SIDE / 2
    return resampled(ink, x, y, step)


def resampled(ink: np.ndarray, x: float, y: float, step: float) -> np.ndarray:
    """The square of SIDE * *step* pixels at (*x*, *y*), scaled to SIDE x SIDE; all around is paper.

    An output pixel is the mean of enough samples to see each input pixel.
    """
    count = int(np.ceil(step))
    at = (np.arange(SIDE * count) + 0.5) / count * step - 0.5
    padded = np.pad(ink, 1)
    samples = bilinear(padded, (x + at + 1)[None, :], (y + at + 1)[:, None]).astype(np.int64)
    sums = samples.reshape(SIDE, count, SIDE, count).sum((1, 3))
    return ((2 * sums + count**2) // (2 * count**2)).astype(np.uint8)


def bilinear(picture: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """*picture*, uint8, at the points (*x*, *y*), whose shapes broadcast; its edge goes on outside."""
    height, width = picture.shape
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    x0, y0 = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    right, down = x - x0, y - y0
    above = picture[y0, x0] * (1 - right) + picture[y0, x1] * right
    below = picture[y1, x0] * (1 - right) + picture[y1, x1] * right
    return np.floor(above * (1 - down) + below * down + 0.5).astype(np.uint8)


def reaching_the_middle(ink: np.ndarray) -> np.ndarray:
    """*ink* without the strokes that stay out of the middle half: remains of a frame, not a digit."""
    height, width = ink.shape
    strokes = (ink >= 128).astype(np.uint8)
    _, labels = cv2.connectedComponents(strokes, connectivity=8)
    middle = labels[height // 4 : height - height // 4, width // 4 : width - width // 4]
    stays = np.isin(labels, middle[middle > 0])
    return np.where(stays | (strokes == 0), ink, 0).astype(np.uint8)
