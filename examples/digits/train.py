"""Train DigitNet.

    python -m examples.digits.train [--epochs N]        (about two minutes)

Two runs on one machine give the same weights.
"""

from __future__ import annotations

import argparse
import os

import numpy as np
import torch
from torch.nn import functional

from examples.digits import FOLDER
from examples.digits.data import SEED, Digits, Split, load
from examples.digits.glyph import SIDE
from examples.digits.network import DigitNet

EPOCHS = int(os.environ.get("DIGITS_EPOCHS", "8"))
"""Fewer are enough for 98 %, and for the tests of the tutorial."""
BATCH = 64
WEIGHTS = FOLDER / "digits.pt"


def tensor(images: np.ndarray) -> torch.Tensor:
    """uint8 [N, 28, 28] to what the network takes: float32 [N, 1, 28, 28], 0 to 1."""
    return torch.from_numpy(images).float().div(255).unsqueeze(1)


def augment(images: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Each image turned by up to 8 degrees, scaled by up to 10 % and shifted by up to 2 pixels."""
    turn, grow, right, down = (torch.rand(4, len(images), generator=rng) * 2 - 1).unbind()
    angle, scale, reach = turn * 0.14, 1 + grow * 0.1, 2 * 2 / SIDE
    cos, sin = angle.cos() * scale, angle.sin() * scale
    rows = [torch.stack([cos, -sin, right * reach], 1), torch.stack([sin, cos, down * reach], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def train(net: DigitNet, split: Split, epochs: int, rate: float = 6e-3) -> DigitNet:
    """*net* after *epochs* over *split*, one cycle of the learning rate up to *rate*."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # how a sum is split over threads shows in its last bits
    torch.use_deterministic_algorithms(True)
    rng = torch.Generator().manual_seed(SEED)
    x, y = tensor(split.images), torch.from_numpy(split.labels)
    steps = epochs * (len(x) // BATCH)
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=steps)
    net.train()
    for epoch in range(epochs):
        total = 0.0
        for batch in torch.randperm(len(x), generator=rng)[: len(x) // BATCH * BATCH].split(BATCH):
            loss = functional.cross_entropy(net.logits(augment(x[batch], rng)), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}/{epochs}: loss {total / (len(x) // BATCH):.4f}", flush=True)
    return net.eval()


def right(net: DigitNet, split: Split) -> int:
    """How many of *split* the network reads right."""
    with torch.inference_mode():
        answers = net(tensor(split.images)).argmax(1).numpy()
    return int((answers == split.labels).sum())


def describe(net: DigitNet, digits: Digits) -> None:
    """Print how many of the held-out digits *net* reads."""
    for name, split in (digits.held_out | {"all held out": digits.test}).items():
        count = right(net, split)
        print(f"{name}: {count} of {len(split.labels)} right, {count / len(split.labels):.2%}")


def load_network() -> DigitNet:
    """The network that `main` trained, ready to infer."""
    net = DigitNet()
    net.load_state_dict(torch.load(WEIGHTS))
    return net.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description="Train DigitNet.")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    digits = load()
    torch.manual_seed(SEED)
    net = train(DigitNet(), digits.train, parser.parse_args().epochs)
    torch.save(net.state_dict(), WEIGHTS)
    describe(net, digits)


if __name__ == "__main__":
    main()
