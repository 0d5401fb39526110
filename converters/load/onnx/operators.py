"""Every ONNX operator that has a translation, gathered from the files that hold them."""

from __future__ import annotations

from importlib import import_module

from converters.load.onnx.call import Translators

_FAMILIES = (
    "elementwise", "activations", "convolution", "dense", "normalisation", "padding", "pooling", "recurrent", "reducing", "resizing",
    "selecting", "shaping",
)  # fmt: skip


def translators() -> Translators:
    """Translators by the operator's name."""
    found: dict[str, object] = {}
    for family in _FAMILIES:
        found |= import_module(f"converters.load.onnx.{family}").TRANSLATORS
    return found  # type: ignore[return-value] # the modules are found by name
