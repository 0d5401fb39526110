"""One variant, ready to run: encode, engine, task."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns, perf_counter_ns
from typing import Any

from edge_sdk.bundle import Bundle, Variant
from edge_sdk.contract import Encoder
from edge_sdk.engines import Engine, Options
from edge_sdk.engines.isolation import Isolation, open_engine
from edge_sdk.errors import ConfigError
from edge_sdk.result import Stages
from edge_sdk.sources import Sample
from edge_sdk.tasks import TaskSettings, make_task
from edge_sdk.watchdog.recovery import EngineRecovery

_MS = 1e-6  # of nanoseconds
_WARM_UP_RUNS, _WARM_UP_NS = 5, 300_000_000


class Runner:
    """Turns samples into values by one variant in one engine.

    Args:
        bundle: holds the variant.
        variant: which.
        engine: its name.
        options: the engine's.
        isolation, hang_ms: see ``edge_sdk.loop.Loop``.
        task: overrides of the task's settings.
        recover: makes the engine's recovery.

    Attributes:
        variant: as given.
        engine: open; ``close`` closes it.
        recovery: of the engine.
        fastest_ms: the shortest of the first inferences, without which nothing is known of its speed.

    Raises:
        ConfigError, ContractError: if the settings do not fit the variant.
        EngineError: if the engine cannot be had.
    """

    def __init__(
        self,
        bundle: Bundle,
        variant: Variant,
        *,
        engine: str,
        options: Options,
        isolation: Isolation,
        hang_ms: float,
        task: dict[str, object],
        recover: Callable[[Engine], EngineRecovery],
    ) -> None:
        if len(variant.inputs) != 1:
            raise ConfigError(f"variant {variant.id} has {len(variant.inputs)} inputs; the loop feeds models of one")
        self.variant = variant
        spec = variant.inputs[0]
        settings = override(bundle.task_of(variant), task)
        self._task = make_task(
            settings, input_=spec, outputs=variant.outputs, labels=bundle.labels(), heads=variant.heads
        )
        self._encoder = Encoder(bundle.contract_of(variant), spec)
        self.engine: Engine = open_engine(
            engine, bundle.model_of(variant), options, isolation=isolation, hang_ms=hang_ms
        )
        try:
            self.engine.expect(variant.inputs, variant.outputs)
            self.fastest_ms = self._warm_up()
            self.recovery = recover(self.engine)
        except BaseException:
            self.close()
            raise

    def run(self, sample: Sample, queue_ms: float) -> tuple[Any, Stages]:
        """The value of one sample, and where the time went.

        Raises:
            ContractError: if the sample is not of the contract's form.
            EngineError: if the engine hung, died or failed.
        """
        encode_ns = perf_counter_ns()
        placement = self._encoder.encode(sample.data, self.engine.input_arrays[0], colour=sample.colour)
        engine_ns = perf_counter_ns()
        outputs = self.engine.run()
        decode_ns = perf_counter_ns()
        value = self._task.decode(outputs, placement, sample.captured_ns, self.engine.input_arrays[0])
        done_ns = perf_counter_ns()
        stages = ((engine_ns - encode_ns) * _MS, (decode_ns - engine_ns) * _MS, (done_ns - decode_ns) * _MS)
        return value, Stages(queue_ms, *stages)

    @property
    def stateful(self) -> bool:
        """What came before takes part in a result, by the model's variables or by the features: samples must follow each other."""
        return self.engine.stateful or self._encoder.stateful

    def reset(self) -> None:
        """Forget what was seen so far.

        Raises:
            EngineError: if the engine failed at it.
        """
        self._task.reset()
        self._encoder.reset()
        self.engine.reset()

    def follow(self, before: Runner) -> None:
        """Go on where another runner left off: its task's memory is taken over; the model's variables and the features begin anew.

        Raises:
            EngineError: if the engine failed at it.
        """
        self._task.follow(before._task)
        self._encoder.reset()
        self.engine.reset()

    def close(self) -> None:
        """End the engine."""
        self.engine.close()

    def _warm_up(self) -> float:
        """The shortest of a few inferences on zeros, in milliseconds: the first ones of an engine are slow."""
        until_ns = monotonic_ns() + _WARM_UP_NS
        took_ns: list[int] = []
        while len(took_ns) < _WARM_UP_RUNS and (len(took_ns) < 2 or monotonic_ns() < until_ns):
            began_ns = perf_counter_ns()
            self.engine.run()
            took_ns.append(perf_counter_ns() - began_ns)
        self.engine.reset()
        return min(took_ns) * _MS


def override(settings: TaskSettings, changes: dict[str, object]) -> TaskSettings:
    """Task settings with some keys changed.

    Raises:
        ConfigError: if a key or value is not allowed.
    """
    from pydantic import ValidationError

    from edge_sdk.contract import describe_validation

    if not changes:
        return settings
    try:
        return type(settings).model_validate({**settings.model_dump(), **changes})
    except ValidationError as exc:
        raise ConfigError(describe_validation(exc, "[task]")) from exc
