"""MobileNetV2 in PyTorch (Sandler et al., arXiv:1801.04381), its parts named as in torchvision, whose weights it takes."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks, stride of the first block: table 2 of the paper."""


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU6())


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        layers: list[nn.Module] = [_convolution(inputs, hidden, 1)] if expansion > 1 else []
        layers += [_convolution(hidden, hidden, 3, stride, groups=hidden), nn.Conv2d(hidden, outputs, 1, bias=False)]
        self.conv = nn.Sequential(*layers, nn.BatchNorm2d(outputs))
        self._shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self._shortcut else self.conv(x)  # type: ignore[no-any-return]


class MobileNetV2(nn.Module):
    """Takes (1, 3, 224, 224), gives (1, classes) logits."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        strided = [
            (e, c, s if first else 1) for e, c, n, s in _STAGES for first in (n * (True,))[:1] + (n - 1) * (False,)
        ]
        widths = [32, *(channels for _, channels, _ in strided)]
        blocks = [
            _Block(inputs, outputs, stride, expansion)
            for (inputs, outputs), (expansion, _, stride) in zip(pairwise(widths), strided, strict=True)
        ]
        self.features = nn.Sequential(_convolution(3, 32, 3, 2), *blocks, _convolution(320, 1280, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, classes)."""
        return self.classifier(self.features(x).mean((2, 3)))  # type: ignore[no-any-return]
