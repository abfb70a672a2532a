"""Words for the terminal: rich where a person looks on, plain where a program reads."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxforge.report import Report


def printable(text: str) -> str:
    """*text* with control characters spelled out: names in a model may try to steer a terminal."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def one_line(text: str) -> str:
    """*text* with its lines joined, and without control characters."""
    return printable(" ".join(text.split()))


def lines(text: str) -> Iterable[str]:
    """The lines of *text*, each fit to print."""
    return map(printable, text.expandtabs().splitlines())


def columns(rows: Iterable[tuple[str, ...]], indent: str = "") -> Iterable[str]:
    """*rows* as lines in which the cells of all columns but the last are padded."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)] if cells else []
    for row in cells:
        padded = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        yield indent + "  ".join([*padded, row[-1]])


def size(nbytes: int) -> str:
    """A number of bytes for people: 1 MB is 10**6 bytes."""
    for unit in ("B", "kB", "MB"):
        if nbytes < 1000:
            return f"{nbytes} B" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1000  # type: ignore[assignment]  # a float from here on
    return f"{nbytes:.2f} GB"


def is_terminal() -> bool:
    """Whether a person reads what is printed."""
    return sys.stdout.isatty()


def print_report(report: Report) -> None:
    """The report as a table, coloured if it goes to a terminal."""
    if not is_terminal():
        print("\n".join(lines(str(report))))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    unchanged = {step.name for step in report.by_pass() if not step.changes}
    for number, line in enumerate(lines(str(report))):
        first = line.split(maxsplit=1)[0]
        style = "bold" if number == 0 else "dim" if line[0] == " " or first in unchanged else ""
        for word, colour in (
            ("REFUSED", "red"),
            ("NOT EQUIVALENT", "red"),
            ("UNCHECKED", "yellow"),
        ):
            style = colour if word in line else style
        console.print(Text(line, style), soft_wrap=True)
