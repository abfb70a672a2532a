"""The counts as a picture: for each model, how many instructions are left of the original's."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

_LABELS, _WIDTH, _ROW, _BAR = 250, 420, 34, 11
_OUR_COLOUR, _PEER_COLOUR = "#3f6fb5", "#b9b9b9"
OURS = "onnxforge"
"""What the names of our variants begin with."""


def svg(found: dict[str, Any], ep: str) -> str:
    """Bars of our output and of the best other's, relative to the original, as an SVG."""
    rows = [
        (name, ratios)
        for name, row in found["models"].items()
        if (ratios := relative(row[ep])) and OURS in ratios
    ]
    box = f"0 0 {_LABELS + _WIDTH + 200} {_ROW * len(rows) + 30}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" font-size="13">',
        "<style>text { font-family: sans-serif; fill: #777 }</style>",
        f"<title>Instructions on {escape(ep)}, relative to the original</title>",
    ]
    scale = _WIDTH / max(1.0, *(max(ratios.values()) for _, ratios in rows))
    for index, (name, ratios) in enumerate(rows):
        y = _ROW * index + 8
        others = {tool: ratio for tool, ratio in ratios.items() if not tool.startswith(OURS)}
        best = min(others, key=lambda tool: others[tool], default=None)
        parts.append(
            f'<text x="{_LABELS - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>'
        )
        parts += _bar(y, ratios[OURS], scale, _OUR_COLOUR, OURS)
        if best is not None:
            parts += _bar(y + _BAR + 2, others[best], scale, _PEER_COLOUR, best)
    x, height = _LABELS + scale, _ROW * len(rows) + 6
    parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}" stroke="#d33"/>')
    parts.append(f'<text x="{x:.1f}" y="{height + 16}" text-anchor="middle">the original</text>')
    return "\n".join([*parts, "</svg>", ""])


def relative(row: dict[str, Any]) -> dict[str, float]:
    """Instructions by tool, in units of the original's; nothing if that was not counted."""
    original = row.get("original", {}).get("instructions")
    return {
        tool: result["instructions"] / original
        for tool, result in row.items()
        if original and tool != "original" and "instructions" in result
    }


def _bar(y: int, ratio: float, scale: float, colour: str, label: str) -> list[str]:
    width = ratio * scale
    text = f"{label} {ratio:.3f}"
    return [
        f'<rect x="{_LABELS}" y="{y}" width="{width:.1f}" height="{_BAR}" fill="{colour}"/>',
        f'<text x="{_LABELS + width + 6:.1f}" y="{y + _BAR - 1}" font-size="11">{escape(text)}</text>',
    ]
