"""An engine without a model, for tests and for measuring everything around an engine."""

from __future__ import annotations

import time

import numpy as np

from edge_sdk.engines import Engine, Options
from edge_sdk.errors import ConfigError
from edge_sdk.tensors import Array, TensorSpec


class NullEngine(Engine):
    """Takes an input, waits, gives zeros.

    Args:
        model_path: ignored.
        options: ``input`` and ``output`` (``"1,224,224,3 uint8"``), ``wait_ms`` (default 0).

    Raises:
        ConfigError: if an option is unknown or of another form.
    """

    def __init__(self, model_path: str, options: Options) -> None:
        if unknown := set(options) - {"input", "output", "wait_ms", "threads"}:
            raise ConfigError(f"engine null has no option {', '.join(sorted(unknown))}; it has input, output, wait_ms")
        self.inputs = (_spec("input", options.get("input", "1,4 int8")),)
        self.outputs = (_spec("output", options.get("output", "1,4 int8")),)
        self.input_arrays = tuple(np.zeros(s.shape, s.dtype) for s in self.inputs)
        self._outputs = tuple(np.zeros(s.shape, s.dtype) for s in self.outputs)
        self._wait_s = _wait_ms(options.get("wait_ms", "0")) / 1000
        self.description = "null"

    def run(self) -> tuple[Array, ...]:
        """See the base class."""
        if self._wait_s:
            time.sleep(self._wait_s)
        return self._outputs


def _spec(name: str, text: str) -> TensorSpec:
    try:
        shape, dtype = text.split()
        spec = TensorSpec(name, tuple(int(n) for n in shape.split(",")), np.dtype(dtype).name)
        spec.check()
    except (ValueError, TypeError) as exc:
        raise ConfigError(f"engine null: {name} is such as '1,224,224,3 uint8'; found {text!r}: {exc}") from exc
    return spec


def _wait_ms(text: str) -> float:
    try:
        wait_ms = float(text)
    except ValueError:
        wait_ms = -1
    if not 0 <= wait_ms <= 1e8:
        raise ConfigError(f"engine null: wait_ms is a number of milliseconds from 0 to 1e8; found {text!r}")
    return wait_ms
