"""Accuracy, size, nodes and latency of the model at each step, as a table and as JSON.

python -m examples.digits.measure
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from examples.digits import FOLDER
from examples.digits.data import Digits, load
from examples.digits.export import DYNAMO, TORCHSCRIPT
from examples.digits.optimize import optimized
from examples.digits.quantize import INT8, UINT8
from examples.digits.train import tensor

RESULTS = FOLDER / "results.json"
STEPS = {
    "original": TORCHSCRIPT,
    "optimized": optimized(TORCHSCRIPT),
    "int8": INT8,
    "int8 for x86": UINT8,
    "dynamo": DYNAMO,
    "dynamo, optimized": optimized(DYNAMO),
}
RUNS = 100


@dataclass(frozen=True)
class Measured:
    """What a model is worth.

    `accuracy` is by where the held-out digits come from; `nodes` as in the file, `nodes_run` after
    ONNX Runtime's own optimizations; `microseconds` is the least processor time of a run, on
    one thread of this machine, by the number of images.
    """

    accuracy: dict[str, float]
    bytes: int
    nodes: int
    nodes_run: int
    microseconds: dict[int, float]


def session(path: Path, optimized_path: Path | None = None) -> onnxruntime.InferenceSession:
    """*path* on one thread; what ONNX Runtime makes of it is written to *optimized_path*."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # else it warns that the file to write is for this machine
    if optimized_path is not None:
        options.optimized_model_filepath = str(optimized_path)
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def probabilities(path: Path, images: np.ndarray) -> np.ndarray:
    """float32 [N, 10] for *images*, uint8 [N, 28, 28]."""
    (answer,) = session(path).run(None, {"image": tensor(images).numpy()})
    return np.asarray(answer)


def latency(running: onnxruntime.InferenceSession, images: np.ndarray) -> float:
    """The processor time of the fastest run, in microseconds: others' work counts least so."""
    feeds = {"image": tensor(images).numpy()}
    times = []
    for _ in range(RUNS):
        start = time.process_time()
        running.run(None, feeds)
        times.append(time.process_time() - start)
    return min(times) * 1e6


def measure(path: Path, digits: Digits) -> Measured:
    run_path = path.with_suffix(".ort.onnx")
    running = session(path, run_path)
    accuracy = {
        name: float((probabilities(path, split.images).argmax(1) == split.labels).mean())
        for name, split in (digits.held_out | {"all": digits.test}).items()
    }
    nodes_run = len(onnx.load(run_path).graph.node)
    run_path.unlink()
    return Measured(
        accuracy,
        path.stat().st_size,
        len(onnx.load(path).graph.node),
        nodes_run,
        {n: latency(running, digits.test.images[:n]) for n in (1, 81)},
    )


def table(results: dict[str, Measured]) -> str:
    """*results* as a table in Markdown."""
    sources = list(next(iter(results.values())).accuracy)
    titles = ["model", *sources, "kB", "nodes", "as run", "1 image", "81 images"]
    lines = [titles, ["---"] * len(titles)]
    for name, each in results.items():
        shares = [f"{share:.2%}" for share in each.accuracy.values()]
        sizes = [f"{each.bytes / 1e3:.1f}", str(each.nodes), str(each.nodes_run)]
        lines.append([name, *shares, *sizes, *(f"{t:,.0f} µs" for t in each.microseconds.values())])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    digits = load()
    results = {name: measure(path, digits) for name, path in STEPS.items()}
    RESULTS.write_text(json.dumps({name: asdict(each) for name, each in results.items()}, indent=1))
    print(table(results))


if __name__ == "__main__":
    main()
