"""Other optimizers on the same models: nodes left, bytes, seconds, memory, and is it still right?

    pip install onnxsim onnxslim onnxoptimizer onnxscript
    python benchmarks/peers.py MODEL.onnx ... --json results.json --markdown results.md

Each runs in a process of its own, with a time and a memory limit, and is timed from reading the
file to having written one.  What its import takes does not count, neither in time nor in memory
(which is read the Linux way).  Whatever is not installed is left out.  `judging` says what is
right, `latency` what is faster, and `peers_summary` what it all comes to.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import latency
import onnx
import peers_summary
from judging import judge


def forge(library: Any, source: str, target: str) -> None:
    library.optimize(source, verify=False).save(target)


def forge_verified(library: Any, source: str, target: str) -> None:
    library.optimize(source).save(target)


def sim(library: Any, source: str, target: str) -> None:
    onnx.save(library.simplify(onnx.load(source))[0], target)


def slim(library: Any, source: str, target: str) -> None:
    onnx.save(library.slim(source), target)


def optimizer(library: Any, source: str, target: str) -> None:
    passes = library.get_fuse_and_elimination_passes()
    onnx.save(library.optimize(onnx.load(source), passes), target)


def script(library: Any, source: str, target: str) -> None:
    onnx.save(library.optimize(onnx.load(source)), target)


def runtime_basic(library: Any, source: str, target: str) -> None:
    _runtime(library, source, target, library.GraphOptimizationLevel.ORT_ENABLE_BASIC)


def runtime_extended(library: Any, source: str, target: str) -> None:
    _runtime(library, source, target, library.GraphOptimizationLevel.ORT_ENABLE_EXTENDED)


def _runtime(library: Any, source: str, target: str, level: Any) -> None:
    options = library.SessionOptions()
    options.graph_optimization_level = level
    options.optimized_model_filepath = target
    options.log_severity_level = 4
    library.InferenceSession(source, options, providers=["CPUExecutionProvider"])


CONTEXT = multiprocessing.get_context("forkserver")
PRELOADED = ["onnx", "onnx.inliner", "onnxruntime", "onnxforge.verify"]

PEERS: dict[str, tuple[str, Callable[[Any, str, str], None]]] = {
    "onnxforge": ("onnxforge", forge),
    "onnxforge-verified": ("onnxforge", forge_verified),
    "onnxsim": ("onnxsim", sim),
    "onnxslim": ("onnxslim", slim),
    "onnxoptimizer": ("onnxoptimizer", optimizer),
    "onnxscript": ("onnxscript.optimizer", script),
    "ort-basic": ("onnxruntime", runtime_basic),
    "ort-extended": ("onnxruntime", runtime_extended),
}


def measure(name: str, source: str, target: str, limit_mb: int) -> Iterator[dict[str, float]]:
    """What one optimizer does to one file, in this process."""
    module, run = PEERS[name]
    library = import_module(module)
    resource.setrlimit(resource.RLIMIT_AS, (limit_mb << 20,) * 2)
    before, start = peak(), time.perf_counter()
    run(library, source, target)
    yield {"seconds": time.perf_counter() - start, "megabytes": peak() - before}


def peak() -> float:
    # Not getrusage, whose maximum a child inherits from the process that started it.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


class Bench:
    """Runs optimizers over models, each in a process, and has their outputs judged."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.tools: list[str] = arguments.tools
        self.timeout: float = arguments.timeout
        self.memory: int = arguments.memory_mb
        self.root: Path = arguments.root
        self.latency: int = arguments.latency
        self.entries: dict[str, Any] = {}
        if arguments.manifest:
            listed = json.loads(arguments.manifest.read_text())["models"]
            self.entries = {str((self.root / e["path"]).resolve()): e for e in listed}

    def __call__(self, source: Path) -> dict[str, Any]:
        """All tools' results on one model, by tool, and the original's under "original"."""
        entry = self.entries.get(str(source.resolve()))
        beside = data_files(source)
        with tempfile.TemporaryDirectory() as folder:
            results, written = {}, {}
            for tool in self.tools:
                # Folders of their own, for files beside the model.
                target = Path(folder, tool, "model.onnx")
                target.parent.mkdir()
                for name in beside:  # ONNX Runtime refers to the original's
                    copy = target.parent / name
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source.parent / name, copy)
                results[tool] = self._optimize(tool, source, target)
                if "problem" not in results[tool]:
                    written[tool] = str(target)
            task = {"source": str(source), "root": str(self.root), "entry": entry}
            verdicts = self._judge(task, written)
            right = {tool: path for tool, path in written.items() if verdicts[tool].get("right")}
            ratios = self._time(task, right)
        original = verdicts.pop("original")
        for tool, verdict in verdicts.items():
            results[tool] |= verdict
        for tool, found in ratios.items():
            results[tool]["speed"] = found
        return {"original": original, "tools": results}

    def _optimize(self, tool: str, source: Path, target: Path) -> dict[str, Any]:
        given = (tool, str(source), str(target), self.memory)
        found, problem = in_process(measure, *given, timeout=self.timeout)
        if not problem and not target.exists():
            problem = "no file was written"
        return {"right": False, "problem": f"failed: {problem}"} if problem else found[0]

    def _judge(self, task: dict[str, Any], written: dict[str, str]) -> dict[str, Any]:
        """Verdicts by tool.  A process that dies has died of the candidate it was at."""
        verdicts: dict[str, Any] = {}
        todo = dict(written)
        while True:
            job = task | {"candidates": list(todo.values())}
            found, problem = in_process(judge, job, timeout=2 * self.timeout)
            if not found:
                unchecked = f"the original cannot be judged: {problem}"
                return {"original": {"unchecked": unchecked}} | verdicts
            verdicts["original"] = found[0]
            for tool, verdict in zip(list(todo), found[1:], strict=False):
                verdicts[tool] = verdict
                del todo[tool]
            if not todo:
                return verdicts
            victim = next(iter(todo))
            verdicts[victim] = {"right": False, "problem": f"cannot be run: {problem}"}
            del todo[victim]

    def _time(self, task: dict[str, Any], written: dict[str, str]) -> dict[str, list[float]]:
        """How many times as fast as the original, by tool: a ratio of each process."""
        ratios: dict[str, list[float]] = {tool: [] for tool in written}
        job = task | {"candidates": list(written.values())}
        for _ in range(self.latency if written else 0):
            found, problem = in_process(latency.measure, job, timeout=2 * self.timeout)
            for tool, ratio in zip(written, found[0] if not problem else [], strict=False):
                if ratio is not None:
                    ratios[tool].append(ratio)
        return {tool: found for tool, found in ratios.items() if found}


def in_process(
    task: Callable[..., Iterator[Any]], *given: Any, timeout: float
) -> tuple[list[Any], str]:
    """What *task* yields in a process of its own, and what that died of, if it did."""
    ours, theirs = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_send, args=(theirs, task, given))
    process.start()
    theirs.close()
    found, problem, end = [], "", time.monotonic() + timeout
    try:
        while ours.poll(max(0.0, end - time.monotonic())):
            is_result, content = ours.recv()
            if is_result:
                found.append(content)
            else:
                problem = content
        problem = f"no end after {timeout:.0f} s"
        process.kill()
    except EOFError:
        pass
    process.join()
    return found, problem or (f"exit status {process.exitcode}" if process.exitcode else "")


def _send(pipe: Any, task: Callable[..., Iterator[Any]], given: tuple[Any, ...]) -> None:
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    try:
        for result in task(*given):
            pipe.send((True, result))
    except Exception as error:  # noqa: BLE001 - whatever an optimizer raises
        pipe.send((False, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"))


def models(paths: list[Path], limit_mb: float) -> list[Path]:
    """The models among and in *paths*, the smallest first."""
    found = [f for p in paths for f in (p.rglob("*.onnx") if p.is_dir() else [p])]
    sizes = {file: megabytes(file) for file in found}
    return sorted((file for file in found if sizes[file] <= limit_mb), key=sizes.__getitem__)


def megabytes(model: Path) -> float:
    files = [model, *(model.parent / name for name in data_files(model))]
    return sum(file.stat().st_size for file in files) / 1e6


def data_files(model: Path) -> list[str]:
    """The names of the files that hold external data of a model."""
    proto = onnx.load(model, load_external_data=False)
    entries = (entry for tensor in proto.graph.initializer for entry in tensor.external_data)
    return list(dict.fromkeys(entry.value for entry in entries if entry.key == "location"))


def versions(tools: list[str]) -> dict[str, str]:
    packages = dict.fromkeys([PEERS[tool][0].partition(".")[0] for tool in tools])
    return {package: metadata.version(package) for package in (*packages, "onnx")}


def results(bench: Bench, files: list[Path], jobs: int) -> Iterator[tuple[Path, dict[str, Any]]]:
    with ThreadPoolExecutor(jobs) as pool:
        yield from zip(files, pool.map(bench, files), strict=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare optimizers on models.")
    installed = [t for t, (module, _) in PEERS.items() if find_spec(module.partition(".")[0])]
    default = [tool for tool in installed if tool != "onnxforge-verified"]
    parser.add_argument("paths", nargs="+", type=Path, help="models, or folders of them")
    parser.add_argument(
        "--manifest", type=Path, help="what to feed each model: see docs/benchmarks"
    )
    parser.add_argument("--root", type=Path, help="the folder that the manifest's paths start from")
    parser.add_argument("--tools", nargs="+", choices=installed, default=default)
    parser.add_argument("--json", type=Path, help="where to store the results")
    parser.add_argument("--update", action="store_true", help="keep what else is stored there")
    parser.add_argument("--markdown", type=Path, help="where to write the tables")
    parser.add_argument(
        "--limit-mb", type=float, default=float("inf"), help="leave larger ones out"
    )
    parser.add_argument("--timeout", type=float, default=300, help="seconds for one tool and model")
    parser.add_argument("--memory-mb", type=int, default=16384, help="address space for the same")
    parser.add_argument(
        "--latency", type=int, default=0, help="processes to compare the speed of outputs in"
    )
    parser.add_argument("--jobs", type=int, default=1, help="models at a time")
    chosen = parser.parse_args()
    chosen.root = chosen.root or (chosen.manifest.parent if chosen.manifest else Path())
    return chosen


def main() -> None:
    chosen = arguments()
    store: dict[str, Any] = {"versions": {}, "models": {}}
    if chosen.update and chosen.json and chosen.json.exists():
        store = json.loads(chosen.json.read_text())
    store["versions"] |= versions(chosen.tools)
    # What all of them import is imported once, by the process that the others are forked from.
    CONTEXT.set_forkserver_preload([*(PEERS[t][0] for t in chosen.tools), *PRELOADED])
    bench = Bench(chosen)
    for file, result in results(bench, models(chosen.paths, chosen.limit_mb), chosen.jobs):
        entry = bench.entries.get(str(file.resolve()))
        row = store["models"].setdefault(entry["id"] if entry else file.stem, {"tools": {}})
        row["original"] = result["original"]
        row["tools"] |= result["tools"]
        if chosen.json:
            chosen.json.write_text(json.dumps(store, indent=1))
        print(peers_summary.line(file.stem, row), flush=True)
    peers_summary.show(store)
    if chosen.markdown:
        chosen.markdown.write_text(peers_summary.markdown(store))


if __name__ == "__main__":
    main()
