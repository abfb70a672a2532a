"""Read and solve a photographed Sudoku.

python -m examples.digits.sudoku model.onnx photograph.png
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from examples.digits import grid
from examples.digits.infer import answers, grey
from examples.digits.solver import solve


@dataclass(frozen=True)
class Reading:
    """What was read and solved: 81 digits each, row by row, and the milliseconds each stage took.

    In `board`, 0 stands for an empty cell.
    """

    board: list[int]
    solution: list[int]
    milliseconds: dict[str, float]


def read(picture: np.ndarray, session: onnxruntime.InferenceSession) -> Reading:
    """The Sudoku in *picture*, uint8 [H, W], dark on light.

    Raises:
        GridNotFoundError: There is no grid.
        NoSolutionError: What was read cannot be solved.

    """
    times = {}

    def stage(name: str, start: float) -> None:
        times[name] = (time.perf_counter() - start) * 1e3

    start = time.perf_counter()
    corners = grid.corners(picture)
    stage("find the grid", start)

    start = time.perf_counter()
    board = grid.flat(picture, corners)
    stage("flatten it", start)

    start = time.perf_counter()
    images = grid.cells(board)
    stage("cut out 81 cells", start)

    start = time.perf_counter()
    digits = answers(session, images)[:, 1:].argmax(1) + 1  # a Sudoku has no 0
    digits[~images.any((1, 2))] = 0
    stage("recognize, in one batch", start)

    start = time.perf_counter()
    found = [int(digit) for digit in digits]
    solution = solve(found)
    stage("solve", start)
    return Reading(found, solution, times)


def text(board: Sequence[int]) -> str:
    """*board* as nine lines."""
    rows = [board[row * 9 : row * 9 + 9] for row in range(9)]
    return "\n".join(" ".join(str(digit or ".") for digit in row) for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Read and solve a photographed Sudoku.")
    parser.add_argument("model", type=Path)
    parser.add_argument("photograph", type=Path)
    arguments = parser.parse_args()
    session = onnxruntime.InferenceSession(arguments.model)
    reading = read(grey(arguments.photograph), session)
    print(text(reading.board), text(reading.solution), sep="\n\n", end="\n\n")
    for name, milliseconds in reading.milliseconds.items():
        print(f"{name:24}{milliseconds:8.2f} ms")


if __name__ == "__main__":
    main()
