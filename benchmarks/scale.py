"""How the time of `standard` grows with a graph, and what doing it again costs.

    python benchmarks/scale.py --json scale.json --markdown scale.md

Seconds are of the processor and the least of several runs.  The floor is protobuf's own parsing and
serializing of the same graph.  Where ONNX Runtime is installed, which it always is, it takes turns
with us on a chain, from a file to a file.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import graphs
import onnx
import peers
import speed
import tables

from onnxforge import Model, PassManager, registry

SIZES = (1_000, 10_000, 100_000)
KINDS: dict[str, Callable[[int], onnx.ModelProto]] = {
    "chain": graphs.chain,
    "wide fan": graphs.fan,
    "small bodies": graphs.branches,
    "deep nests": graphs.nests,
    "initializers": graphs.initializers,
    "Conv, BatchNormalization, Relu": graphs.convolutions,
}


def scale(sizes: list[int], repeats: int, limit: int) -> tables.Table:
    """`standard` on generated graphs: a first run, one on its result, and one after an edit."""
    table = []
    for kind in KINDS:
        for size in sizes:
            # The largest take longest, and vary least.
            given = (kind, size, repeats if size < 50_000 else 1, limit)
            runs, problem = peers.in_process(_runs, *given, timeout=60 * limit)
            found: dict[str, float] = {}
            for run, value in runs:
                found[run] = min(value, found.get(run, value))
            row = {"graph": kind, "nodes": size, "seconds": _rounded(found.get("first"), 3)}
            if "first" not in found:
                print(f"{kind}, {size} nodes: not done in {limit} s ({problem})", flush=True)
            for run, title in (
                ("first", "µs a node"),
                ("second", "a second run, µs a node"),
                ("edited", "after an edit, µs a node"),
            ):
                row[title] = _rounded(found.get(run), 2, 1e6 / size)
            row["one pass after an edit, µs"] = _rounded(found.get("single"), 0, 1e6)
            above = found["first"] / found["floor"] if "first" in found else None
            row["times parse and serialize"] = _rounded(above, 1)
            table.append(row)
            print(*row.values(), sep=", ", flush=True)
    return table


def _rounded(value: float | None, digits: int, factor: float = 1) -> float | None:
    return None if value is None else round(value * factor, digits)


def _runs(kind: str, size: int, repeats: int, limit: int) -> Iterator[tuple[str, float]]:
    """What each run takes, as long as all of them take no more than *limit* seconds."""
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    passes = registry.resolve("standard")
    PassManager(passes).run(Model(KINDS[kind](300)))
    data = KINDS[kind](size).SerializeToString()
    for _ in range(repeats):
        yield "floor", seconds(lambda: onnx.ModelProto.FromString(data).SerializeToString())
        model = Model.from_bytes(data)
        for run in ("first", "second", "edited"):
            if run == "edited":
                _edit(model)
            yield run, seconds(lambda model=model: PassManager(passes).run(model))
        _edit(model)
        each = registry.create("identity-elimination")
        yield "single", seconds(lambda model=model, each=each: each.apply(model))


def _edit(model: Model) -> None:
    """Put an Identity in the middle, for a pass to find."""
    graph = model.graph
    nodes = [node for node in graph if node.outputs[0].consumers]
    value = nodes[len(nodes) // 2].outputs[0]
    reader = next(iter(value.consumers)).holder_in(graph)
    between = graph.add_node("Identity", [value], before=reader)
    assert graph.replace(value, between.outputs[0])


def seconds(function: Callable[[], Any]) -> float:
    # The process's clock goes by ticks of milliseconds where its time is limited.
    begin = time.thread_time()
    function()
    return time.thread_time() - begin


def chain(folder: Path, nodes: int, turns: int) -> tables.Table:
    """An elementwise chain, from a file to a file, in turns with ONNX Runtime."""
    source = folder / "chain.onnx"
    onnx.save(graphs.chain(nodes), source)
    found = speed.least(speed.compare([speed.OURS, speed.BASIC, speed.FLOOR], source, turns, 60))
    return [{"chain": f"{nodes} nodes", **{k: round(v, 3) for k, v in found.items()}}]


def main() -> None:
    parser = tables.parser(__doc__ or "")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="of the graphs made")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=int, default=40, help="seconds for a graph of one size")
    chosen = parser.parse_args()
    peers.CONTEXT.set_forkserver_preload(peers.PRELOADED)
    with tempfile.TemporaryDirectory() as folder:
        found = {
            "A chain, in seconds": chain(Path(folder), 10_000, chosen.repeats),
            "Scale": scale(chosen.sizes, chosen.repeats, chosen.limit),
        }
    tables.publish(found, chosen)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
