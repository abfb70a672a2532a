"""Where the time of optimizing goes, by looks at the stack every few milliseconds.

    python benchmarks/where.py MODEL.onnx ... --json where.json

A look counts for the processor's time since the last one, so that a long call into C counts whole.
"""

from __future__ import annotations

import signal
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any, Self

import graphs
import onnx
import peers
import tables

import onnxforge

PARTS = {
    "storage": "files, and weights read and written",
    "interop.py": "files, and weights read and written",
    "shapes": "inference",
    "ir/inference.py": "inference",
    "ir/demands.py": "inference",
    "ir/validity.py": "building the graph",
    "ir/model.py:_views": "building the graph",
    "ir/graph.py:__init__": "building the graph",
    "ir/graph.py:_declare": "building the graph",
    "ir/graph.py:_connect": "building the graph",
    "ir/graph.py:_attach": "building the graph",
    "ir/graph.py:replace": "edits",
    "ir/graph.py:sweep": "edits",
    "builder.py": "edits",
    "ir/model.py:commit": "edits",
    "runtime.py": "computing constants",
    "pattern.py": "patterns",
    "rewrite.py": "patterns",
    "onnxforge_passes": "what else passes do",
    "passes.py": "what else passes do",
}
"""What a function of ours is part of: by module, folder, or module and function.  The innermost
that is named here counts."""
REST = "bookkeeping"
ROOT = Path(onnxforge.__file__).parent


class Watch:
    """Counts seconds by part while it is entered."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._known: dict[Any, str | None] = {}
        self._last = 0.0

    def __enter__(self) -> Self:
        self._last = time.process_time()
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)

    def _look(self, _: int, frame: FrameType | None) -> None:
        now = time.process_time()
        part = None
        while frame is not None and part is None:
            code = frame.f_code
            if code not in self._known:
                self._known[code] = _part(code.co_filename, code.co_name)
            part = self._known[code]
            frame = frame.f_back
        self.seconds[part or REST] += now - self._last
        self._last = now


def _part(file: str, function: str) -> str | None:
    path = Path(file)
    for root in (ROOT, ROOT.parent):
        if path.is_relative_to(root):
            inner = path.relative_to(root)
            names = (f"{inner}:{function}", str(inner), inner.parts[0])
            return next((PARTS[name] for name in names if name in PARTS), None)
    # In a checkout the passes lie apart.
    return PARTS["onnxforge_passes"] if "onnxforge_passes" in path.parts else None


def shares(source: Path, enough: float) -> Counter[str]:
    """Seconds by part, of as many turns as take *enough* seconds."""
    watch = Watch()
    with tempfile.TemporaryDirectory() as folder, watch:
        # Not entered for each turn: the timer is coarse, and would always look at the same places.
        while watch.seconds.total() < enough:
            peers.forge(onnxforge, str(source), str(Path(folder, "model.onnx")))
    return watch.seconds


def main() -> None:
    parser = tables.parser(__doc__ or "")
    parser.add_argument("paths", nargs="+", type=Path, help="models, or folders of them")
    parser.add_argument("--enough", type=float, default=1.0, help="seconds for a model")
    parser.add_argument(
        "--limit-mb", type=float, default=float("inf"), help="leave larger ones out"
    )
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        warm = Path(folder, "warm.onnx")
        onnx.save(graphs.convolutions(30), warm)
        shares(warm, 0.1)
    found = {
        file.stem: shares(file, chosen.enough)
        for file in peers.models(chosen.paths, chosen.limit_mb)
    }
    parts = [*dict.fromkeys(PARTS.values()), REST]
    table: tables.Table = []
    # Of each model its shares count the same, however long it takes.
    for part in parts:
        each = [seconds[part] / seconds.total() for seconds in found.values()]
        table.append({"part": part, "share of the time, mean": f"{sum(each) / len(each):.0%}"})
    tables.publish({"Where the time goes": table}, chosen, found)


if __name__ == "__main__":
    main()
