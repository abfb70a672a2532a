"""The tutorial, followed: every block on its pages runs, and the network it ends with can read."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest

from examples.digits.solver import solve

ROOT = Path(__file__).parents[2]
TUTORIAL = runpy.run_path(str(ROOT / "docs" / "tutorial" / "run.py"))
FETCHES = ("pip install", "make ")
"""Commands for which packages are fetched: `make test-android` and `make tutorial` run them."""


def test_followed_to_the_sudoku_it_reads_more_than_98_percent_of_what_was_held_out(
    tmp_path: Path,
) -> None:
    folder = TUTORIAL["workshop"](tmp_path)
    pages = {}
    for page in TUTORIAL["PAGES"]:
        if page.stem in ("9-android", "10-results"):
            continue
        offline = tmp_path / page.name
        offline.write_text(without_fetching(page.read_text()))
        pages[page.stem] = TUTORIAL["follow"](offline, folder, DIGITS_EPOCHS="3")

    results = json.loads((folder / "build/digits/results.json").read_text())
    for name in ("original", "optimized", "int8", "int8 for x86", "dynamo, optimized"):
        assert results[name]["accuracy"]["all"] > 0.98
    assert results["optimized"]["nodes"] < results["original"]["nodes"] * 0.6
    assert results["int8"]["bytes"] < results["original"]["bytes"] / 2
    for picture in ("samples.png", "graphs.svg", "latency.svg", "confusion.svg", "sudoku.png"):
        assert (folder / "build/digits/pictures" / picture).stat().st_size > 10_000
    differences = re.findall(r"off by ([\d.e+-]+)", pages["3-export"] + pages["5-optimization"])
    assert len(differences) == 4
    assert all(float(each) < 1e-5 for each in differences)
    read, solution = pages["8-sudoku"].split("sudoku-0.png\n")[1].split("\n\n")[:2]
    board = [int(digit) for digit in read.replace(".", "0").split()]
    assert "".join(map(str, board)) == (folder / "build/digits/sudoku-0.txt").read_text().strip()
    assert solve(board) == [int(digit) for digit in solution.split()]


def without_fetching(text: str) -> str:
    """The page without the commands that need packages from elsewhere, and what follows them."""
    blocks = re.split(r"(?m)(^```console\n.*?^```$)", text, flags=re.DOTALL)
    return "".join(
        block
        for block in blocks
        if not any(f"$ {each}" in block or f"-m {each}" in block for each in FETCHES)
    )


def test_a_command_that_fails_stops_the_tutorial_and_says_why(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```console\n$ echo the reason >&2; exit 3\n```\n")
    with pytest.raises(TUTORIAL["StepError"], match="the reason"):
        TUTORIAL["follow"](page, tmp_path)


def test_what_is_printed_takes_the_place_of_what_was(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Text.\n\n```console\n$ echo new\nold\n$ echo two\n```\n\n```python\nprint(6 * 7)\n```\n\n"
        "```text\n41\n```\n\n<!-- $ echo '| a |' -->\nold\n<!-- end -->\n\n```sh\nexit 1\n```\n"
    )
    followed = TUTORIAL["follow"](page, tmp_path)
    assert followed == (
        "Text.\n\n```console\n$ echo new\nnew\n$ echo two\ntwo\n```\n\n```python\nprint(6 * 7)\n"
        "```\n\n```text\n42\n```\n\n<!-- $ echo '| a |' -->\n\n| a |\n\n<!-- end -->\n\n"
        "```sh\nexit 1\n```\n"
    )
    (tmp_path / "again.md").write_text(followed)
    assert TUTORIAL["follow"](tmp_path / "again.md", tmp_path) == followed


def test_every_picture_that_a_page_shows_is_there_and_small() -> None:
    shown = [
        name
        for page in TUTORIAL["PAGES"]
        for name in re.findall(r"\]\((pictures/[\w.-]+)\)", page.read_text())
    ]
    assert len(shown) >= 5
    for name in shown:
        assert (ROOT / "docs" / "tutorial" / name).stat().st_size < 300_000
