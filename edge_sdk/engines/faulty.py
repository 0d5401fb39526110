"""An engine that fails on command, for tests and drills: it wraps a real one and reads orders from a file.

    order_fault(Path("/run/edge/fault"), "hang")         # or by hand: echo hang > /run/edge/fault

An order is taken (its file removed) before the inference that it spoils, so it strikes once, also when the engine is restarted by it.
What is left of its count is forgotten when the engine is opened again (``reopen``).

    hang              never come back, in native code: a model whose WHILE loop does not end
    slow MS COUNT     take MS milliseconds longer, COUNT times
    crash             die of a segmentation fault
    stop              stop the process, as by SIGSTOP
    wrong COUNT       give outputs with every bit inverted, COUNT times
    error COUNT       fail with an error, COUNT times
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np

from edge_sdk.engines import Engine, Options, load_engine, warm_engine
from edge_sdk.errors import ConfigError, DeviceError, EngineError
from edge_sdk.outputs import replacing
from edge_sdk.tensors import Array

_ORDERS = {"hang": 0, "slow": 2, "crash": 0, "stop": 0, "wrong": 1, "error": 1}


@dataclass
class _Order:
    kind: str
    milliseconds: float = 0.0
    count: int = 1


def order_fault(orders: Path, order: str) -> None:
    """Give an order, such as ``"slow 80 10"``, to the faulty engine that reads the file ``orders``.

    Raises:
        ConfigError: if there is no such order.
    """
    _parse(order)
    with replacing(orders, overwrite=True) as beside:
        beside.write_text(order)


class FaultyEngine(Engine):
    """Runs the model in a real engine and spoils what it is ordered to.

    Args:
        model_path: the model.
        options: ``orders`` (path of the file that orders come by), ``gone`` (while a file of this path exists, the device is away: nothing
            opens or runs), ``inner`` (the real engine, default litert), and the inner engine's.
    """

    def __init__(self, model_path: str, options: Options) -> None:
        options = dict(options)
        if "orders" not in options:
            raise ConfigError("engine faulty: missing: orders (path of the file that its orders come by)")
        self._orders = options.pop("orders")
        self._gone = options.pop("gone", "")
        self._check_device()
        self._inner = load_engine(options.pop("inner", "litert"), model_path, options)
        self.inputs, self.outputs = self._inner.inputs, self._inner.outputs
        self.input_arrays = self._inner.input_arrays
        self.stateful = self._inner.stateful
        self.description = f"{self._inner.description}, with faults on command"
        self._order = _Order("", count=0)

    @classmethod
    def warm(cls) -> None:
        """See the base class: the real engine is litert mostly, and the hang is always its."""
        warm_engine("litert")

    def run(self) -> tuple[Array, ...]:
        """See the base class."""
        self._check_device()
        self._take_order()
        if self.input_arrays is not self._inner.input_arrays:
            for inner, given in zip(self._inner.input_arrays, self.input_arrays, strict=True):
                inner[...] = given
        if not self._order.count:
            return self._inner.run()
        self._order.count -= 1
        return self._spoil(self._order)

    def reset(self) -> None:
        """See the base class."""
        self._inner.reset()

    def reopen(self) -> None:
        """See the base class."""
        self._check_device()
        self._inner.reset()
        self._order = _Order("", count=0)

    def close(self) -> None:
        """See the base class."""
        self._inner.close()

    def _check_device(self) -> None:
        if self._gone and Path(self._gone).exists():
            raise DeviceError(f"the device is away, as long as {self._gone} exists")

    def _take_order(self) -> None:
        try:
            text = Path(self._orders).read_text()
        except FileNotFoundError:
            return
        Path(self._orders).unlink()
        self._order = _parse(text)

    def _spoil(self, order: _Order) -> tuple[Array, ...]:
        if order.kind == "hang":
            hang_in_native_code()
        elif order.kind == "crash":
            ctypes.string_at(0)
        elif order.kind == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif order.kind == "error":
            raise EngineError("an error was ordered")
        elif order.kind == "slow":
            time.sleep(order.milliseconds / 1000)
        outputs = self._inner.run()
        if order.kind == "wrong":
            return tuple(np.invert(o.view(np.uint8)).view(o.dtype) for o in outputs)
        return outputs


def hang_in_native_code() -> None:
    """Never come back: run a model whose WHILE loop does not end. Nothing but the end of the process stops it."""
    with as_file(files("edge_sdk.engines") / "endless.tflite") as model:
        load_engine("litert", str(model)).run()


def _parse(text: str) -> _Order:
    words = text.split() or [""]
    kind, numbers = words[0], words[1:]
    if kind not in _ORDERS or len(numbers) != _ORDERS[kind]:
        raise ConfigError(
            f"engine faulty: no order {text!r}; there are hang, slow MS COUNT, crash, stop, wrong COUNT, error COUNT"
        )
    try:
        values = [float(number) for number in numbers]
    except ValueError as exc:
        raise ConfigError(f"engine faulty: order {text!r} takes numbers") from exc
    return _Order(kind, values[0] if len(values) > 1 else 0.0, int(values[-1]) if values else 1)
