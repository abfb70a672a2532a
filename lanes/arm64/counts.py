"""Instructions that Arm64 executes for the models of a bundle, as they came and optimized.

    python lanes/arm64/counts.py build/bundle --json counts.json --markdown counts.md

Counts track work, not time: no figure here is a latency, and emulated milliseconds are not shown.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from chart import OURS, relative, svg
from emulation import CPU, count

from onnxforge.bench import providers
from onnxforge.bench.statistics import geometric_mean

EPS = ("cpu", "xnnpack")
_NOISE = 10_000
"""Two counts closer than this, or a thousandth, are the same: so far are two of one and the same graph."""


def measure(bundle: Path, only: list[str], jobs: int, store: Path) -> dict[str, Any]:
    """Counts of the bundle's models, stored as they come; those in *store* are kept."""
    suite = json.loads((bundle / "suite.json").read_text())
    found = {"cpu": CPU, "onnxforge": metadata.version("onnxforge"), "models": {}}
    if store.exists():
        found = json.loads(store.read_text())
    rows = found["models"]
    entries = [e for e in suite["models"] if e["name"] not in rows]
    entries = [e for e in entries if not only or e["name"] in only]

    def counted(entry: dict[str, Any]) -> dict[str, Any]:
        variants = {name: bundle / file for name, file in entry["variants"].items()}
        made = {ep: bundle / file for ep, file in entry.get("targets", {}).items()}
        with np.load(bundle / entry["feeds"]) as arrays:
            feeds = dict(arrays)
        ours = {ep: {f"{OURS}, for {ep}": made[ep]} if ep in made else {} for ep in EPS}
        return {ep: count(ours[ep] | variants, feeds, ep) for ep in EPS}

    with ThreadPoolExecutor(jobs) as pool:
        counting = {pool.submit(counted, entry): entry["name"] for entry in entries}
        for future in as_completed(counting):
            rows[counting[future]] = future.result()
            store.write_text(json.dumps(found, indent=1) + "\n")
            print(counting[future], flush=True)
    found["models"] = {e["name"]: rows[e["name"]] for e in suite["models"] if e["name"] in rows}
    return found


PAGE = """# Instructions on Arm64

Millions of instructions that an emulated {cpu} executes for one run of a model on one thread, counted by
[`lanes/arm64`](arm64.md#without-a-board).
Counts track work, not time: memory, caches and how many instructions a core does at once are not in
them.
They repeat to a tenth of a percent; where ONNX Runtime ends with the very same graph, two files of it are
up to {noise:,} instructions apart, so that smaller differences are none.
Inputs are small, for emulation to end.
The geometric mean is of the ratio to the original, with the number of models it is over.
Refused is what the runtime did not load; failed is where the optimizer wrote nothing.
For XNNPACK there is also what `onnxforge optimize --target xnnpack` makes.

"""
TITLES = {
    "cpu": "CPU provider, ONNX Runtime 1.31 from PyPI",
    "xnnpack": "XNNPACK, ONNX Runtime 1.21 of Debian 13; in brackets partitions, and nodes left to the CPU",
}


def markdown(found: dict[str, Any], picture: str = "") -> str:
    """A page with a table for each provider and what they come to; *picture* is the chart's file."""
    parts = [PAGE.format(cpu=found["cpu"], noise=_NOISE)]
    for ep in EPS:
        rows = {name: row[ep] for name, row in found["models"].items()}
        tools = list(dict.fromkeys(tool for row in rows.values() for tool in row))
        lines = [f"| {' | '.join(['', *tools])} |", f"| --- |{' ---: |' * len(tools)}"]
        for name, row in rows.items():
            lines.append(f"| {name} | {' | '.join(cell(row.get(t), ep) for t in tools)} |")
        lines.append(f"| geometric mean | {' | '.join(mean(rows, tool) for tool in tools)} |")
        parts.append("\n".join([f"## {TITLES[ep]}", "", *lines, "", *remarks(rows), "", ""]))
        if picture and ep == "cpu":
            parts.append(f"![Ours, and the best of the others, to the original]({picture})\n\n")
    return "".join(parts)


def cell(result: dict[str, Any] | None, ep: str) -> str:
    if result is None:
        return "failed"
    if "error" in result:
        return "refused"
    text = f"{result['instructions'] / 1e6:.3f}"
    return text if ep == "cpu" else f"{text} ({result['partitions']}, {_left(result)})"


def _left(result: dict[str, Any]) -> int:
    """How many nodes the CPU provider ran."""
    return int(result["nodes"].get(providers.CPU, 0))


def mean(rows: dict[str, Any], tool: str) -> str:
    """Of a tool's counts relative to the original's, over the models both ran."""
    if tool == "original":
        return "1"
    ratios = [ratio for row in rows.values() if (ratio := relative(row).get(tool))]
    return f"{geometric_mean(ratios):.3f} ({len(ratios)})" if ratios else ""


def remarks(rows: dict[str, Any]) -> list[str]:
    """Where another is ahead of the first of our outputs, in words."""
    behind = []
    for name, row in rows.items():
        counted = {tool: result for tool, result in row.items() if "instructions" in result}
        ours = next((result for tool, result in counted.items() if tool.startswith(OURS)), None)
        others = {
            tool: r["instructions"] for tool, r in counted.items() if not tool.startswith(OURS)
        }
        if ours is None or not others:
            continue
        best = min(others, key=lambda tool: others[tool])
        if ours["instructions"] - others[best] > max(_NOISE, others[best] / 1000):
            fewer = 1 - others[best] / ours["instructions"]
            behind.append(f"- {name}: {best} needs {fewer:.1%} fewer instructions.")
        original = counted.get("original")
        if (
            original
            and ours["partitions"] > original["partitions"]
            and _left(ours) >= _left(original)
        ):
            behind.append(f"- {name}: the original has fewer partitions.")
    if behind:
        return ["Where something is ahead of what onnxforge makes:", "", *behind]
    return ["Nothing needs fewer instructions than what onnxforge makes, on any model."]


def main() -> None:
    parser = argparse.ArgumentParser(description="Count instructions on Arm64.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--json", type=Path, required=True, help="where to store; continued")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--jobs", type=int, default=2)
    chosen = parser.parse_args()
    found = measure(chosen.bundle, chosen.only, chosen.jobs, chosen.json)
    if chosen.markdown:
        picture = chosen.markdown.with_suffix(".svg")
        picture.write_text(svg(found, "cpu"))
        chosen.markdown.write_text(markdown(found, picture.name))
    else:
        print(markdown(found))


if __name__ == "__main__":
    main()
