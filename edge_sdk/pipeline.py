"""The way of one sample: left out, or encoded, run, decoded and judged; settled in every case."""

from __future__ import annotations

from collections import Counter
from time import monotonic_ns

from edge_sdk.accounting import Accounting, Outcome
from edge_sdk.bad_samples import BadSamples
from edge_sdk.climber import Climber
from edge_sdk.errors import ContractError, EngineError, SourceError
from edge_sdk.result import Result, Stages
from edge_sdk.runner import Runs
from edge_sdk.sources import Sample
from edge_sdk.watchdog.deadline import Deadline
from edge_sdk.watchdog.durations import Durations

_FUTURE_NS = 1_000_000_000  # a capture time further ahead is on another clock
_MS = 1e-6  # of nanoseconds


class Pipeline:
    """Makes results of samples, one after the other.

    Args:
        climber: holds what runs at the present rung.
        deadline: judges the results.
        accounting: told what became of each sample.
        bad_samples: told of those that are not of the contract's form.
        live: whether the source is.

    Attributes:
        stages: distribution of each stage's time, by its name.
        served: how many results each variant made, by the name of it and its engine.
    """

    def __init__(
        self, climber: Climber, deadline: Deadline, accounting: Accounting, bad_samples: BadSamples, *, live: bool
    ) -> None:
        self._climber, self._deadline, self._live = climber, deadline, live
        self._accounting, self._bad_samples = accounting, bad_samples
        self._last_result = self._last_taken = -1
        self._after_gap = self._failed = False
        self.served: Counter[str] = Counter()
        self.stages = {name: Durations() for name in ("queue", "encode", "engine", "decode")}

    def process(self, sample: Sample) -> Result | None:
        """The sample's result; None where it was skipped, or it or the engine was no good.

        Raises:
            SourceError: if its capture time is on another clock.
            ContractError: if one sample too many in a row is not of the contract's form.
            EngineError: if the engine cannot be had back.
        """
        self._after_gap |= sample.after_gap  # also where that sample is skipped
        if sample.sequence - self._last_taken < self._climber.run_every:
            self._accounting.settle("skipped")
            return None
        runner = self._climber.runner
        outcome: Outcome = "lost"
        try:
            self._follow(sample, runner)
            since_ns = self._old_since_ns(sample)
            value, stages = runner.run(sample, (monotonic_ns() - since_ns) * _MS)
            age_ms = (monotonic_ns() - since_ns) * _MS
            late = self._deadline.judge(age_ms)
            outcome = "late" if late else "on_time"
        except ContractError as exc:
            self._failed = True
            self._bad_samples.seen(exc, sample.sequence)
            return None
        except EngineError as exc:
            failure: EngineError = exc
        finally:
            self._accounting.settle(outcome)
        if outcome == "lost":
            self._failed = True
            runner.failed(failure, sample.sequence)
            return None
        self._bad_samples.good()
        runner.succeeded()
        self.served[runner.name] += 1
        self._time(stages)
        dropped_before = sample.sequence - self._last_result - 1
        self._last_result = sample.sequence
        made_by = runner.variant.id, dropped_before, sample, runner.name
        return Result(value, sample.sequence, sample.captured_ns, age_ms, late, stages, *made_by)

    def _follow(self, sample: Sample, runner: Runs) -> None:
        """Have the runner forget what it saw where this sample does not go on from there."""
        missing = self._failed or sample.sequence != self._last_taken + 1
        self._last_taken = sample.sequence
        if self._after_gap or (missing and runner.stateful):
            runner.reset()
        self._after_gap = self._failed = False

    def _old_since_ns(self, sample: Sample) -> int:
        """What its age counts from: its capture. The recording of a signal, read faster than it was made, is as old as its reading."""
        now_ns = monotonic_ns()
        recorded = not self._live and sample.times_ns is not None
        if sample.captured_ns - now_ns > _FUTURE_NS and not recorded:
            raise SourceError(
                "the source's capture times lie in the future; they must be on the clock of time.monotonic_ns"
            )
        return min(sample.captured_ns, now_ns)  # by another clock followed from here, it may seem to be ahead a little

    def _time(self, stages: Stages) -> None:
        self.stages["queue"].add(stages.queue_ms)
        self.stages["encode"].add(stages.encode_ms)
        self.stages["engine"].add(stages.engine_ms)
        self.stages["decode"].add(stages.decode_ms)
        if stages.remote_ms:
            self.stages.setdefault("remote", Durations()).add(stages.remote_ms)
