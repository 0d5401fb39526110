"""A model of a scheduler's, as an engine: so that a loop shares its device with others in the same process."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import numpy as np

from edge_sdk.engines import Engine, Options
from edge_sdk.errors import ConfigError
from edge_sdk.tensors import Array

if TYPE_CHECKING:
    from edge_sdk.edgetpu.scheduler import Scheduler

_schedulers: WeakValueDictionary[str, Scheduler] = WeakValueDictionary()
_keys = count()


def registered(scheduler: Scheduler) -> str:
    """The key by which engines of this process find it."""
    key = str(next(_keys))
    _schedulers[key] = scheduler
    return key


class ScheduledEngine(Engine):
    """Asks the scheduler for each run, and waits for it. What is late is run all the same: a loop says so itself.

    Args:
        model_path: ignored, as the scheduler has the model.
        options: ``scheduler``, ``model`` and ``deadline_ms``; see ``Scheduler.for_loop``.

    Raises:
        ConfigError: if there is no such scheduler or model, as in another process.
    """

    def __init__(self, model_path: str, options: Options) -> None:
        if unknown := set(options) - {"scheduler", "model", "deadline_ms"}:
            raise ConfigError(f"engine scheduled has no option {', '.join(sorted(unknown))}; take Scheduler.for_loop")
        scheduler = _schedulers.get(options.get("scheduler", ""))
        if scheduler is None:
            raise ConfigError(
                "engine scheduled is for a scheduler in this process, with isolation=none: take Scheduler.for_loop"
            )
        self._scheduler, self._model = scheduler, options.get("model", "")
        self._deadline_ms = float(options["deadline_ms"]) if "deadline_ms" in options else None
        self.inputs, self.outputs = scheduler.specs(self._model)
        self.input_arrays = tuple(np.zeros(spec.shape, spec.dtype) for spec in self.inputs)
        self.description = f"model {self._model} of a scheduler"

    def run(self) -> tuple[Array, ...]:
        """See the base class."""
        return self._scheduler.run(self._model, self.input_arrays, deadline_ms=self._deadline_ms, late="run")

    def restart(self) -> None:
        """See the base class: the scheduler has the device back by itself; this waits until it runs."""
        self.run()
