"""How long optimizing takes next to other optimizers, in one warm process.

    python benchmarks/speed.py MODEL.onnx ... --json speed.json --markdown speed.md

All that is installed takes turns on each model, from a file to a file, in a process that has imported
everything and optimized another model before.  Seconds are of the processor, on one core, and the
least of some turns: what else runs on the machine makes them longer, never shorter.  The floor is
protobuf's own parsing and serializing of the same bytes, without any file.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import graphs
import onnx
import peers
import tables

FLOOR = "parse and serialize"
OURS = "onnxforge"
VERIFIED = "onnxforge-verified"
BASIC = "ort-basic"
PORTABLE = ("onnxsim", "onnxslim", "onnxoptimizer", "onnxscript")
FASTEST = "the fastest of " + ", ".join(PORTABLE)
LARGE = 100.0
"""Megabytes from which on it is looked up how much of the weights changed."""

Seconds = dict[str, list[float]]
"""What each turn took, by tool."""


def measure(tools: list[str], source: str, turns: int, enough: float) -> Iterator[tuple[str, Any]]:
    """Each tool as its turn comes, and again with its seconds, or None if it cannot take the file.

    So it is known at which one the process died.  A tool that has spent *enough* seconds on the
    file gets no further turn.
    """
    os.sched_setaffinity(0, [max(os.sched_getaffinity(0))])
    tasks = {tool: _task(tool) for tool in tools}
    spent = dict.fromkeys(tools, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        warm = str(Path(folder, "warm.onnx"))
        onnx.save(graphs.convolutions(30), warm)
        for tool in tools:
            yield tool, None
            _seconds(tasks[tool], warm, folder)
        for _ in range(turns):
            for tool in [tool for tool in tools if spent[tool] < enough]:
                yield tool, None
                seconds = _seconds(tasks[tool], source, folder)
                spent[tool] += enough if seconds is None else seconds
                yield tool, seconds


def _task(tool: str) -> Callable[[str, str], None]:
    if tool == FLOOR:
        return lambda source, _: floor(Path(source))
    module, run = peers.PEERS[tool]
    library = import_module(module)
    return lambda source, target: run(library, source, target)


def floor(source: Path) -> None:
    """What any optimizer that holds the model in a protobuf has to do."""
    onnx.ModelProto.FromString(source.read_bytes()).SerializeToString()


def _seconds(task: Callable[[str, str], None], source: str, folder: str) -> float | None:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        gc.collect()
        begin = time.process_time()
        try:
            task(source, str(Path(place, "model.onnx")))
        except Exception:  # noqa: BLE001 - whatever an optimizer raises
            return None
        return time.process_time() - begin


def compare(tools: list[str], source: Path, turns: int, enough: float = 4.0) -> Seconds:
    """What each turn took, by tool.  A tool that fails or dies on the file is left out."""
    left, problem = list(tools), "not yet"
    events: list[tuple[str, float | None]] = []
    while problem and left:
        given = (left, str(source), turns, enough)
        events, problem = peers.in_process(measure, *given, timeout=900)
        if not events:
            raise RuntimeError(f"no tool had a turn: {problem}")
        if problem:
            left.remove(events[-1][0])
    seconds: Seconds = {}
    for tool, value in events:
        if value is not None:
            seconds.setdefault(tool, []).append(value)
    return seconds


def facts(source: str) -> Iterator[dict[str, Any]]:
    """What decides which requirement a model falls under."""
    model = onnx.load(source, load_external_data=False)
    operators = [node.op_type for node in model.graph.node]
    megabytes = peers.megabytes(Path(source))
    yield {
        "megabytes": round(megabytes, 3),
        "is one file": not peers.data_files(Path(source)),
        "nodes": len(operators) - operators.count("Constant"),
        "BatchNormalization": operators.count("BatchNormalization"),
        "changed": _changed(source) if megabytes > LARGE else None,
    }


def _changed(source: str) -> float:
    """The share of our result's weights, in bytes, that are not weights of the original."""
    with tempfile.TemporaryDirectory() as folder:
        target = str(Path(folder, "model.onnx"))
        peers.forge(import_module(OURS), source, target)
        # One after the other, as both may be large.
        known = {digest for digest, _ in _weights(source)}
        sizes = [(digest in known, size) for digest, size in _weights(target)]
    return round(
        sum(size for is_known, size in sizes if not is_known) / sum(s for _, s in sizes), 4
    )


def _weights(path: str) -> list[tuple[int, int]]:
    return [
        (hash(data), len(data))
        for data in (tensor.raw_data for tensor in onnx.load(path).graph.initializer)
    ]


def least(seconds: Seconds) -> dict[str, float]:
    """The least of the turns by tool, and what the fastest portable peer took."""
    found = {tool: min(turns) for tool, turns in seconds.items()}
    rivals = [found[tool] for tool in PORTABLE if tool in found]
    return found | ({FASTEST: min(rivals)} if rivals else {})


def line(name: str, seconds: Seconds) -> str:
    found = least(seconds)
    rival = found.pop(FASTEST, None)
    ratio = f"{rival / found[OURS]:.2f}" if rival and OURS in found else "-"
    times = ", ".join(f"{tool} {1e3 * value:.1f}" for tool, value in found.items())
    return f"{name}: {ratio} ({times} ms)"


def ratios(found: Iterable[Seconds], tool: str, ours: str = OURS) -> list[float]:
    """How many times our seconds *tool* took, by model, where both took the file."""
    rows = map(least, found)
    return [row[tool] / row[ours] for row in rows if tool in row and ours in row]


def by_tool(found: list[Seconds], ours: str = OURS) -> tables.Table:
    names = dict.fromkeys(tool for seconds in found for tool in seconds if tool != ours)
    table = []
    for tool in (FASTEST, *names):
        against = ratios(found, tool, ours)
        if against:
            table.append(
                {
                    "against": tool,
                    f"times the seconds of {ours}": round(statistics.geometric_mean(against), 2),
                    "least": round(min(against), 2),
                    "ours is as fast or faster on": ahead(against),
                }
            )
    return table


def ahead(against: list[float]) -> str:
    return f"{sum(ratio >= 1 for ratio in against)} of {len(against)}"


def by_size(models: dict[str, Any]) -> tables.Table:
    """The same against the fastest peer, by the number of nodes, with what a node costs us."""
    table = []
    bounds = (0, 30, 100, 300, 1_000, 10**9)
    for low, high in pairwise(bounds):
        chosen = [m for m in models.values() if low <= m["facts"]["nodes"] < high]
        against = ratios([m["seconds"] for m in chosen], FASTEST)
        if against:
            each = [least(m["seconds"])[OURS] / m["facts"]["nodes"] for m in chosen]
            above = ratios([m["seconds"] for m in chosen], FLOOR)
            table.append(
                {
                    "nodes": f"{low} to {high - 1}" if high < 10**9 else f"{low} and more",
                    "models": len(against),
                    "the fastest peer, times our seconds": round(
                        statistics.geometric_mean(against), 2
                    ),
                    "as fast or faster on": ahead(against),
                    "our µs a node, median": round(1e6 * statistics.median(each)),
                    "times parse and serialize, median": round(1 / statistics.median(above), 1),
                }
            )
    return table


def main() -> None:
    parser = tables.parser(__doc__ or "")
    everything = [OURS, VERIFIED, *PORTABLE, BASIC, FLOOR]
    parser.add_argument("paths", nargs="+", type=Path, help="models, or folders of them")
    parser.add_argument("--tools", nargs="+", default=everything, choices=everything)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--enough", type=float, default=4.0, help="seconds for a tool and a model")
    parser.add_argument(
        "--limit-mb", type=float, default=float("inf"), help="leave larger ones out"
    )
    chosen = parser.parse_args()
    modules = {tool: peers.PEERS[tool][0] for tool in chosen.tools if tool != FLOOR}
    missing = [t for t, module in modules.items() if not find_spec(module.partition(".")[0])]
    tools = [tool for tool in chosen.tools if tool not in missing]
    if missing:
        print(f"not installed, and left out: {', '.join(missing)}")
    preloaded = [module for tool, module in modules.items() if tool in tools]
    peers.CONTEXT.set_forkserver_preload([*preloaded, *peers.PRELOADED])
    installed = [tool for tool in tools if tool != FLOOR]
    store: dict[str, Any] = {"versions": peers.versions(installed), "models": {}}
    for file in peers.models(chosen.paths, chosen.limit_mb):
        known, problem = peers.in_process(facts, str(file), timeout=900)
        seconds = compare(tools, file, chosen.turns, chosen.enough)
        if problem or OURS not in seconds:
            print(f"{file.stem}: left out, {problem or 'onnxforge cannot take it'}", flush=True)
            continue
        store["models"][file.stem] = {"facts": known[0], "seconds": seconds}
        print(line(file.stem, seconds), flush=True)
        if chosen.json:
            chosen.json.write_text(json.dumps(store, indent=1) + "\n")
    found = [model["seconds"] for model in store["models"].values()]
    titled = {
        "Optimizers": by_tool(found),
        "By size": by_size(store["models"]),
        "With the model verified": by_tool(found, VERIFIED),
    }
    tables.publish(titled, chosen, store)


if __name__ == "__main__":
    main()
