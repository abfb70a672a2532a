"""Models as torch exports them, for end-to-end tests: well-known shapes, seeded random weights.

`export("resnet18", "torchscript")` gives a file, an input and what eager torch computes from it.
Exports are kept in `build/models/`, in a folder named after all they depend on, so that each is
made once and a run without torch's exporter in its way takes seconds.  torch is imported where it
is used, since most tests do without.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import torch

Exporter = Literal["torchscript", "dynamo", "dynamo-unoptimized"]
"""`dynamo` is torch's default and folds BatchNormalization itself; the other two keep it."""


@dataclass(frozen=True)
class Export:
    """A model on disk with one input `x`, and what eager torch made of it: an oracle apart."""

    path: Path
    x: np.ndarray
    y: np.ndarray


def export(name: str, exporter: Exporter) -> Export:
    """The model that the function *name* below builds, for any batch size."""
    source = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
    torch_version, script_version = map(importlib.metadata.version, ("torch", "onnxscript"))
    folder = Path(__file__).parents[1] / "build" / "models"
    path = folder / f"{source}-torch{torch_version}-{script_version}" / f"{name}.{exporter}.onnx"
    record = path.with_suffix(".npz")
    if not record.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        make(name, exporter, path, record)
    arrays = np.load(record)
    return Export(path, arrays["x"], arrays["y"])


def make(name: str, exporter: Exporter, path: Path, record: Path) -> None:
    """Write the model, then its record; each appears whole, for another worker may be looking."""
    import torch

    torch.manual_seed(20)
    model, x = {"resnet18": resnet18, "mobilenet": mobilenet, "transformer": transformer}[name]()
    settle(model, x)
    with torch.inference_mode():
        y = model(x)
    draft = path.with_suffix(f".{os.getpid()}.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporters announce their own future
        if exporter == "torchscript":
            torch.onnx.export(
                model,
                (x,),
                draft,
                input_names=["x"],
                output_names=["y"],
                dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}},
                opset_version=17,
                dynamo=False,
                do_constant_folding=False,
                training=torch.onnx.TrainingMode.PRESERVE,
            )
        else:
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses torchvision
            program = torch.onnx.export(
                model,
                (x,),
                input_names=["x"],
                output_names=["y"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                dynamo=True,
                optimize=exporter == "dynamo",
                verbose=False,
            )
            assert program is not None
            program.save(draft, external_data=False)
    draft.replace(path)
    draft = draft.with_suffix(".npz")
    np.savez(draft, x=x.numpy(), y=y.numpy())
    draft.replace(record)


def settle(model: torch.nn.Module, x: torch.Tensor) -> None:
    """Give every BatchNorm the scale, bias and statistics of a trained one; end in eval mode."""
    import torch

    norms = [layer for layer in model.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            torch.nn.init.uniform_(norm.weight, 0.6, 1.4)
            torch.nn.init.normal_(norm.bias, 0, 0.2)
            norm.momentum = None  # the plain average over what is seen
        model.train()(x)
        model.eval()
        for norm in norms:
            norm.momentum = 0.1


def resnet18() -> tuple[torch.nn.Module, torch.Tensor]:
    """ResNet-18 as published, 1,000 classes: 20 Conv-BN, 8 residual additions, 11.7 M weights."""
    from torch import nn

    def conv_norm(width_in: int, width: int, size: int, stride: int) -> nn.Sequential:
        conv = nn.Conv2d(width_in, width, size, stride, padding=size // 2, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(width))

    class Block(nn.Module):
        def __init__(self, width_in: int, width: int, stride: int) -> None:
            super().__init__()
            self.first = conv_norm(width_in, width, 3, stride)
            self.second = conv_norm(width, width, 3, 1)
            same = stride == 1 and width_in == width
            self.shortcut = nn.Identity() if same else conv_norm(width_in, width, 1, stride)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.second(nn.functional.relu(self.first(x)))
            return nn.functional.relu(y + self.shortcut(x))

    return nn.Sequential(
        conv_norm(3, 64, 7, 2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, padding=1),
        *[Block(64, 64, 1), Block(64, 64, 1), Block(64, 128, 2), Block(128, 128, 1)],
        *[Block(128, 256, 2), Block(256, 256, 1), Block(256, 512, 2), Block(512, 512, 1)],
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(512, 1000),
    ), random(2, 3, 64, 64)


def mobilenet() -> tuple[torch.nn.Module, torch.Tensor]:
    """Three inverted residuals of MobileNet: depthwise Conv, ReLU6 and Hardswish, a squeeze."""
    from torch import nn

    class Squeeze(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.down, self.up = nn.Conv2d(width, 8, 1), nn.Conv2d(8, width, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            gate = self.up(nn.functional.relu(self.down(x.mean((2, 3), keepdim=True))))
            return x * nn.functional.hardsigmoid(gate)

    class Inverted(nn.Module):
        def __init__(self, width_in: int, width: int, stride: int, act: type[nn.Module]) -> None:
            super().__init__()
            wide = 4 * width_in
            self.residual = stride == 1 and width_in == width
            self.layers = nn.Sequential(
                *[nn.Conv2d(width_in, wide, 1, bias=False), nn.BatchNorm2d(wide), act()],
                nn.Conv2d(wide, wide, 3, stride, padding=1, groups=wide, bias=False),
                *[nn.BatchNorm2d(wide), act(), Squeeze(wide)],
                *[nn.Conv2d(wide, width, 1, bias=False), nn.BatchNorm2d(width)],
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.layers(x) if self.residual else self.layers(x)

    return nn.Sequential(
        *[nn.Conv2d(3, 16, 3, 2, padding=1, bias=False), nn.BatchNorm2d(16), nn.Hardswish()],
        Inverted(16, 16, 1, nn.ReLU6),
        Inverted(16, 24, 2, nn.ReLU6),
        Inverted(24, 24, 1, nn.Hardswish),
        *[nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(24, 10)],
    ), random(2, 3, 32, 32)


def transformer() -> tuple[torch.nn.Module, torch.Tensor]:
    """Two pre-norm encoder blocks, attention written out: float32 [batch, 12, 32] to the same."""
    from torch import nn

    class Block(nn.Module):
        def __init__(self, width: int, heads: int) -> None:
            super().__init__()
            self.heads = heads
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.mlp = nn.Sequential(
                nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            batch, length, width = x.shape
            qkv = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, -1)
            q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind()
            scores = q @ k.transpose(-1, -2) / (width // self.heads) ** 0.5
            mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, width)
            x = x + self.out(mixed)
            return x + self.mlp(self.norm2(x))

    return nn.Sequential(Block(32, 4), Block(32, 4), nn.LayerNorm(32)), random(2, 12, 32)


def random(*shape: int) -> torch.Tensor:
    import torch

    return torch.randn(shape, generator=torch.Generator().manual_seed(7))
