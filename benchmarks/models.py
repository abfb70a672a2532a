"""The models that `make bench` compares optimizers on.

    python benchmarks/models.py build/bench/models

Some come out of wheels, some from torch's exporters, which both have to be there; those over 100 MB
are generated, as nothing that is packaged is so large.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import graphs
import onnx
import suite

EXPORTED = [
    (name, exporter)
    for name in ("resnet18", "mobilenet", "transformer")
    for exporter in ("torchscript", "dynamo-unoptimized", "dynamo")
    if (name, exporter, "fp32") not in suite.EXPORTED
]
GENERATED = {
    "cnn_150_nodes": lambda: graphs.convolutions(150, width=14),
    "cnn_600_nodes": lambda: graphs.convolutions(600, width=64),
    "encoder_280_nodes": lambda: graphs.encoder(4, width=96),
    "encoder_113_mb": lambda: graphs.encoder(4, width=768),
    "encoder_340_mb": lambda: graphs.encoder(12, width=768),
}


def main() -> None:
    folder = Path(sys.argv[1])
    suite.originals(folder)
    sys.path.insert(0, str(suite.ROOT / "tests"))
    from models import export

    for name, exporter in EXPORTED:
        shutil.copyfile(export(name, exporter).path, folder / f"{name}.{exporter}.onnx")
    for name, make in GENERATED.items():
        onnx.save(make(), folder / f"{name}.onnx")
    shutil.copyfile(suite.ROOT / "examples" / "digits.onnx", folder / "digits.onnx")


if __name__ == "__main__":
    main()
