"""Quantize the optimized model to int8, calibrated on digits that it was trained on.

    python -m examples.digits.quantize

The batch normalizations are folded by now, so weights are quantized as they will be multiplied.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from examples.digits import FOLDER
from examples.digits.data import SEED, load
from examples.digits.export import TORCHSCRIPT
from examples.digits.optimize import optimized
from examples.digits.train import tensor

INT8 = FOLDER / "digits.int8.onnx"
"""With signed activations, as Arm's kernels and XNNPACK's like them."""
UINT8 = FOLDER / "digits.uint8.onnx"
"""With unsigned activations, as x86's kernels like them."""
OPERATORS = ["Add", "Conv", "Gemm", "GlobalAveragePool", "Relu"]
"""All but what scales the pixels, and the softmax: its 256 levels would be all that is left of the
probabilities."""


class Calibration(CalibrationDataReader):
    """Batches of images, float32 [N, 1, 28, 28], to see how large each value becomes."""

    def __init__(self, images: np.ndarray, batch: int = 50) -> None:
        self.batches: Iterator[np.ndarray] = iter(np.split(images, len(images) // batch))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"image": batch}


def quantize(model: Path, images: np.ndarray, path: Path, activations: QuantType) -> None:
    """Write *model* to *path* with weights in int8, a scale for each channel, and *activations*."""
    logging.getLogger().addFilter(_does_not_advise)
    quantize_static(
        model,
        path,
        Calibration(images),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=activations,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=OPERATORS,
    )


def _does_not_advise(record: logging.LogRecord) -> bool:
    # It advises to fold the batch normalizations first, whether or not there are any.
    return "pre-processing before quantization" not in record.getMessage()


def main() -> None:
    images = load().train.images
    some = np.random.default_rng(SEED).choice(len(images), 500, replace=False)
    model = optimized(TORCHSCRIPT)
    print(f"{model}: {model.stat().st_size:,} bytes")
    for path, activations in ((INT8, QuantType.QInt8), (UINT8, QuantType.QUInt8)):
        quantize(model, tensor(images[some]).numpy(), path, activations)
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
