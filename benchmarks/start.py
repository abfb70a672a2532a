"""What starting costs: whole processes, in units of one that imports onnx.

    python benchmarks/start.py --json start.json

Seconds are of the processor; a ratio is the median of pairs, one process after the other.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import graphs
import onnx
import tables


def start(folder: Path, pairs: int) -> tables.Table:
    source = folder / "small.onnx"
    onnx.save(graphs.convolutions(150, width=14), source)
    optimize = ["optimize", str(source), "-o", str(folder / "out.onnx"), "--no-verify"]
    rows = {
        "import onnxforge": ["-c", "import onnxforge"],
        "onnxforge --help": ["-m", "onnxforge", "--help"],
        f"onnxforge optimize, {source.stat().st_size // 1000} kB": ["-m", "onnxforge", *optimize],
    }
    floor = ["-c", "import onnx"]
    table = []
    for name, command in rows.items():
        _process(command)  # which compiles what was not imported before
        ratios = [_process(command) / _process(floor) for _ in range(pairs)]
        table.append({"process": name, "times `import onnx`": round(statistics.median(ratios), 2)})
    return table


def _process(arguments: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = tables.parser(__doc__ or "")
    parser.add_argument("--pairs", type=int, default=7)
    chosen = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed is compiled but once
    with tempfile.TemporaryDirectory() as folder:
        tables.publish({"Start": start(Path(folder), chosen.pairs)}, chosen)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
