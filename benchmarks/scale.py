"""How the time of `standard` grows with a graph, and what doing it again costs.

    python benchmarks/scale.py --json scale.json --markdown scale.md

Seconds are of the processor and the least of several runs.  The floor is protobuf's own parsing and
serializing of the same graph.  Where ONNX Runtime is installed, which it always is, it takes turns
with us on a chain, from a file to a file.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
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


def scale(sizes: list[int], repeats: int) -> tables.Table:
    """`standard` on generated graphs: a first run, one on its result, and one after an edit."""
    table = []
    for kind, make in KINDS.items():
        for size in sizes:
            data = make(size).SerializeToString()
            # The largest take longest, and vary least.
            runs = [_runs(data) for _ in range(repeats if size < 50_000 else 1)]
            first, second, edited, single, floor = map(min, zip(*runs, strict=True))
            table.append(
                {
                    "graph": kind,
                    "nodes": size,
                    "seconds": round(first, 3),
                    "µs a node": round(first / size * 1e6, 1),
                    "times parse and serialize": round(first / floor, 1),
                    "a second run, µs a node": round(second / size * 1e6, 2),
                    "after an edit, µs a node": round(edited / size * 1e6, 2),
                    "one pass after an edit, µs": round(single * 1e6),
                }
            )
            print(table[-1], flush=True)
    return table


def _runs(data: bytes) -> tuple[float, ...]:
    passes = registry.resolve("standard")
    model = Model.from_bytes(data)
    first = seconds(lambda: PassManager(passes).run(model))
    second = seconds(lambda: PassManager(passes).run(model))
    _edit(model)
    edited = seconds(lambda: PassManager(passes).run(model))
    _edit(model)
    single = seconds(lambda: registry.create("identity-elimination").apply(model))
    floor = seconds(lambda: onnx.ModelProto.FromString(data).SerializeToString())
    return first, second, edited, single, floor


def _edit(model: Model) -> None:
    """Put an Identity in the middle, for a pass to find."""
    graph = model.graph
    nodes = [node for node in graph if node.outputs[0].consumers]
    value = nodes[len(nodes) // 2].outputs[0]
    reader = next(iter(value.consumers)).holder_in(graph)
    between = graph.add_node("Identity", [value], before=reader)
    assert graph.replace(value, between.outputs[0])


def seconds(function: Callable[[], Any]) -> float:
    begin = time.process_time()
    function()
    return time.process_time() - begin


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
    chosen = parser.parse_args()
    peers.CONTEXT.set_forkserver_preload(peers.PRELOADED)
    with tempfile.TemporaryDirectory() as folder:
        found = {
            "A chain, in seconds": chain(Path(folder), 10_000, chosen.repeats),
            "Scale": scale(chosen.sizes, chosen.repeats),
        }
    tables.publish(found, chosen)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
