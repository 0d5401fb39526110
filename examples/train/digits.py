"""A convolutional net for MNIST digits in PyTorch, as an exported program: ``python -m examples.train.digits MODEL.pt2``."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn

from examples.assets.data import Bytes, digits
from examples.train.samples import test_digits

_EPOCHS, _BATCH = 8, 64


class DigitNet(nn.Module):
    """Takes (batch, 1, 28, 28) in 0..1, gives (batch, 10) logits."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 8, 16, 32)
        blocks = [
            nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(), nn.MaxPool2d(2))
            for i, o in pairwise(widths)
        ]
        self.layers = nn.Sequential(*blocks, nn.Flatten(), nn.Linear(32 * 3 * 3, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return self.layers(x)  # type: ignore[no-any-return]


def train(file: Path) -> float:
    """Train on ``digits``, write the exported program, and return its accuracy on ``test_digits``."""
    torch.manual_seed(0)
    torch.set_num_threads(
        1
    )  # the same sums in the same order on every machine; faster too, where others work beside it
    images, labels = digits()
    x, y = _tensor(images), torch.from_numpy(labels)
    net = DigitNet()
    optimiser = torch.optim.Adam(net.parameters(), 4e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _EPOCHS)
    for _ in range(_EPOCHS):
        for batch in torch.randperm(len(x)).split(_BATCH):
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(x[batch]), y[batch]).backward()
            optimiser.step()
        schedule.step()
    net.eval()
    torch.export.save(torch.export.export(net, (torch.zeros(1, 1, 28, 28),)), file)
    images, labels = test_digits()
    with torch.no_grad():
        return float((net(_tensor(images)).argmax(1).numpy() == labels).mean())


def _tensor(images: Bytes) -> torch.Tensor:
    return torch.from_numpy(images[:, None].astype(np.float32) / 255)


if __name__ == "__main__":
    print(f"test accuracy {train(Path(sys.argv[1])):.4f}")
