"""One variant, ready to run: encode, engine, task."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns, perf_counter_ns
from typing import Any, Protocol

from edge_sdk.bundle import Bundle, Variant
from edge_sdk.encoder import Encoder
from edge_sdk.engines import DeviceReset, Engine, Options, device_reset
from edge_sdk.engines.isolation import Isolation, open_engine
from edge_sdk.errors import ConfigError, EngineError
from edge_sdk.remote.content import content_for
from edge_sdk.result import Stages
from edge_sdk.result_cache import ResultCache
from edge_sdk.sources import Sample
from edge_sdk.tasks import Task, TaskSettings, make_task
from edge_sdk.watchdog.recovery import EngineRecovery, Recovery

_MS = 1e-6  # of nanoseconds
_WARM_UP_RUNS, _WARM_UP_NS = 5, 300_000_000


class Runs(Protocol):
    """What runs at a rung: a ``Runner``, which see, or one with a stand-by."""

    @property
    def variant(self) -> Variant:
        """What runs at present."""

    @property
    def name(self) -> str:
        """Of that variant and its engine."""

    @property
    def engine(self) -> Engine:
        """Runs it."""

    @property
    def task(self) -> Task:
        """Decodes its outputs."""

    @property
    def fastest_ms(self) -> float:
        """The shortest of its first inferences."""

    @property
    def stateful(self) -> bool:
        """Whether samples must follow each other."""

    @property
    def recoveries(self) -> tuple[Recovery, ...]:
        """The latest ones."""

    @property
    def standby_s(self) -> float:
        """Seconds for which a stand-by served."""

    def run(self, sample: Sample, queue_ms: float) -> tuple[Any, Stages]:
        """The value of one sample."""

    def succeeded(self) -> None:
        """A sample became a result."""

    def failed(self, failure: EngineError, sequence: int) -> None:
        """A sample is lost by a failure of the engine."""

    def reset(self) -> None:
        """Forget what was seen."""

    def follow(self, before: Runs) -> None:
        """Go on where another left off."""

    def close(self) -> None:
        """End the engine."""


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
        start: whether to start the engine; otherwise whoever restarts it calls ``prepare``.
        cache: gives the outputs of inputs that it knows.

    Attributes:
        variant: as given.
        name: of the variant and its engine.
        engine: open; ``close`` closes it.
        recovery: of the engine.
        fastest_ms: the shortest of the first inferences, without which nothing is known of its speed; 0 before them.

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
        recover: Callable[[Engine, DeviceReset | None], EngineRecovery],
        start: bool = True,
        cache: ResultCache | None = None,
    ) -> None:
        if len(variant.inputs) != 1:
            raise ConfigError(f"variant {variant.id} has {len(variant.inputs)} inputs; the loop feeds models of one")
        self.variant, self.name = variant, f"{variant.id} on {engine}"
        self.fastest_ms = 0.0
        self._cache = cache
        spec = variant.inputs[0]
        settings = override(bundle.task_of(variant), task)
        self.task: Task = make_task(
            settings, input_=spec, outputs=variant.outputs, labels=bundle.labels(), heads=variant.heads
        )
        self._encoder = Encoder(bundle.contract_of(variant), spec)
        self.engine: Engine = open_engine(
            engine, content_for(engine, bundle, variant), options, isolation=isolation, hang_ms=hang_ms, start=start
        )
        try:
            if start:
                self.prepare()
            self.recovery = recover(self.engine, device_reset(engine, options))
        except BaseException:
            self.close()
            raise

    def prepare(self) -> None:
        """See that the engine runs this variant, and have its slow first inferences over.

        Raises:
            EngineError: if it does not.
        """
        self.engine.expect(self.variant.inputs, self.variant.outputs)
        self.fastest_ms = self._warm_up()

    def run(self, sample: Sample, queue_ms: float) -> tuple[Any, Stages]:
        """The value of one sample, and where the time went.

        Raises:
            ContractError: if the sample is not of the contract's form.
            EngineError: if the engine hung, died or failed.
        """
        encode_ns = perf_counter_ns()
        placement = self._encoder.encode(sample.data, self.engine.input_arrays[0], colour=sample.colour)
        engine_ns = perf_counter_ns()
        outputs = self.engine.run() if self._cache is None else self._cache.run(self.engine)
        decode_ns = perf_counter_ns()
        value = self.task.decode(outputs, placement, sample.captured_ns, self.engine.input_arrays[0])
        done_ns = perf_counter_ns()
        stages = ((engine_ns - encode_ns) * _MS, (decode_ns - engine_ns) * _MS, (done_ns - decode_ns) * _MS)
        return value, Stages(queue_ms, *stages)

    def succeeded(self) -> None:
        """A sample became a result."""
        self.recovery.succeeded()

    def failed(self, failure: EngineError, sequence: int) -> None:
        """The sample of this number is lost by a failure of the engine: have it back.

        Raises:
            EngineError: if it cannot be had back.
        """
        self.recovery.failed(failure, sequence)

    @property
    def recoveries(self) -> tuple[Recovery, ...]:
        """The latest ones."""
        return tuple(self.recovery.recoveries)

    @property
    def standby_s(self) -> float:
        """Seconds for which a stand-by served in its place: it has none."""
        return 0.0

    @property
    def stateful(self) -> bool:
        """What came before takes part in a result, by the model's variables or by the features: samples must follow each other."""
        return self.engine.stateful or self._encoder.stateful

    def reset(self) -> None:
        """Forget what was seen so far.

        Raises:
            EngineError: if the engine failed at it.
        """
        self.task.reset()
        self._encoder.reset()
        self.engine.reset()

    def follow(self, before: Runs) -> None:
        """Go on where another runner left off: its task's memory is taken over; the model's variables and the features begin anew.

        Raises:
            EngineError: if the engine failed at it.
        """
        self.task.follow(before.task)
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
