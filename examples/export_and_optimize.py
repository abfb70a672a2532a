"""A torch model to an optimized ONNX file, compared with eager torch.

pip install onnxforge[torch]
python examples/export_and_optimize.py [model.onnx]
"""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime
import torch
from torch import nn

import onnxforge


def trained_model() -> nn.Module:
    """Stands for your own: a small convolutional network with the statistics of a trained one."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for width_in, width in [(3, 16), (16, 32), (32, 64)]:
        layers += [nn.Conv2d(width_in, width, 3, 2, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    for _ in range(20):
        model(1 + 2 * torch.randn(8, 3, 64, 64))
    return model.eval()


def main() -> None:
    path = sys.argv[1] if len(sys.argv) > 1 else "model.onnx"
    model = trained_model()

    program = torch.onnx.export(
        model,
        (torch.randn(2, 3, 64, 64),),
        input_names=["images"],
        output_names=["scores"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        dynamo=True,
        optimize=False,  # torch's own optimizer folds BatchNormalization too; let one do it, checked
    )
    optimized = onnxforge.optimize(program)
    optimized.save(path)
    print(optimized.report)

    images = torch.randn(5, 3, 64, 64)  # not the batch it was exported with
    with torch.inference_mode():
        expected = model(images).numpy()
    session = onnxruntime.InferenceSession(path)
    (scores,) = session.run(None, {"images": images.numpy()})
    print(f"largest difference from eager torch: {np.abs(scores - expected).max():.1e}")


if __name__ == "__main__":
    main()
