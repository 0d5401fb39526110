"""Every operator of TensorFlow Lite that has a translation, gathered from the files that hold them."""

from __future__ import annotations

from importlib import import_module

from converters.targets.onnx.call import Translators

_FAMILIES = (
    "activations", "elementwise", "convolution", "pooling", "dense", "padding", "recurrent", "reducing", "resizing", "selecting", "shaping",
)  # fmt: skip


def translators() -> Translators:
    """Translators by the operator's name."""
    found: dict[str, object] = {}
    for family in _FAMILIES:
        found |= import_module(f"converters.targets.onnx.{family}").TRANSLATORS
    return found  # type: ignore[return-value] # the modules are found by name
