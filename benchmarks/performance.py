"""Start, scale, files and memory, each against a floor measured in turns with it.

    python benchmarks/performance.py --json build/performance.json --markdown build/performance.md

Seconds are of the processor, not of the wall, and the least of several runs; ratios are medians of
pairs, one run after the other, which hold where the speed of the machine drifts.  Memory is anonymous
memory, above what the interpreter with its imports has: pages of files can be dropped, and do not
count.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import onnx
from onnx import TensorProto, helper

import onnxforge
from onnxforge import Model, PassManager, registry

SIZES = (1_000, 10_000, 100_000)
KINDS: dict[str, Callable[[int], onnx.ModelProto]] = {
    "chain": graphs.chain,
    "wide fan": graphs.fan,
    "small bodies": graphs.branches,
    "initializers": graphs.initializers,
    "Conv, BatchNormalization, Relu": graphs.convolutions,
}
Table = list[dict[str, Any]]


def start(folder: Path, pairs: int) -> Table:
    """Whole processes, in units of one that imports onnx."""
    source = folder / "small.onnx"
    onnx.save(graphs.convolutions(150), source)
    optimize = ["optimize", str(source), "-o", str(folder / "out.onnx"), "--no-verify"]
    rows = {
        "import onnxforge": ["-c", "import onnxforge"],
        "onnxforge --help": ["-m", "onnxforge", "--help"],
        f"onnxforge optimize, {source.stat().st_size // 1000} kB": ["-m", "onnxforge", *optimize],
    }
    floor = ["-c", "import onnx"]
    table = []
    for name, command in rows.items():
        ratios = [_process(command) / _process(floor) for _ in range(pairs)]
        table.append({"process": name, "times `import onnx`": round(statistics.median(ratios), 2)})
    return table


def _process(arguments: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def scale(sizes: tuple[int, ...], repeats: int) -> Table:
    """`standard` on generated graphs: microseconds for each node, and a second run on the result."""
    passes = registry.resolve("standard")
    table = []
    for kind, make in KINDS.items():
        for size in sizes:
            data = make(size).SerializeToString()
            first, second, floor = [], [], []
            for _ in range(repeats):
                model = Model.from_bytes(data)
                first.append(_seconds(lambda m=model: PassManager(passes).run(m)))
                second.append(_seconds(lambda m=model: PassManager(passes).run(m)))
                floor.append(_seconds(lambda d=data: _parse_and_serialize(d)))
            table.append(
                {
                    "graph": kind,
                    "nodes": size,
                    "seconds": round(min(first), 3),
                    "µs a node": round(min(first) / size * 1e6, 1),
                    "times parse and serialize": round(min(first) / min(floor), 1),
                    "a second run, µs a node": round(min(second) / size * 1e6, 2),
                }
            )
    return table


def _parse_and_serialize(data: bytes) -> None:
    onnx.ModelProto.FromString(data).SerializeToString()


def _seconds(function: Callable[[], Any]) -> float:
    begin = time.process_time()
    function()
    return time.process_time() - begin


def files(folder: Path, megabytes: int, given: list[Path]) -> Table:
    """Large models: what optimizing and saving takes, against onnx.load and onnx.save."""
    made = folder / f"{megabytes} MB in one file.onnx"
    onnx.save(_large(megabytes), made)
    beside = folder / f"{megabytes} MB of external data.onnx"
    model = onnx.load(made)
    onnx.save(model, beside, save_as_external_data=True, location="weights.data")
    del model
    table = []
    for source in (made, beside, *given):
        ours, floor = (_file(task, source, folder) for task in ("optimize", "load and save"))
        table.append(
            {
                "model": source.stem,
                "seconds": round(ours["seconds"], 2),
                "MB in memory": round(ours["megabytes"]),
                "onnx.load and save: seconds": round(floor["seconds"], 2),
                "its MB": round(floor["megabytes"]),
            }
        )
    return table


def _large(megabytes: int) -> onnx.ModelProto:
    """Matrices of four megabytes, each multiplied with what was transposed and scaled."""
    random = np.random.default_rng(0)
    weights, nodes, last = [], [], "x"
    for index in range(megabytes // 4):
        data = random.standard_normal((1024, 1024), np.float32).tobytes()
        weights.append(TensorProto(name=f"w{index}", data_type=1, dims=[1024, 1024], raw_data=data))
        nodes.append(helper.make_node("MatMul", [last, f"w{index}"], [f"p{index}"]))
        nodes.append(helper.make_node("Identity", [f"p{index}"], [f"i{index}"]))
        nodes.append(helper.make_node("Tanh", [f"i{index}"], [f"t{index}"]))
        last = f"t{index}"
    types = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 1024]) for n in ("x", last)]
    graph = helper.make_graph(nodes, "large", types[:1], types[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _file(task: str, source: Path, folder: Path) -> dict[str, float]:
    """Seconds of the processor and anonymous memory that a task takes, in a process of its own."""
    target = folder / "result" / "result.onnx"
    target.parent.mkdir(exist_ok=True)
    command = [sys.executable, __file__, "--task", task, str(source), str(target)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    for file in target.parent.iterdir():
        file.unlink()
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _task(task: str, source: str, target: str) -> None:
    registry.resolve("standard")
    before, begin = _anonymous(), time.process_time()
    with _watched() as peak:
        if task == "optimize":
            onnxforge.optimize(source, verify=False).save(target)
        else:
            onnx.save(onnx.load(source), target)
    seconds = time.process_time() - begin
    print(json.dumps({"seconds": seconds, "megabytes": max(peak) - before}))


@contextmanager
def _watched() -> Iterator[list[float]]:
    """The anonymous memory meanwhile, in MB, looked at every few milliseconds."""
    seen, done = [_anonymous()], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            seen.append(_anonymous())

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield seen
    finally:
        done.set()


def _anonymous() -> float:
    return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) / 1000


def markdown(table: Table) -> str:
    head = list(table[0])
    rows = [
        [f"{row[key]:,}" if isinstance(row[key], int) else str(row[key]) for key in head]
        for row in table
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))


def main() -> None:
    if sys.argv[1:2] == ["--task"]:
        _task(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("models", nargs="*", type=Path, help="large models to measure as well")
    parser.add_argument("--json", type=Path, help="where to store the figures")
    parser.add_argument("--markdown", type=Path, help="where to write the tables")
    parser.add_argument("--megabytes", type=int, default=500, help="of the large models made")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="of the graphs made")
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables = {
            "Start": start(folder, 2 * chosen.repeats + 1),
            "Scale": scale(tuple(chosen.sizes), chosen.repeats),
            "Files and memory": files(folder, chosen.megabytes, chosen.models),
        }
    text = "\n\n".join(f"### {title}\n\n{markdown(table)}" for title, table in tables.items())
    print(text)
    for path, content in ((chosen.json, json.dumps(tables, indent=1)), (chosen.markdown, text)):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content + "\n")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
