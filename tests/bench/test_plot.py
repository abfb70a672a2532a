"""The picture of ratios."""

from __future__ import annotations

import math
from typing import Any
from xml.etree import ElementTree

import pytest

from onnxforge.bench import plot

SVG = "{http://www.w3.org/2000/svg}"


def row(model: str, ratio: list[float] | None = None) -> dict[str, Any]:
    given = {"model": model, "file": f"{model}.onnx", "ep": "cpu"}
    return given if ratio is None else given | {"ratio": ratio}


def drawn(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Where the dots are, by what is said of them."""
    root = ElementTree.fromstring(plot.ratios(rows))
    return {
        str(group.findtext(f"{SVG}title")): float(group.findall(f"{SVG}circle")[0].attrib["cx"])
        for group in root.iter(f"{SVG}g")
    }


def test_models_measured_together_are_a_group_that_begins_where_nothing_is_compared() -> None:
    a, b, c, alone = (
        row("a.ours"),
        row("a.theirs", [1, 1, 1]),
        row("a.original", [1, 1, 1]),
        row("z"),
    )
    assert plot.groups([a, b, c, alone, a, c]) == [[a, b, c], [a, c]]


def test_where_nothing_is_compared_there_is_no_picture() -> None:
    assert plot.ratios([row("a"), row("b")]) == ""


def test_less_time_is_to_the_left_and_twice_as_far_from_one_as_half() -> None:
    at = drawn(
        [row("a.ours"), row("a.x", [0.5, 0.4, 0.6]), row("a.y", [1, 1, 1]), row("a.z", [2, 2, 2])]
    )
    half, one, twice = at.values()
    assert half < one < twice
    assert one - half == pytest.approx(twice - one, abs=0.2)
    assert next(iter(at)) == "against a.x.onnx: 0.500"


def test_what_is_far_away_stays_in_the_picture() -> None:
    at = drawn([row("a"), row("b", [1000.0, 0.0, math.inf]), row("c", [1, 1, 1])])
    far, one = at.values()
    assert one < far < 760


def test_names_are_written_as_text() -> None:
    text = plot.ratios([row("a<b>&"), row("c<d>", [1, 1, 1])])
    ElementTree.fromstring(text)
    assert "a&lt;b&gt;&amp;" in text
