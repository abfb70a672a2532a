"""Export DigitNet to ONNX by both of torch's exporters, for any number of images.

    python -m examples.digits.export

`digits.onnx`, by the older one, keeps every BatchNormalization, as a training framework hands it
over; the default one, `digits.dynamo.onnx`, is asked to leave optimizing to others.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from examples.digits import FOLDER
from examples.digits.data import load
from examples.digits.glyph import SIDE
from examples.digits.network import DigitNet
from examples.digits.train import load_network, tensor

TORCHSCRIPT = FOLDER / "digits.onnx"
DYNAMO = FOLDER / "digits.dynamo.onnx"


def torchscript(net: DigitNet, path: Path) -> None:
    """Write *net* to *path* as traced, with its BatchNormalizations and the names of its weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the one exporter that keeps them
        torch.onnx.export(
            net,
            (torch.zeros(1, 1, SIDE, SIDE),),
            path,
            input_names=["image"],
            output_names=["probabilities"],
            dynamic_axes={"image": {0: "batch"}, "probabilities": {0: "batch"}},
            opset_version=17,
            dynamo=False,
            do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE,
        )


def dynamo(net: DigitNet, path: Path) -> None:
    """Write *net* to *path* by way of torch.export."""
    torch.onnx.export(
        net,
        (torch.zeros(2, 1, SIDE, SIDE),),
        path,
        input_names=["image"],
        output_names=["probabilities"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        dynamo=True,
        external_data=False,
        optimize=False,
        verbose=False,
    )


def difference(net: DigitNet, path: Path, images: np.ndarray) -> float:
    """How far the model at *path* is from eager torch on *images*, at most."""
    x = tensor(images)
    with torch.inference_mode():
        expected = net(x).numpy()
    session = onnxruntime.InferenceSession(path)
    (found,) = session.run(None, {"image": x.numpy()})
    return float(np.abs(found - expected).max())


def main() -> None:
    net = load_network()
    images = load().test.images[:100]  # not the batch it is exported with
    for export, path in ((torchscript, TORCHSCRIPT), (dynamo, DYNAMO)):
        export(net, path)
        nodes = len(onnx.load(path, load_external_data=False).graph.node)
        apart = difference(net, path, images)
        print(f"{path}: {nodes} nodes, {path.stat().st_size:,} bytes, off by {apart:.1e}")


if __name__ == "__main__":
    main()
