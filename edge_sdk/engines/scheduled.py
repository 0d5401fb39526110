"""A model that several callers of this process share, as an engine: so that a loop has its turn among them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Literal, Protocol, TypedDict
from weakref import WeakValueDictionary

import numpy as np

from edge_sdk.engines import Engine, Options
from edge_sdk.engines.isolation import Isolation
from edge_sdk.errors import ConfigError
from edge_sdk.tensors import Array, TensorSpec

Late = Literal["reject", "run"]


class LoopOptions(TypedDict):
    """Arguments of a ``Loop``."""

    engine: str
    isolation: Isolation
    engine_options: Options


class Shared(Protocol):
    """What models are shared through: a scheduler, a batcher."""

    def run(
        self, model: str, inputs: Sequence[Array], *, deadline_ms: float | None = None, late: Late = "reject"
    ) -> tuple[Array, ...]:
        """The outputs of one inference."""

    def specs(self, model: str) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        """Inputs and outputs of a model."""


_shared: WeakValueDictionary[str, Shared] = WeakValueDictionary()
_keys = count()


def registered(shared: Shared) -> str:
    """The key by which engines of this process find it."""
    key = str(next(_keys))
    _shared[key] = shared
    return key


def loop_options(key: str, model: str, deadline_ms: float | None) -> LoopOptions:
    """What a ``Loop`` takes to run a model of what is registered by this key."""
    options = {"scheduler": key, "model": model}
    if deadline_ms is not None:
        options["deadline_ms"] = str(deadline_ms)
    return {"engine": "scheduled", "isolation": "none", "engine_options": options}


class ScheduledEngine(Engine):
    """Asks for each run, and waits for it. What is late is run all the same: a loop says so itself.

    Args:
        model_path: ignored, as what is shared has the model.
        options: ``scheduler``, ``model`` and ``deadline_ms``; see ``loop_options``.

    Raises:
        ConfigError: if there is no such key or model, as in another process.
    """

    def __init__(self, model_path: str, options: Options) -> None:
        if unknown := set(options) - {"scheduler", "model", "deadline_ms"}:
            raise ConfigError(f"engine scheduled has no option {', '.join(sorted(unknown))}; take what for_loop gives")
        shared = _shared.get(options.get("scheduler", ""))
        if shared is None:
            raise ConfigError(
                "engine scheduled is for a scheduler or batcher of this process, with isolation=none: take what its for_loop gives"
            )
        self._shared, self._model = shared, options.get("model", "")
        self._deadline_ms = float(options["deadline_ms"]) if "deadline_ms" in options else None
        self.inputs, self.outputs = shared.specs(self._model)
        self.input_arrays = tuple(np.zeros(spec.shape, spec.dtype) for spec in self.inputs)
        self.description = f"a {type(shared).__name__.lower()}" + (f", model {self._model}" if self._model else "")

    def run(self) -> tuple[Array, ...]:
        """See the base class."""
        return self._shared.run(self._model, self.input_arrays, deadline_ms=self._deadline_ms, late="run")

    def restart(self) -> None:
        """See the base class: what is shared has its device back by itself; this waits until it runs."""
        self.run()
