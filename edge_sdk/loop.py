"""The loop: from a source, through contract, engine and task, to results, each on time or marked late.

with Loop("detector.edge", source="camera:0", deadline_ms=50) as loop:
    for result in loop:
        act_on(result.value, age_ms=result.age_ms, late=result.late)
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic_ns, perf_counter_ns
from types import TracebackType
from typing import Literal

from edge_sdk.accounting import Accounting
from edge_sdk.bundle import Bundle, Variant
from edge_sdk.contract import Encoder
from edge_sdk.engines import Engine, Options
from edge_sdk.engines.isolation import Isolation, open_engine
from edge_sdk.errors import ConfigError, EngineCrashError, EngineError, EngineHangError
from edge_sdk.loop_report import LoopReport, Recovery
from edge_sdk.profiles import our_boards
from edge_sdk.reader import Reader
from edge_sdk.result import Event, Result, Stages
from edge_sdk.sinks import Sink
from edge_sdk.sources import Sample, Source, source_from
from edge_sdk.tasks import TaskSettings, make_task
from edge_sdk.watchdog.deadline import Deadline
from edge_sdk.watchdog.durations import Durations

_FAILURES_IN_A_ROW = 5  # an engine that fails so often without one good result will not do better the next time
_EVENTS_KEPT = 1_000
_MS = 1e-6  # of nanoseconds


class Loop:
    """Runs a bundle over a source. A context manager; iterate over it for results.

    Args:
        bundle: the ``.edge`` file, or an open ``Bundle``.
        source: text such as ``"camera:0"`` or ``"file:clip.mp4"``, a table with its ``kind``, or a ``Source``.
        deadline_ms: the longest time from capture to result that is of use.
        hang_ms: an inference that is not back by then is a hang; default max(10 x deadline, 1000).
        engine: name of the engine that runs the variant.
        isolation: ``"process"`` runs the engine in a child, so that a hang or crash is survived; ``"none"`` runs it inline.
        variant: id of the variant; default the first that ``board`` runs.
        board: name of a board profile; default the bundle's first variant.
        task: overrides of the bundle's task settings, such as ``{"threshold": 0.6}``.
        engine_options: such as ``{"threads": "2"}``.
        sinks: take every result and event, besides you; closed with the loop.
        silence_ms: a source that gives nothing for so long is closed and opened again; default max(hang_ms, 10000).
        reopen_s: for how long a source that went away is tried again.
        on_event: called with every event, also from the source's thread.

    Raises:
        ConfigError: if a setting is wrong or does not fit the bundle.
        BundleError, EngineError, SourceError: on entering, if one of them cannot be had.
    """

    def __init__(
        self,
        bundle: str | Path | Bundle,
        source: str | Mapping[str, object] | Source,
        *,
        deadline_ms: float,
        hang_ms: float | None = None,
        engine: str = "litert",
        isolation: Isolation = "process",
        variant: str | None = None,
        board: str | None = None,
        task: dict[str, object] | None = None,
        engine_options: Options | None = None,
        sinks: Sequence[Sink] = (),
        silence_ms: float | None = None,
        reopen_s: float = 30.0,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        self.deadline = Deadline(deadline_ms)
        self.hang_ms = hang_ms if hang_ms is not None else max(10 * deadline_ms, 1_000.0)
        if not self.hang_ms > 0:
            raise ConfigError(f"hang_ms is a number of milliseconds above 0; found {hang_ms}")
        self._silence_s = (silence_ms if silence_ms is not None else max(self.hang_ms, 10_000.0)) / 1_000
        self._bundle_given, self._source_given = bundle, source
        self._engine_name, self._isolation, self._engine_options = engine, isolation, engine_options
        self._variant_id, self._board, self._task_overrides = variant, board, task or {}
        self._sinks_lock = threading.Lock()  # events also come from the source's thread
        self._sinks, self._reopen_s, self._on_event = sinks, reopen_s, on_event
        self._accounting = Accounting()
        self._stages = {name: Durations() for name in ("queue", "encode", "engine", "decode")}
        self._recoveries: list[Recovery] = []
        self._failures_in_a_row = 0
        self._events: list[Event] = []
        self._last_sequence = -1
        self._exit = contextlib.ExitStack()
        self._started_ns = self._ended_ns = 0

    def __enter__(self) -> Loop:
        with contextlib.ExitStack() as stack:
            for sink in self._sinks:
                stack.callback(sink.close)
            bundle = self._bundle_given
            if not isinstance(bundle, Bundle):
                bundle = stack.enter_context(Bundle(bundle))
            self._prepare(bundle, stack)
            self._reader = Reader(self._make_source, self._accounting, self._tell, reopen_s=self._reopen_s)
            stack.callback(self._reader.close)
            self._exit = stack.pop_all()
        self._started_ns = monotonic_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the source, end the engine, finish the sinks."""
        if not self._ended_ns:
            self._ended_ns = monotonic_ns()
        self._exit.close()

    def __iter__(self) -> Iterator[Result]:
        while True:
            sample = self._reader.take(self._silence_s)
            if sample is None:
                return
            result = self._process(sample)
            if result is not None:
                with self._sinks_lock:
                    for sink in self._sinks:
                        sink.result(result)
                yield result

    def report(self) -> LoopReport:
        """Everything counted so far."""
        return LoopReport(
            variant=self.variant.id,
            engine=self._engine.description,
            deadline_ms=self.deadline.deadline_ms,
            hang_ms=self.hang_ms,
            seconds=((self._ended_ns or monotonic_ns()) - self._started_ns) * 1e-9,
            counts=self._accounting.counts(),
            miss_ratio=self.deadline.miss_ratio,
            age=self.deadline.ages.percentiles(),
            stages={name: durations.percentiles() for name, durations in self._stages.items()},
            recoveries=tuple(self._recoveries),
            sources_left_behind=self._reader.left_behind,
            events=tuple(self._events),
        )

    def _prepare(self, bundle: Bundle, stack: contextlib.ExitStack) -> None:
        kinds: tuple[str, ...] = ()
        if self._board is not None:
            with our_boards():
                import boards
            kinds = boards.load(self._board).variants
        self.variant: Variant = bundle.variant(self._variant_id, kinds=kinds)
        if len(self.variant.inputs) != 1:
            raise ConfigError(
                f"variant {self.variant.id} has {len(self.variant.inputs)} inputs; the loop feeds models of one"
            )
        settings = override(bundle.manifest.task, self._task_overrides)
        spec = self.variant.inputs[0]
        self._task = make_task(settings, input_=spec, outputs=self.variant.outputs, labels=bundle.labels())
        self._encoder = Encoder(bundle.manifest.contract, spec)
        self._engine: Engine = open_engine(
            self._engine_name,
            bundle.read(self.variant.file),
            self._engine_options,
            isolation=self._isolation,
            hang_ms=self.hang_ms,
        )
        stack.callback(self._engine.close)
        self._engine.expect(self.variant.inputs, self.variant.outputs)

    def _make_source(self) -> Source:
        given = self._source_given
        return given if isinstance(given, Source) else source_from(given)

    def _process(self, sample: Sample) -> Result | None:
        """Encode, run, decode; None if the engine failed. The sample is settled in every case."""
        settled = False
        try:
            encode_ns = perf_counter_ns()
            queue_ms = (monotonic_ns() - sample.captured_ns) * _MS
            placement = self._encoder.encode(sample.data, self._engine.input_arrays[0], colour=sample.colour)
            engine_ns = perf_counter_ns()
            try:
                outputs = self._engine.run()
            except EngineError as exc:
                settled = True
                self._accounting.settle("lost")
                self._recover(exc, sample)
                return None
            decode_ns = perf_counter_ns()
            value = self._task.decode(outputs, placement)
            done_ns = perf_counter_ns()
            age_ms = (monotonic_ns() - sample.captured_ns) * _MS
            late = self.deadline.judge(age_ms)
            settled = True
            self._accounting.settle("late" if late else "on_time")
        finally:
            if not settled:
                self._accounting.settle("lost")
        stages = Stages(
            queue_ms, (engine_ns - encode_ns) * _MS, (decode_ns - engine_ns) * _MS, (done_ns - decode_ns) * _MS
        )
        self._time(stages)
        self._failures_in_a_row = 0
        dropped_before = sample.sequence - self._last_sequence - 1
        self._last_sequence = sample.sequence
        return Result(
            value, sample.sequence, sample.captured_ns, age_ms, late, stages, self.variant.id, dropped_before, sample
        )

    def _time(self, stages: Stages) -> None:
        self._stages["queue"].add(stages.queue_ms)
        self._stages["encode"].add(stages.encode_ms)
        self._stages["engine"].add(stages.engine_ms)
        self._stages["decode"].add(stages.decode_ms)

    def _recover(self, failure: EngineError, sample: Sample) -> None:
        """Say what happened and have the engine back, or raise if it fails again and again."""
        kind: Literal["hang", "crash", "engine_error"] = "engine_error"
        if isinstance(failure, EngineHangError):
            kind = "hang"
        elif isinstance(failure, EngineCrashError):
            kind = "crash"
        self._count_failure(kind, failure, sample)
        if kind == "engine_error":
            return
        started_ns = perf_counter_ns()
        self._restart(sample)
        took_ms = (perf_counter_ns() - started_ns) * _MS
        self._recoveries.append(Recovery(kind, sample.sequence, took_ms))
        self._tell(
            Event("recovered", f"the engine is back after {took_ms:.0f} ms", monotonic_ns(), sample.sequence, took_ms)
        )

    def _restart(self, sample: Sample) -> None:
        while True:
            try:
                self._engine.restart()
            except EngineError as exc:
                self._count_failure("restart_failed", exc, sample)
            else:
                return

    def _count_failure(self, kind: str, failure: EngineError, sample: Sample) -> None:
        """Say it, and give up loudly when it happens again and again."""
        self._tell(Event(kind, str(failure), monotonic_ns(), sample.sequence))
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= _FAILURES_IN_A_ROW:
            times = f"{self._failures_in_a_row} times in a row"
            raise EngineError(f"the engine failed {times}; the last time: {failure}") from failure

    def _tell(self, event: Event) -> None:
        with self._sinks_lock:
            if len(self._events) < _EVENTS_KEPT:
                self._events.append(event)
            for sink in self._sinks:
                sink.event(event)
        if self._on_event is not None:
            self._on_event(event)


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
