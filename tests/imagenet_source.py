"""In a process of its own: the ImageNet nets in both formats of PyTorch, and what PyTorch itself gives.

``python -m tests.imagenet_source NAME FOLDER`` reads FOLDER/inputs.npy (samples, height, width, 3) and writes FOLDER/net.pt2,
FOLDER/net.onnx and FOLDER/logits.npy (samples, 1000).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from examples.train.imagenet import efficientnet_lite0, export, mobilenet_v2


def main(name: str, folder: Path) -> None:
    """Write all three."""
    net = {"efficientnet_lite0": efficientnet_lite0, "mobilenet_v2": mobilenet_v2}[name]()
    inputs = torch.from_numpy(np.load(folder / "inputs.npy").transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        np.save(folder / "logits.npy", np.concatenate([net(image[None]).numpy() for image in inputs]))
    for suffix in ("pt2", "onnx"):
        export(net, folder / f"net.{suffix}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
