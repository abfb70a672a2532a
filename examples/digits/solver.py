"""Sudoku solved by trying, the cell with the fewest choices first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


class NoSolutionError(Exception):
    """The digits contradict each other."""


def solve(board: Sequence[int]) -> list[int]:
    """The 81 digits of the solution of *board*, row by row; 0 stands for an empty cell.

    Raises:
        NoSolutionError: There is none.

    """
    for solution in solutions(board):
        return solution
    raise NoSolutionError("no solution: a digit was misread, or the puzzle is wrong")


def solutions(board: Sequence[int]) -> Iterator[list[int]]:
    """All solutions of *board*."""
    cells = list(board)
    rows, columns, boxes = [0] * 9, [0] * 9, [0] * 9

    def put(cell: int, bit: int) -> None:
        rows[cell // 9] ^= bit
        columns[cell % 9] ^= bit
        boxes[cell // 27 * 3 + cell % 9 // 3] ^= bit

    def taken(cell: int) -> int:
        return rows[cell // 9] | columns[cell % 9] | boxes[cell // 27 * 3 + cell % 9 // 3]

    for cell, digit in enumerate(cells):
        if digit:
            if taken(cell) >> digit & 1:
                return
            put(cell, 1 << digit)

    def search() -> Iterator[list[int]]:
        empty = [cell for cell in range(81) if not cells[cell]]
        if not empty:
            yield list(cells)
            return
        cell = max(empty, key=lambda cell: taken(cell).bit_count())
        for digit in range(1, 10):
            if not taken(cell) >> digit & 1:
                cells[cell] = digit
                put(cell, 1 << digit)
                yield from search()
                put(cell, 1 << digit)
                cells[cell] = 0

    yield from search()
