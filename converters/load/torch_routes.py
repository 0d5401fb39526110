"""Two ways from a PyTorch module to a float .tflite, independent of each other: litert-torch, and ONNX with our own importer."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from edge_sdk.errors import needs

EXTRA = "torch"


@dataclass(frozen=True)
class Translation:
    """A .tflite and how its axes stand.

    Attributes:
        content: the float .tflite.
        route: what made it, with versions.
        nhwc_input: whether its input is the module's with the channels last.
        nhwc_outputs: the same for each output.
    """

    content: bytes
    route: str
    nhwc_input: bool
    nhwc_outputs: tuple[bool, ...]


def torch() -> Any:
    """PyTorch."""
    with needs("torch", for_="reading a PyTorch model", extra=EXTRA):
        return import_module("torch")


def by_litert_torch(module: Any, shape: tuple[int, ...], ranks: Sequence[int], folder: Path) -> Translation:
    """Translate by litert-torch.

    Args:
        module: takes one tensor of ``shape``, gives a tuple of tensors.
        shape: in the module's own axis order.
        ranks: how many axes each output has.
        folder: for files on the way.
    """
    with needs("litert_torch", for_="converting a PyTorch model", extra=EXTRA):
        litert_torch = import_module("litert_torch")
    turned, outputs = len(shape) == 4, tuple(rank == 4 for rank in ranks)
    example = torch().zeros(_nhwc(shape) if turned else shape)
    made = litert_torch.convert(_channels_last(module, turned, outputs), (example,))
    file = folder / "litert_torch.tflite"
    made.export(str(file))
    return Translation(file.read_bytes(), _route("litert-torch", litert_torch.__version__), turned, outputs)


def by_onnx(module: Any, shape: tuple[int, ...], ranks: Sequence[int], folder: Path) -> Translation:
    """Translate by ``torch.onnx.export`` and the ONNX importer; for arguments see ``by_litert_torch``."""
    with needs("onnxscript", for_="converting a PyTorch model by ONNX", extra=EXTRA):
        import_module("onnxscript")
    file = io.BytesIO()
    torch().onnx.export(module, (torch().zeros(shape),), file, dynamo=True, verbose=False)
    made = import_module("converters.load.onnx").import_onnx(file.getvalue())
    return Translation(made.content, _route("ONNX", ""), made.nhwc_input, tuple(made.nhwc_outputs))


def _route(name: str, version: str) -> str:
    return f"{name} {version}".strip() + f" (PyTorch {torch().__version__})"


def _nhwc(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], *shape[2:], shape[1])


def _channels_last(module: Any, turned: bool, outputs: tuple[bool, ...]) -> Any:
    """The module with NHWC ends."""

    def forward(x: Any) -> tuple[Any, ...]:
        found = module(x.permute(0, 3, 1, 2) if turned else x)
        return tuple(value.permute(0, 2, 3, 1) if last else value for value, last in zip(found, outputs, strict=True))

    return wrapped(module, forward)


def wrapped(module: Any, forward: Callable[[Any], Any]) -> Any:
    """A module around another, which is in evaluation mode and stays there: an exported program knows no other."""

    class Wrapped(torch().nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.training = module, False

        def forward(self, x: Any) -> Any:
            return forward(x)

        def train(self, mode: bool = True) -> Any:
            return self

    return Wrapped()
