"""The workstation: a trained model becomes a proven bundle.

from converters import convert
result = convert("model.tflite", calibrate="photos/", output="model.edge", config="model.toml")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from converters.conversion import ConvertResult, convert

__all__ = ["ConvertResult", "convert"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from importlib import import_module

        return getattr(import_module("converters.conversion"), name)
    raise AttributeError(f"module 'converters' has no attribute {name!r}")
