"""A photographed Sudoku to 81 pictures of its cells.

As in `glyph.py`, each step is exact, so that the app finds the same corners and the same pixels
(`Grid.java`): of OpenCV only what is integer by definition, integral images and components.
"""

from __future__ import annotations

import cv2
import numpy as np

from examples.digits.glyph import SIDE, bilinear, glyph, reaching_the_middle, stretched

CELL = 56
"""Pixels to a side of a cell once the grid is flat."""
BORDER = 7
"""Pixels cut off on each side of a cell: lines are thick, and no grid is quite straight."""
DARKER = 12
"""Levels of grey by which a line is darker than its neighbourhood."""


class GridNotFoundError(Exception):
    """There is no grid in the picture."""


def dark(picture: np.ndarray) -> np.ndarray:
    """True where *picture*, uint8 [H, W], is darker than its neighbourhood, whatever the light."""
    height, width = picture.shape
    reach = max(height, width) // 40 + 1
    sums = cv2.integral(picture, sdepth=cv2.CV_32S).astype(np.int64)
    top = np.maximum(np.arange(height) - reach, 0)[:, None]
    bottom = np.minimum(np.arange(height) + reach + 1, height)[:, None]
    left = np.maximum(np.arange(width) - reach, 0)[None, :]
    right = np.minimum(np.arange(width) + reach + 1, width)[None, :]
    around = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    count = (bottom - top) * (right - left)
    return (picture.astype(np.int64) + DARKER) * count < around


def corners(picture: np.ndarray) -> np.ndarray:
    """The corners of the grid, int [4, 2]: x and y, clockwise from the top left.

    The lines of a grid hang together: it is the component that spans the largest rectangle.

    Raises:
        GridNotFoundError: What spans the largest rectangle is less than a tenth of *picture*.

    """
    lines = dark(picture).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(lines, connectivity=8)
    if count < 2:
        raise GridNotFoundError("nothing in the picture is darker than its neighbourhood")
    spans = stats[1:, cv2.CC_STAT_WIDTH].astype(np.int64) * stats[1:, cv2.CC_STAT_HEIGHT]
    y, x = np.nonzero(labels == 1 + int(spans.argmax()))
    found = [(x + y).argmin(), (x - y).argmax(), (x + y).argmax(), (x - y).argmin()]
    quad = np.stack([x[found], y[found]], 1)
    if area(quad) * 10 < picture.size:
        raise GridNotFoundError("the largest thing in the picture is no grid: come closer")
    return quad


def area(quad: np.ndarray) -> float:
    """The area inside of four corners."""
    x, y = quad.astype(np.int64).T
    return abs(int((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())) / 2


def flat(picture: np.ndarray, quad: np.ndarray) -> np.ndarray:
    """The grid as if seen from straight above: uint8 [9 * CELL, 9 * CELL]."""
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = quad.astype(np.float64)
    # The projective map of the unit square onto the corners: Heckbert, "Fundamentals of Texture
    # Mapping and Image Warping", 1989, section 2.2.3.
    ex, ey = x0 - x1 + x2 - x3, y0 - y1 + y2 - y3
    ax, ay, bx, by = x1 - x2, y1 - y2, x3 - x2, y3 - y2
    size = ax * by - bx * ay
    g, h = (ex * by - bx * ey) / size, (ax * ey - ex * ay) / size
    at = (np.arange(9 * CELL) + 0.5) / (9 * CELL)
    u, v = at[None, :], at[:, None]
    w = g * u + h * v + 1
    x = ((x1 - x0 + g * x1) * u + (x3 - x0 + h * x3) * v + x0) / w
    y = ((y1 - y0 + g * y1) * u + (y3 - y0 + h * y3) * v + y0) / w
    return bilinear(picture, x, y)


def cells(board: np.ndarray) -> np.ndarray:
    """The 81 digits of a flat *board*, row by row, as the network wants them: uint8 [81, 28, 28].

    A cell without a digit is all zero.
    """
    digits = np.zeros((81, SIDE, SIDE), np.uint8)
    for cell in range(81):
        top, left = cell // 9 * CELL + BORDER, cell % 9 * CELL + BORDER
        ink = stretched(board[top : top + CELL - 2 * BORDER, left : left + CELL - 2 * BORDER])
        digit = None if ink is None else glyph(reaching_the_middle(ink))
        if digit is not None:
            digits[cell] = digit
    return digits
