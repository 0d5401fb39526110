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
from time import monotonic_ns
from types import TracebackType
from typing import TYPE_CHECKING

from edge_sdk.accounting import Accounting
from edge_sdk.audience import Audience
from edge_sdk.bad_samples import BadSamples
from edge_sdk.bundle import Bundle, Variant
from edge_sdk.choice import choose_variant
from edge_sdk.climber import Climber
from edge_sdk.engines import DeviceReset, Engine, Options
from edge_sdk.engines.isolation import Isolation
from edge_sdk.errors import ConfigError
from edge_sdk.hybrid.settings import RemoteSettings, remote_settings_from
from edge_sdk.loop_report import LoopReport
from edge_sdk.pipeline import Pipeline
from edge_sdk.profiles import load_board
from edge_sdk.reader import Reader
from edge_sdk.result import Event, Result
from edge_sdk.result_cache import CacheSettings, cache_from, summed
from edge_sdk.rungs import Rungs, give_back_memory
from edge_sdk.runner import Runs
from edge_sdk.sinks import Sink
from edge_sdk.sources import Source, source_from
from edge_sdk.standby import Standby
from edge_sdk.tune.in_loop import Tuned, Tuning
from edge_sdk.watchdog.deadline import Deadline, check_ms
from edge_sdk.watchdog.ladder import GovernorSettings, Rung, settings_from
from edge_sdk.watchdog.pulse import BUDGET_S, alone, join
from edge_sdk.watchdog.recovery import EngineRecovery
from edge_sdk.windows import OnGap, Windows

if TYPE_CHECKING:
    from edge_sdk.hybrid.open import Help

_OPEN_S = 75.0  # an engine that starts for the first time, or a source that opens, may take so long
_MS = 1e-6  # of nanoseconds


class Loop:
    """Runs a bundle over a source. A context manager; iterate over it for results.

    Args:
        bundle: the ``.edge`` file, or an open ``Bundle``.
        source: text such as ``"camera:0"`` or ``"file:clip.mp4"``, a table with its ``kind``, or a ``Source``.
        deadline_ms: the longest time from capture to result that is of use.
        hang_ms: an inference that is not back by then is a hang; default max(10 x deadline, 1000).
        engine: name of the engine that runs the variant; default the one for the variant's kind.
        isolation: ``"process"`` runs the engine in a child, so that a hang or crash is survived; ``"none"`` runs it inline.
        variant: id of the variant; default the first that ``board`` runs, but one of the processor where no Edge TPU is seen.
        board: name of a board profile; default the bundle's first variant.
        task: overrides of the bundle's task settings, such as ``{"threshold": 0.6}``.
        engine_options: such as ``{"threads": "2"}``.
        sinks: take every result and event, besides you; closed with the loop.
        sinks_may_fail: a sink that cannot write, as on a full disk, is told and tried again with every result; otherwise it ends the loop.
        silence_ms: a source that gives nothing for so long is closed and opened again; default max(hang_ms, 10000).
        reopen_s: for how long a source that went away, or an engine that cannot be started again, is tried.
        governor: under overload or heat the loop climbs a ladder: ``True`` for the default one, or the settings, as a ``[governor]``
            table has them.
        tuned: where neither variant nor engine is named, ``"stored"`` takes what was measured here and kept, see ``edge_sdk.tune``;
            ``"background"`` also measures where nothing is kept, beside the loop, for its next start; ``"off"`` does neither.
        standby: what serves while an accelerator is had back: by default the bundle's tflite-int8 variant, if an accelerator runs; the id
            of a variant; or False for nothing.
        remote: a server that helps, or runs everything: its settings, or a table of them, as ``[remote]`` has them.
        cache: outputs of inputs that were computed already are given again: the settings, as a ``[cache]`` table has them; True for the
            default ones.
        hop: readings from one window of a signal to the next, where the contract's is not wanted.
        on_event: called with every event, also from the source's thread.

    Under ``edge-sdk run`` it joins the supervisor by itself, and goes on with the counters and the rung that it had before a restart.

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
        engine: str | None = None,
        isolation: Isolation = "process",
        variant: str | None = None,
        board: str | None = None,
        task: dict[str, object] | None = None,
        engine_options: Options | None = None,
        sinks: Sequence[Sink] = (),
        sinks_may_fail: bool = False,
        silence_ms: float | None = None,
        reopen_s: float = 30.0,
        governor: bool | Mapping[str, object] | GovernorSettings = False,
        standby: bool | str | Standby = True,
        remote: RemoteSettings | Mapping[str, object] | None = None,
        cache: bool | Mapping[str, object] | CacheSettings = False,
        tuned: Tuned = "stored",
        hop: int | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        self.deadline = Deadline(deadline_ms)
        self.hang_ms = hang_ms if hang_ms is not None else max(10 * deadline_ms, 1_000.0)
        if check_ms("hang_ms", self.hang_ms) < deadline_ms:
            raise ConfigError(
                f"hang_ms is at least deadline_ms, as an engine that may still be on time does not hang; found {self.hang_ms:g} and "
                f"{deadline_ms:g}. Both are in milliseconds"
            )
        silence_ms = silence_ms if silence_ms is not None else max(self.hang_ms, 10_000.0)
        self._silence_s = check_ms("silence_ms", silence_ms) / 1_000
        self._bundle_given, self._source_given = bundle, source
        self._engine_name, self._isolation, self._engine_options = engine, isolation, engine_options
        self._variant_id, self._board, self._task_overrides = variant, board, task or {}
        self._working = threading.RLock()  # held while a sample is in work, so that closing waits for its end
        self._stop = threading.Event()
        self._governor, self._hop = settings_from(governor), hop
        self._remote = remote_settings_from(remote)
        self._help: Help | None = None
        self._standby = standby if isinstance(standby, Standby) else Standby(standby)
        self._cache = cache_from(cache)
        self._sinks, self._reopen_s = sinks, reopen_s
        self._audience = Audience(sinks, on_event, sinks_may_fail=sinks_may_fail)
        self._bad_samples = BadSamples(self._audience.tell)
        self._tuning = Tuning(tuned, self._audience.say, board=board, named=variant is not None or engine is not None)
        self._pulse = alone()
        self._exit = contextlib.ExitStack()
        self._started_ns = self._ended_ns = 0

    def __enter__(self) -> Loop:
        if self._started_ns:
            raise ConfigError("a Loop runs once; make a new one")
        with contextlib.ExitStack() as stack:
            stack.callback(lambda: self._pulse.end())  # noqa: PLW0108 - the pulse of that moment: after the sinks, which may take long
            for sink in self._sinks:
                stack.callback(sink.close)
            bundle = self._bundle_given
            if not isinstance(bundle, Bundle):
                bundle = stack.enter_context(Bundle(bundle))
            self._join()
            configured = self._prepare(bundle, stack)
            give_back_memory()
            self._pulse.allow(_OPEN_S)
            self._reader = Reader(
                self._make_source,
                self._accounting,
                self._audience.tell,
                self._bad_samples,
                reopen_s=self._reopen_s,
                alive=lambda: self._pulse.allow(0),
                make_windows=self._make_windows,
            )
            stack.callback(self._reader.close)
            self._pipeline = Pipeline(
                self._climber, self.deadline, self._accounting, self._bad_samples, live=self._reader.live
            )
            self._pulse.beat()
            self._started_ns = monotonic_ns()
            stack.callback(self._tuning.close)
            self._tuning.begin(bundle, configured, self._engine_options or {})
            self._exit = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the source, end the engine, finish the sinks.

        Called from another thread it waits for the sample in work, and the iteration ends.
        """
        self._stop.set()
        with self._working:
            if self._started_ns:
                self._pulse.allow(_OPEN_S)  # for the sinks
            self._ended_ns = self._ended_ns or monotonic_ns()
            self._exit.close()

    def __iter__(self) -> Iterator[Result]:
        self._check_entered()
        while (sample := self._reader.take(self._silence_s)) is not None:
            taken_ns = monotonic_ns()
            with self._working:
                if self._stop.is_set():
                    self._accounting.settle("dropped")
                    return
                result = self._pipeline.process(sample)
                made_ns = monotonic_ns()
                if result is not None:
                    self._audience.deliver(result)
                self._pulse.beat()
            if result is not None:
                yield result
                self._took(result, made_ns, (monotonic_ns() - taken_ns) * _MS)
        self._bad_samples.end()

    @property
    def runner(self) -> Runs:
        """What runs at the present rung."""
        return self._climber.runner

    def report(self) -> LoopReport:
        """Everything counted so far."""
        self._check_entered()
        return LoopReport(
            variant=self.runner.variant.id,
            engine=self.runner.engine.description,
            deadline_ms=self.deadline.deadline_ms,
            hang_ms=self.hang_ms,
            seconds=((self._ended_ns or monotonic_ns()) - self._started_ns) * 1e-9,
            counts=self._accounting.counts(),
            miss_ratio=self.deadline.miss_ratio,
            age=self.deadline.ages.percentiles(),
            stages={name: durations.percentiles() for name, durations in self._pipeline.stages.items()},
            recoveries=self._climber.recoveries(),
            served=dict(self._pipeline.served),
            standby_s=self._climber.standby_s,
            sources_left_behind=self._reader.left_behind,
            source=self._reader.health.snapshot(monotonic_ns()),
            source_description=self._reader.description,
            rung=self._climber.rung,
            rungs=tuple(map(str, self._climber.ladder)),
            heat=self._climber.heat,
            event_counts=dict(self._audience.event_counts),
            events=tuple(self._audience.events),
            remote=self._help.side.figures() if self._help else None,
            cache=summed(self._caches) if self._cache is not None else None,
        )

    def _took(self, result: Result, made_ns: int, busy_ms: float) -> None:
        with self._working:
            if not self._stop.is_set():  # what a step needs may be closed by now
                self._climber.took(result, made_ns, busy_ms, self._accounting.dropped)
                self._tuning.took(result)

    def _check_entered(self) -> None:
        if not self._started_ns:
            raise ConfigError("the loop is not running yet; enter it first: with Loop(...) as loop")

    def _prepare(self, bundle: Bundle, stack: contextlib.ExitStack) -> Variant:
        """Open what runs; the variant at the foot of the ladder, for which another may stand by yet."""
        board = load_board(self._board) if self._board is not None else None
        kinds = board.variants if board else ()
        tuned = self._tuning.taken(bundle, kinds)
        variant = bundle.variant(tuned.variant) if tuned else self._choose(bundle, kinds)
        rungs = Rungs(
            bundle,
            variant,
            engine=tuned.engine if tuned else self._engine_name,
            options={**(tuned.options if tuned else {}), **(self._engine_options or {})},
            isolation=self._isolation,
            hang_ms=self.hang_ms,
            task=self._task_overrides,
            standby=self._standby,
            deadline_ms=self.deadline.deadline_ms,
            recover=self._recovery_of,
            tell=self._audience.tell,
            help=self._help_for(bundle, variant, stack),
            cache=self._cache,
            stated=board.engine_options if board else {},
        )
        self._caches = rungs.caches

        def make_runner(rung: Rung) -> Runs:
            self._pulse.allow(_OPEN_S)
            runner = rungs.open(rung)
            stack.callback(runner.close)
            return runner

        self._window = rungs.window
        self._climber = Climber(
            make_runner,
            self._governor,
            thermal=board.thermal if board else None,
            deadline_ms=self.deadline.deadline_ms,
            lossless=self._window is not None,
            pulse=self._pulse,
            tell=self._audience.tell,
            price=rungs.price,
        )
        stack.callback(self._climber.close)
        self._say_if_hopeless(self.runner)
        return variant

    def _help_for(self, bundle: Bundle, variant: Variant, stack: contextlib.ExitStack) -> Help | None:
        if self._remote is not None:
            from edge_sdk.hybrid.open import Help  # brings http and ssl, which only a loop with a server needs

            self._help = Help(
                bundle,
                variant,
                self._remote,
                task=self._task_overrides,
                deadline_ms=self.deadline.deadline_ms,
                hang_ms=self.hang_ms,
                live=lambda: self._reader.live,
                tell=self._audience.tell,
            )
            stack.callback(self._help.side.close)
        return self._help

    def _choose(self, bundle: Bundle, kinds: tuple[str, ...]) -> Variant:
        choice = choose_variant(bundle, self._variant_id, kinds=kinds, engine=self._engine_name)
        if choice.instead:
            self._audience.say("cpu_instead", choice.instead)
        return choice.variant

    def _recovery_of(self, engine: Engine, reset: DeviceReset | None) -> EngineRecovery:
        def alive() -> None:
            self._pulse.allow(_OPEN_S)

        return EngineRecovery(
            engine, self._audience.tell, patience_s=self._reopen_s, stop=self._stop, alive=alive, reset=reset
        )

    def _say_if_hopeless(self, runner: Runs) -> None:
        if runner.fastest_ms > self.deadline.deadline_ms:
            self._audience.say(
                "deadline_too_short",
                f"the deadline of {self.deadline.deadline_ms:g} ms is shorter than the engine alone ever took here: "
                f"{runner.fastest_ms:.1f} ms with variant {runner.variant.id}. Every result will be late: raise deadline_ms, "
                "or use a smaller or faster variant",
            )

    def _join(self) -> None:
        self._pulse = join(budget_s=max(BUDGET_S, 2 * self.hang_ms / 1_000))
        if self._pulse.budget_s * 1_000 <= self.hang_ms:
            raise ConfigError(
                f"the supervisor takes the application for frozen after {self._pulse.budget_s:g} s, before the engine's hang budget of "
                f"{self.hang_ms:g} ms is over: raise the supervisor's time, or lower hang_ms"
            )
        self._accounting = Accounting(self._pulse)

    @property
    def _make_windows(self) -> Callable[[OnGap], Windows] | None:
        window, hop = self._window, self._hop
        if window is None:
            if hop is not None:
                raise ConfigError("hop is for a signal's windows; this bundle's contract has none")
            return None
        if self.runner.stateful and hop not in (None, window.length):
            raise ConfigError(
                f"hop = {hop}: the model goes on from one window to the next, so that they follow each other; leave hop out"
            )
        return lambda on_gap: Windows(window, on_gap, hop=hop)

    def _make_source(self) -> Source:
        given = self._source_given
        return given if isinstance(given, Source) else source_from(given)
