"""A picture of ratios: how much time the first of models measured together takes, against the others."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any
from xml.sax.saxutils import escape

Row = Mapping[str, Any]

_LABELS, _WIDTH, _MARGIN, _STEP, _GAP = 310, 440, 24, 12, 10
_COLOURS = ("#3f6fb5", "#c46a2b", "#4a9a5c", "#9a4f9e", "#8c8c3a", "#b03a4e", "#5aa0b8", "#777777")
_WIDEST = 8.0
"""Times as long, either way, that the picture shows at most."""


def groups(rows: Iterable[Row]) -> list[list[Row]]:
    """The rows of models measured together, the first of each being what has no ratio."""
    found: list[list[Row]] = []
    for row in rows:
        if "ratio" not in row:
            found.append([])
        if found:
            found[-1].append(row)
    return [group for group in found if len(group) > 1]


def ratios(rows: Iterable[Row]) -> str:
    """An SVG with a row for each group: dots are ratios, and lines their intervals.

    To the left of 1 the first of the group takes less time.  Empty if nothing was compared.
    """
    shown = groups(rows)
    if not shown:
        return ""
    others = dict.fromkeys(_kind(row) for group in shown for row in group[1:])
    colour = {kind: _COLOURS[i % len(_COLOURS)] for i, kind in enumerate(others)}
    bounds = [bound for group in shown for row in group[1:] for bound in row["ratio"]]
    farthest = max(1.1, *(max(bound, 1 / bound) for bound in bounds if bound > 0))
    reach = math.log(min(_WIDEST, farthest))

    def x(ratio: float) -> float:
        inside = min(max(math.log(max(ratio, 1e-9)), -reach), reach)
        return _LABELS + _WIDTH * (inside / reach + 1) / 2

    parts: list[str] = []
    y = _MARGIN
    for group in shown:
        height = _STEP * (len(group) - 1)
        label = f"{group[0]['file'].removesuffix('.onnx')}, {group[0]['ep']}"
        parts.append(_text(_LABELS - 10, y + height / 2 + 4, label, "end"))
        for index, row in enumerate(group[1:]):
            middle = y + _STEP * index + _STEP / 2
            value, low, high = map(x, row["ratio"])
            drawn = colour[_kind(row)]
            parts.append(
                f'<g stroke="{drawn}" fill="{drawn}"><title>against {escape(row["file"])}: '
                f"{row['ratio'][0]:.3f}</title>"
                f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}"/>'
                f'<circle cx="{value:.1f}" cy="{middle}" r="3"/></g>'
            )
        y += height + _GAP
    ends = (math.exp(-reach), 1.0, math.exp(reach))
    for end in ends:
        parts.append(
            f'<line x1="{x(end):.1f}" x2="{x(end):.1f}" y1="{_MARGIN}" y2="{y}" stroke="#8888"/>'
        )
        parts.append(_text(x(end), _MARGIN - 8, f"{end:.2g}", "middle"))
    for index, kind in enumerate(others):
        at = y + 18 + 16 * index
        parts.append(f'<circle cx="{_LABELS + 4}" cy="{at - 4}" r="4" fill="{colour[kind]}"/>')
        parts.append(_text(_LABELS + 14, at, f"against {kind}", "start"))
    box = f"0 0 {_LABELS + _WIDTH + 30} {y + 18 + 16 * len(others)}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" font-size="11" role="img">',
            "<style>text { font-family: sans-serif; fill: #777 }</style>",
            "<title>Time of the first relative to the others</title>",
            *parts,
            "</svg>",
            "",
        ]
    )


def _kind(row: Row) -> str:
    """What a suite calls a variant: the model's file is called after it, behind a dot."""
    return str(row["model"].rpartition(".")[2])


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
