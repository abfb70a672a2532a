"""What the measurements of peers.py come to: tables, totals, and where a peer is ahead of us."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import geometric_mean, median, median_high
from typing import Any

from tables import grid

OURS = "onnxforge"
Row = Mapping[str, Any]
_SLOWER = 0.97


def line(name: str, row: Row) -> str:
    """One model in brief: nodes by tool, marked where wrong (!) or not portable (*)."""
    cells = [f"{tool} {_cell(result)}" for tool, result in row["tools"].items()]
    return f"{name}: {row['original'].get('nodes')} nodes; {', '.join(cells)}"


def contenders(row: Row) -> dict[str, Any]:
    """The peers' outputs that count: right, and of operators that the original could have had."""
    return {
        tool: result
        for tool, result in row["tools"].items()
        if not tool.startswith(OURS) and result.get("right") and result["portable"]
    }


def best(row: Row) -> tuple[str, Any] | None:
    """The contender with the fewest nodes, no less than the original's."""
    found = contenders(row)
    if not found:
        return None
    tool = min(found, key=lambda each: found[each]["nodes"])
    return tool, found[tool]


def gaps(store: Row) -> Iterator[tuple[str, str, int, Counter[str], Counter[str]]]:
    """Models where a peer leaves fewer nodes: its name, by how many, what we have more of, less."""
    for name, row in store["models"].items():
        ours = row["tools"].get(OURS, {})
        leader = best(row)
        if leader and ours.get("right") and leader[1]["nodes"] < ours["nodes"]:
            a, b = Counter(ours["operators"]), Counter(leader[1]["operators"])
            yield name, leader[0], ours["nodes"] - leader[1]["nodes"], a - b, b - a


def totals(store: Row) -> list[tuple[str, str]]:
    """The numbers that sum it up, each with what it counts."""
    rows = store["models"].values()
    pairs = [
        (row["tools"][OURS]["nodes"], leader[1]["nodes"])
        for row in rows
        if (leader := best(row)) and row["tools"].get(OURS, {}).get("right")
    ]
    ahead = sum(ours <= theirs for ours, theirs in pairs)
    ratios = [math.log(max(ours, 1) / max(theirs, 1)) for ours, theirs in pairs]
    found = [("models", str(len(rows)))]
    found.append(("of them not comparable", str(sum(bool(_unchecked(row)) for row in rows))))
    if pairs:
        share = f"{100 * ahead / len(pairs):.1f} % ({ahead} of {len(pairs)})"
        found.append(("no peer's right, portable output has fewer nodes", share))
        mean = math.exp(sum(ratios) / len(ratios))
        found.append(("our nodes to the best peer's, geometric mean", f"{mean:.3f}"))
    for what, names in (
        ("ONNX Runtime (extended) ends with more nodes from our output", _worse(store)),
        ("our file is more than 1 % larger", _larger(store)),
    ):
        found.append((what, f"{len(names)}{': ' + ', '.join(names) if names else ''}"))
    if speeds := [speed for row in rows if (speed := _speed(row["tools"].get(OURS, {})))]:
        mean = geometric_mean(speeds)
        found.append(("times as fast as the original, geometric mean", f"{mean:.3f}"))
        slow = [
            f"{name} ({', '.join(f'{ratio:.2f}' for ratio in row['tools'][OURS]['speed'])})"
            for name, row in store["models"].items()
            if (speed := _speed(row["tools"].get(OURS, {}))) and speed < _SLOWER
        ]
        listed = f"{len(slow)}{': ' + ', '.join(slow) if slow else ''}"
        found.append((f"models less than {_SLOWER} times as fast, by process", listed))
    return found


def _speed(result: Row) -> float | None:
    """How many times as fast as the original's, the median over processes."""
    return median(result["speed"]) if result.get("speed") else None


def by_tool(store: Row) -> list[list[str]]:
    """For each tool: how often it was right, wrong, failed, not portable; medians of its costs."""
    tools = dict.fromkeys(t for row in store["models"].values() for t in row["tools"])
    table = []
    for tool in tools:
        rows = [row for row in store["models"].values() if tool in row["tools"]]
        given = [row["tools"][tool] for row in rows]
        wrong = [r for r in given if r.get("right") is False]
        failed = [r for r in wrong if r["problem"].startswith("failed")]
        left = [
            math.log(max(1, row["tools"][tool]["nodes"]) / max(1, row["original"]["nodes"]))
            for row in rows
            if row["tools"][tool].get("right")
        ]
        speeds = [speed for result in given if (speed := _speed(result))]
        table.append(
            [
                tool,
                str(len(given)),
                str(sum(bool(r.get("right")) for r in given)),
                str(len(wrong) - len(failed)),
                str(len(failed)),
                str(sum(not r.get("portable", True) for r in given)),
                f"{100 * math.exp(sum(left) / max(1, len(left))):.1f} %",
                f"{median_high([r['seconds'] for r in given if 'seconds' in r] or [math.nan]):.2f}",
                f"{median_high([r['megabytes'] for r in given if 'megabytes' in r] or [math.nan]):.0f}",
                f"{geometric_mean(speeds):.3f}" if speeds else "",
            ]
        )
    return table


TOOL_HEADER = ["", "models", "right", "wrong", "failed", "not portable", "nodes left"]
TOOL_HEADER += ["median s", "median MB", "speed"]


def by_model(store: Row) -> tuple[list[str], list[list[str]]]:
    """Nodes by model and tool."""
    tools = list(dict.fromkeys(t for row in store["models"].values() for t in row["tools"]))
    header = ["", "original", *tools, "ORT extended alone", "after us"]
    table = []
    for name, row in store["models"].items():
        original, given = row["original"], row["tools"]
        cells = [_cell(given[tool]) if tool in given else "" for tool in tools]
        final = [original.get("final_nodes"), given.get(OURS, {}).get("final_nodes")]
        ends = ["" if count is None else str(count) for count in final]
        table.append([name, str(original.get("nodes", "")), *cells, *ends])
    return header, table


def markdown(store: Row) -> str:
    parts = [grid(["", ""], [list(pair) for pair in totals(store)])]
    parts += [grid(TOOL_HEADER, by_tool(store)), grid(*by_model(store))]
    return "\n\n".join(parts) + "\n"


def show(store: Row) -> None:
    """Print the tables, and where peers are ahead."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 200)
    for header, rows in ((TOOL_HEADER, by_tool(store)), (["", ""], totals(store))):
        table = Table(*header, box=None)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    lacking: Counter[str] = Counter()
    for name, tool, count, more, fewer in sorted(gaps(store), key=lambda gap: -gap[2]):
        lacking.update(dict.fromkeys(more, 1))
        console.print(f"{name}: {tool} leaves {count} fewer; we have {_list(more)}", markup=False)
        if fewer:
            console.print(f"    it has {_list(fewer)}", markup=False)
    console.print(f"operators we have more of, by models: {_list(lacking)}")
    for name, row in store["models"].items():
        for tool, result in row["tools"].items():
            if result.get("right") is False:
                console.print(f"{name}: {tool}: {result['problem']}", markup=False)


def _list(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


def _cell(result: Row) -> str:
    if "nodes" not in result:
        return "failed"
    mark = {False: "!", None: "?"}.get(result["right"], "")
    return f"{result['nodes']}{mark}{'' if result['portable'] else '*'}"


def _unchecked(row: Row) -> str:
    text: str = row["original"]["unchecked"]
    return text


def _worse(store: Row) -> list[str]:
    return [
        f"{name} ({before} to {after})"
        for name, row in store["models"].items()
        if (before := row["original"].get("final_nodes"))
        and (after := row["tools"].get(OURS, {}).get("final_nodes"))
        and after > before
    ]


def _larger(store: Row) -> list[str]:
    return [
        f"{name} ({before} to {after} bytes)"
        for name, row in store["models"].items()
        if (before := row["original"].get("bytes"))
        and (after := row["tools"].get(OURS, {}).get("bytes"))
        and after > 1.01 * before
    ]


if __name__ == "__main__":
    show(json.loads(Path(sys.argv[1]).read_text()))
