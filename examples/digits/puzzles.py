"""Photographs of Sudokus, drawn: the puzzle, the page it is printed on, and a camera held askew.

python -m examples.digits.puzzles [--count N]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from examples.digits import FOLDER
from examples.digits.data import MATPLOTLIB
from examples.digits.solver import solutions

SIDE = 480
"""Pixels to a side of a photograph."""
FACES = ("DejaVuSans.ttf", "DejaVuSerif.ttf", "STIXGeneral.ttf", "cmss10.ttf")


@dataclass(frozen=True)
class Photograph:
    """What the camera sees, uint8 [H, W], and the 81 digits that are printed there."""

    picture: np.ndarray
    board: list[int]


def puzzle(rng: np.random.Generator) -> list[int]:
    """A Sudoku with one solution, from which few digits could be taken away."""
    symbols = rng.permutation(9) + 1
    rows, columns = (
        [3 * int(band) + int(line) for band in rng.permutation(3) for line in rng.permutation(3)]
        for _ in range(2)
    )
    board = [int(symbols[(row * 3 + row // 3 + column) % 9]) for row in rows for column in columns]
    for cell in rng.permutation(81)[:54]:
        without = [*board[:cell], 0, *board[cell + 1 :]]
        answers = solutions(without)
        next(answers)
        if next(answers, None) is None:
            board = without
    return board


def photograph(board: list[int], rng: np.random.Generator) -> Photograph:
    """*board* in print, seen at an angle, in uneven light, with noise."""
    page = printed(board, MATPLOTLIB / str(rng.choice(FACES)))
    size = page.shape[0]
    seen_at = np.array([[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]]) + rng.uniform(
        -0.07, 0.07, (4, 2)
    )
    paper_at = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    matrix = cv2.getPerspectiveTransform(
        (paper_at * size).astype(np.float32), (seen_at * SIDE).astype(np.float32)
    )
    flags = {"flags": cv2.INTER_AREA, "borderMode": cv2.BORDER_CONSTANT, "borderValue": 255.0}
    seen = cv2.warpPerspective(page, matrix, (SIDE, SIDE), **flags).astype(np.float64)
    seen = cv2.GaussianBlur(seen, (0, 0), rng.uniform(0.4, 0.9))
    slope = rng.uniform(-60, 60, 2)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    light = 200 + slope[0] * x + slope[1] * y
    noise = rng.normal(0, 2.5, seen.shape)
    picture = np.clip((0.15 + 0.85 * seen / 255) * light + noise, 0, 255)
    return Photograph(picture.astype(np.uint8), board)


def printed(board: list[int], face: Path, cell: int = 64) -> np.ndarray:
    """*board* as a page, uint8, lines and digits black on white."""
    side = 9 * cell
    page = Image.new("L", (side + 9, side + 9), 255)
    draw = ImageDraw.Draw(page)
    for line in range(10):
        width, at = (5 if line % 3 == 0 else 2), 4 + line * cell
        draw.line([(at, 2), (at, side + 6)], 0, width)
        draw.line([(2, at), (side + 6, at)], 0, width)
    font = ImageFont.truetype(str(face), cell * 5 // 8)
    for number, digit in enumerate(board):
        if digit:
            row, column = divmod(number, 9)
            middle = (4 + column * cell + cell // 2, 4 + row * cell + cell // 2)
            draw.text(middle, str(digit), 0, font, anchor="mm")
    return np.asarray(page)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw photographs of Sudokus.")
    parser.add_argument("--count", type=int, default=3)
    for number in range(parser.parse_args().count):
        rng = np.random.default_rng(number)
        made = photograph(puzzle(rng), rng)
        path = FOLDER / f"sudoku-{number}.png"
        FOLDER.mkdir(parents=True, exist_ok=True)
        Image.fromarray(made.picture).save(path, optimize=True)
        path.with_suffix(".txt").write_text("".join(map(str, made.board)) + "\n")
        print(f"{path}: {sum(digit > 0 for digit in made.board)} digits")


if __name__ == "__main__":
    main()
