from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NUMBERS = {"A": (1, 31), "B": (32, 54), "C": (55, 57), "E": (66, 70), "F": (71, 76), "G": (77, 90)}
TESTS = {
    f"{os.path.relpath(path, HERE)}::{node.name}"
    for path in HERE.parent.rglob("test_*.py")
    for node in ast.parse(path.read_text()).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
}


def table() -> dict[str, str]:
    """The rows of the README: what covers a pain, by its number."""
    rows = re.findall(
        r"^\| ([A-G]\d+) \|.*\| (.+) \|$", (HERE / "README.md").read_text(), re.MULTILINE
    )
    assert len(rows) == len(dict(rows)), "a pain has two rows"
    return dict(rows)


def test_every_pain_has_its_row():
    wanted = {
        f"{group}{number}"
        for group, (first, last) in NUMBERS.items()
        for number in range(first, last + 1)
    }
    assert wanted <= table().keys()


@pytest.mark.parametrize(("pain", "cover"), table().items(), ids=table())
def test_a_row_names_tests_that_exist_or_gives_a_reason(pain: str, cover: str):
    named = re.findall(r"`([^`]+::[^`]+)`", cover)
    assert named or len(cover) > 40, "name a test, or say in a sentence why there is none"
    assert TESTS.issuperset(named), f"{pain} names a test there is not"


def test_every_test_of_a_pain_is_in_the_table():
    cover = " ".join(table().values())
    ours = {name for name in TESTS if "/" not in name and not name.startswith("test_table")}
    assert {name for name in ours if f"`{name}`" not in cover} == set()
