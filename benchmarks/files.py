"""Large files: seconds and memory, against onnx, protobuf and a plain copy.

    python benchmarks/files.py --json files.json [MODEL.onnx ...]

Each task has a process of its own.  Seconds are of the processor, the kernel's copying included, and
the least of the turns.  Memory is anonymous memory, above what the interpreter with its imports has:
pages of files can be dropped, and do not count.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import graphs
import onnx
import peers
import speed
import tables

import onnxforge
from onnxforge import registry

Step = Callable[[Path, Path], None]


def files(folder: Path, sizes: tuple[int, int], given: list[Path], turns: int) -> tables.Table:
    """What reading, optimizing and writing take, step by step."""
    single, beside = sizes
    made = [folder / f"{single} MB in one file.onnx", folder / f"{beside} MB of external data.onnx"]
    # A layer of this width has 50 MB.
    onnx.save(graphs.encoder(single // 50, width=1020), made[0])
    external = {"save_as_external_data": True, "location": "weights.data"}
    onnx.save(graphs.encoder(beside // 50, width=1020), made[1], **external)
    table = []
    for source in (*made, *given):
        tasks = ["ours", "copy"]
        # Others take the whole of it into memory, and protobuf no more than two gigabytes.
        tasks += ["onnx"] if peers.megabytes(source) < 1_000 else []
        tasks += ["protobuf"] if "onnx" in tasks and not peers.data_files(source) else []
        found = _in_turns(tasks, source, folder, turns)
        columns = {
            "load": ("ours", "load"),
            "optimize": ("ours", "optimize"),
            "save": ("ours", "save"),
            "MB in memory": ("ours", "megabytes"),
            "onnx.load": ("onnx", "load"),
            "onnx.save": ("onnx", "save"),
            "onnx's MB": ("onnx", "megabytes"),
            speed.FLOOR: ("protobuf", "all"),
            "copy": ("copy", "all"),
        }
        figures = {title: found.get(task, {}).get(step) for title, (task, step) in columns.items()}
        table.append(
            {"model": source.stem}
            | {
                title: figure and (round(figure) if "MB" in title else round(figure, 3))
                for title, figure in figures.items()
            }
        )
    return table


def _in_turns(
    tasks: list[str], source: Path, folder: Path, turns: int
) -> dict[str, dict[str, float]]:
    """The least of each step's seconds and of the memory, by task."""
    target = folder / "result" / "result.onnx"
    found: dict[str, list[dict[str, float]]] = {task: [] for task in tasks}
    for _ in range(turns):
        for task in tasks:
            target.parent.mkdir()
            command = [sys.executable, __file__, "--task", task, str(source), str(target)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            shutil.rmtree(target.parent)
            found[task].append(json.loads(done.stdout))
    return {
        task: {step: min(result[step] for result in results) for step in results[0]}
        for task, results in found.items()
    }


def _steps(task: str, source: Path, target: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    if task == "ours":
        model = None

        def load() -> None:
            nonlocal model
            model = onnxforge.load(source)

        yield "load", load
        yield "optimize", lambda: onnxforge.optimize(model, verify=False, in_place=True)
        yield "save", lambda: model.save(target)
    elif task == "onnx":
        proto = None

        def read() -> None:
            nonlocal proto
            proto = onnx.load(source)

        has_data = bool(peers.data_files(source))
        yield "load", read
        yield "save", lambda: onnx.save(proto, target, save_as_external_data=has_data)
    elif task == "protobuf":
        yield "all", lambda: speed.floor(source)
    else:
        names = [source.name, *peers.data_files(source)]
        yield "all", lambda: [shutil.copyfile(source.parent / n, target.parent / n) for n in names]


def _task(task: str, source: str, target: str) -> None:
    registry.resolve("standard")
    found, before = {}, _anonymous()
    with _watched() as seen:
        for name, step in _steps(task, Path(source), Path(target)):
            begin = time.process_time()
            step()
            found[name] = time.process_time() - begin
    print(json.dumps(found | {"megabytes": max(seen) - before}))


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


def main() -> None:
    if sys.argv[1:2] == ["--task"]:
        _task(*sys.argv[2:])
        return
    parser = tables.parser(__doc__ or "")
    parser.add_argument("models", nargs="*", type=Path, help="large models to measure as well")
    parser.add_argument("--megabytes", type=int, nargs=2, default=(500, 2500), help="of those made")
    parser.add_argument("--turns", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        table = files(Path(name), tuple(chosen.megabytes), chosen.models, chosen.turns)
        tables.publish({"Files and memory": table}, chosen)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
