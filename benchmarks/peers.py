"""Other optimizers on the same file: nodes left, bytes, seconds, memory, and is it still right?

    pip install onnxsim onnxslim onnxoptimizer
    python benchmarks/peers.py MODEL.onnx ...

Each runs in a process of its own and is timed from reading the file to having written one.  What
its import takes does not count, neither in time nor in memory (which is read the Linux way).  The
error is that of `onnxforge verify` against the original.  Whatever is not installed is left out.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnx


def forge(library: Any, source: str, target: str) -> None:
    library.optimize(source).save(target)


def forge_unverified(library: Any, source: str, target: str) -> None:
    library.optimize(source, verify=False).save(target)


def sim(library: Any, source: str, target: str) -> None:
    onnx.save(library.simplify(onnx.load(source))[0], target)


def slim(library: Any, source: str, target: str) -> None:
    onnx.save(library.slim(source), target)


def optimizer(library: Any, source: str, target: str) -> None:
    passes = library.get_fuse_and_elimination_passes()
    onnx.save(library.optimize(onnx.load(source), passes), target)


def script(library: Any, source: str, target: str) -> None:
    onnx.save(library.optimize(onnx.load(source)), target)


def runtime(library: Any, source: str, target: str) -> None:
    options = library.SessionOptions()
    options.graph_optimization_level = library.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = target
    library.InferenceSession(source, options)


PEERS: dict[str, tuple[str, Callable[[Any, str, str], None]]] = {
    "onnxforge": ("onnxforge", forge),
    "onnxforge, unverified": ("onnxforge", forge_unverified),
    "onnxsim": ("onnxsim", sim),
    "onnxslim": ("onnxslim", slim),
    "onnxoptimizer": ("onnxoptimizer", optimizer),
    "onnxscript": ("onnxscript.optimizer", script),
    "ONNX Runtime, basic": ("onnxruntime", runtime),
}


def measure(name: str, source: str, target: str) -> dict[str, float]:
    """What one optimizer does to one file, in this process."""
    module, run = PEERS[name]
    library = import_module(module)
    before, start = peak(), time.perf_counter()
    run(library, source, target)
    return {"seconds": time.perf_counter() - start, "megabytes": peak() - before}


def peak() -> float:
    # Not getrusage, whose maximum a child inherits from the process that started it.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def row(name: str, source: str, target: Path) -> str:
    command = [sys.executable, __file__, "--measure", name, source, str(target)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        return f"| {name} | failed: {(done.stderr.strip() or 'no message').splitlines()[-1]} |"
    cost = json.loads(done.stdout.splitlines()[-1])
    operators = [node.op_type for node in onnx.load(target, load_external_data=False).graph.node]
    return (
        f"| {name} | {len(operators)} | {operators.count('BatchNormalization')} "
        f"| {target.stat().st_size / 1e6:.2f} | {cost['seconds']:.2f} | {cost['megabytes']:.0f} "
        f"| {error(source, target)} |"
    )


def error(source: str, target: Path) -> str:
    import onnxforge
    from onnxforge.verify import compare_models

    comparison = compare_models(onnxforge.load(source), onnxforge.load(target))
    return comparison.unchecked or f"{comparison.error:.1e}"


def main() -> None:
    if sys.argv[1] == "--measure":
        print(json.dumps(measure(*sys.argv[2:])))
        return
    for source in sys.argv[1:]:
        print(f"\n{Path(source).name}\n")
        print("| | nodes | BatchNormalization | MB | seconds | peak MB | error |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        with tempfile.TemporaryDirectory() as folder:
            for number, (name, (module, _)) in enumerate(PEERS.items()):
                if find_spec(module.partition(".")[0]):
                    print(row(name, source, Path(folder, f"{number}.onnx")), flush=True)


if __name__ == "__main__":
    main()
