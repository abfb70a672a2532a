"""Optimize both exports; compare them with eager torch.

python -m examples.digits.optimize
"""

from __future__ import annotations

import json
from pathlib import Path

import onnxforge
from examples.digits.data import load
from examples.digits.export import DYNAMO, TORCHSCRIPT, difference
from examples.digits.train import load_network


def optimized(path: Path) -> Path:
    """Where the optimized form of the export at *path* is."""
    return path.with_suffix(".opt.onnx")


def main() -> None:
    net, images = load_network(), load().test.images[:100]
    for path in (TORCHSCRIPT, DYNAMO):
        model = onnxforge.optimize(path)
        model.save(optimized(path))
        path.with_suffix(".report.json").write_text(json.dumps(model.report.to_dict(), indent=1))
        report = model.report
        for step in report.by_pass():
            if step.changes:
                print(f"{step.name:32}{step.changes:3} changes")
        apart = difference(net, optimized(path), images)
        print(report.comparison)
        print(f"{path}: {report.nodes_before} -> {report.nodes} nodes; off by {apart:.1e}\n")


if __name__ == "__main__":
    main()
