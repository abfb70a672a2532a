"""Train DigitNet, a small residual network for handwritten digits, and export it as `digits.onnx`.

The export keeps every BatchNormalization, as a training framework hands it over, so there is
something to optimize.  Two runs on one machine give the same file.

    python examples/train_digits.py [digits.onnx]        (about a minute; needs the extra `dev`)
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional

SEED = 20
SIDE = 28
EPOCHS = 24
BATCH = 64


class Residual(nn.Module):
    """Two Conv-BN, the first with a ReLU, added to the input (or to a 1x1 Conv-BN of it)."""

    def __init__(self, width_in: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential()
        if stride != 1 or width_in != width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class DigitNet(nn.Module):
    """float32 images [N, 1, 28, 28] with pixels in 0..1 to the probabilities [N, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, 12, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU()
        )
        self.blocks = nn.Sequential(Residual(12, 24), Residual(24, 24), Residual(24, 48, stride=2))
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(48, 10)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(self.stem((x - 0.3) / 0.37))
        x = functional.adaptive_avg_pool2d(x, 1)
        return self.head(self.dropout(x.view(x.size(0), -1)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits(x).softmax(dim=1)


def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The 1,797 digits that ship with scikit-learn: images and labels to train on, and held out.

    Images are float32 [N, 1, 28, 28], upscaled from 8 x 8 pixels; one fifth is held out.
    """
    images, labels = load_digits(return_X_y=True)
    small = torch.from_numpy(images.reshape(-1, 1, 8, 8).astype(np.float32) / 16)
    large = functional.interpolate(small, size=SIDE, mode="bilinear", align_corners=False).numpy()
    train, held, train_labels, held_labels = train_test_split(
        large, labels, test_size=0.2, random_state=SEED, stratify=labels
    )
    return train, train_labels, held, held_labels


def augment(images: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Each image turned by up to 12 degrees, scaled by up to 12 % and shifted by up to 2 pixels."""
    turn, grow, right, down = (torch.rand(4, len(images), generator=rng) * 2 - 1).unbind()
    angle, scale, reach = turn * 0.21, 1 + grow * 0.12, 2 * 2 / SIDE
    cos, sin = angle.cos() * scale, angle.sin() * scale
    rows = [torch.stack([cos, -sin, right * reach], 1), torch.stack([sin, cos, down * reach], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def train(images: np.ndarray, labels: np.ndarray) -> DigitNet:
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # how a sum is split over threads shows in its last bits
    torch.use_deterministic_algorithms(True)
    rng = torch.Generator().manual_seed(SEED)
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    net = DigitNet()
    steps = EPOCHS * (len(x) // BATCH)
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=6e-3, total_steps=steps)
    for epoch in range(EPOCHS):
        for batch in torch.randperm(len(x), generator=rng).split(BATCH):
            if len(batch) < BATCH:
                continue
            loss = functional.cross_entropy(net.logits(augment(x[batch], rng)), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1:2d}/{EPOCHS}: loss {loss.item():.4f}")
    return net.eval()


def export(net: DigitNet, path: Path) -> None:
    """Write *net* to *path* with its BatchNormalizations, for any number of images."""
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


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("digits.onnx")
    images, labels, held, held_labels = digits()
    net = train(images, labels)
    with torch.inference_mode():
        correct = (net(torch.from_numpy(held)).argmax(1).numpy() == held_labels).sum()
    print(f"held out: {correct} of {len(held)} right, {correct / len(held):.2%}")
    export(net, path)
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
