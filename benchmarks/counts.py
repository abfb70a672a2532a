"""How much work `standard` is, in counts that a busy machine does not change.

    python benchmarks/counts.py --json counts.json
    python benchmarks/counts.py --store benchmarks/counts.json

Calls of functions are Python's own, by cProfile; instructions are Callgrind's, where it is installed.
Both are of a second run in a process, when all is imported, and the same from run to run (instructions
but for a few in ten thousand).  `benchmarks/counts.json` has those of an earlier state, to see what a
change costs: counts are compared where the versions they depend on are the same.
"""

from __future__ import annotations

import cProfile
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import graphs
import onnx
import tables

from onnxforge import Model, PassManager, registry

STORED = Path(__file__).with_name("counts.json")
NODES = 300
MODELS: dict[str, Callable[[], onnx.ModelProto]] = {
    "chain": lambda: graphs.chain(NODES),
    "wide fan": lambda: graphs.fan(NODES),
    "small bodies": lambda: graphs.branches(NODES),
    "deep nests": lambda: graphs.nests(NODES),
    "initializers": lambda: graphs.initializers(NODES),
    "Conv, BatchNormalization, Relu": lambda: graphs.convolutions(NODES),
    "encoder": lambda: graphs.encoder(4, width=96),
    "constants": lambda: graphs.constants(NODES),
    "digits": lambda: onnx.load(Path(__file__).parents[1] / "examples" / "digits.onnx"),
}


def counted() -> Iterator[tuple[str, int, int, int]]:
    """Of each model the nodes, and the calls and sessions that optimizing it takes."""
    for name, make in MODELS.items():
        model = make()
        task = _task(model)
        sessions = _sessions(task)
        profile = cProfile.Profile()
        profile.runcall(task)
        calls = sum(entry.callcount for entry in profile.getstats())
        nodes = sum(map(len, Model(model).graphs()))
        yield name, nodes, calls, sessions


def _task(proto: onnx.ModelProto) -> Callable[[], None]:
    """Optimizing, as often as it is called; it was once."""
    data, passes = proto.SerializeToString(), registry.resolve("standard")

    def task() -> None:
        model = Model.from_bytes(data)
        PassManager(passes).run(model)
        model.to_bytes()

    task()
    return task


def _sessions(task: Callable[[], None]) -> int:
    """How many sessions of ONNX Runtime a task makes."""
    import onnxruntime

    made, original = [], onnxruntime.InferenceSession

    def session(*given: Any, **options: Any) -> Any:
        made.append(given)
        return original(*given, **options)

    onnxruntime.InferenceSession = session
    try:
        task()
    finally:
        onnxruntime.InferenceSession = original
    return len(made)


def instructions() -> dict[str, int]:
    """What each model takes, by Callgrind; nothing where that is not installed."""
    if not (shutil.which("valgrind") and shutil.which("callgrind_control")):
        print("valgrind is not installed: without instructions")
        return {}
    with tempfile.TemporaryDirectory() as folder:
        options = ["--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/out"]
        command = ["valgrind", "-q", *options, sys.executable, __file__, "--task"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        dumps = [path.read_text() for path in Path(folder).iterdir()]
    parts = [text.partition("desc: Trigger: dump ")[2] for text in dumps]
    return {
        part.splitlines()[0]: int(part.partition("\ntotals: ")[2].split()[0])
        for part in parts
        if part
    }


def _under_callgrind() -> None:
    def control(*command: str) -> None:
        subprocess.run(["callgrind_control", *command, str(os.getpid())], check=True)

    for name, make in MODELS.items():
        task = _task(make())
        task()
        control("--instr=on")
        task()
        control("--instr=off")
        control(f"--dump={name}")


def versions() -> dict[str, str]:
    """What counts depend on, besides our own code."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"Python": python} | {name: metadata.version(name) for name in ("onnx", "numpy")}


def table(stored: dict[str, Any]) -> tables.Table:
    known = stored["counts"] if stored.get("versions") == versions() else {}
    measured = instructions()
    rows = []
    for name, nodes, calls, sessions in counted():
        earlier = known.get(name, {})
        row: dict[str, Any] = {
            "graph": name,
            "nodes": nodes,
            "calls": calls,
            "calls a node": round(calls / nodes),
        }
        row["sessions"] = sessions
        row["instructions"] = measured.get(name)
        for what in ("calls", "instructions"):
            pair = row[what], earlier.get(what)
            row[f"{what}, times those stored"] = (all(pair) and round(pair[0] / pair[1], 3)) or None
        rows.append(row)
    return rows


def main() -> None:
    if sys.argv[1:] == ["--task"]:
        _under_callgrind()
        return
    parser = tables.parser(__doc__ or "")
    parser.add_argument("--store", type=Path, help="where to keep the counts, to compare with")
    chosen = parser.parse_args()
    stored = json.loads(STORED.read_text()) if STORED.exists() else {}
    rows = table(stored)
    if stored and stored["versions"] != versions():
        print(f"not compared: what is stored was counted with {stored['versions']}")
    tables.publish({"Counts": rows}, chosen)
    if chosen.store:
        counts = {r["graph"]: {w: r[w] for w in ("calls", "instructions") if r[w]} for r in rows}
        content = {"versions": versions(), "counts": counts}
        chosen.store.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # sets are walked in the order of hashes
        os.environ |= {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
        os.execv(sys.executable, [sys.executable, *sys.argv])
    main()
