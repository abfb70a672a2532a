"""DigitNet, a small residual network."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


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
