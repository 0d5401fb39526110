"""What the loop gives: results, and events that are no result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge_sdk.sources import Sample


@dataclass(frozen=True, slots=True)
class Stages:
    """Where a sample's time went, in milliseconds: waiting in the mailbox, each step, and waiting for a server, also in vain."""

    queue_ms: float
    encode_ms: float
    engine_ms: float
    decode_ms: float
    remote_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Result:
    """One sample's value.

    Attributes:
        value: what the task made of the output: see ``edge_sdk.tasks``.
        sequence: the sample's number, counted from 0 over everything captured.
        captured_ns: when it was captured, on the clock of ``time.monotonic_ns``.
        age_ms: from capture to this result.
        late: whether the age exceeds the deadline.
        stages: where the time went.
        variant: id of the variant that made it.
        dropped_before: samples captured since the last result that gave none (dropped, skipped or lost).
        sample: the raw sample.
        by: what made it: the variant, and the engine or ``remote``, such as ``"tflite-int8 on litert"``.
    """

    value: Any
    sequence: int
    captured_ns: int
    age_ms: float
    late: bool
    stages: Stages
    variant: str
    dropped_before: int
    sample: Sample
    by: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a person who looks after the device wants to know.

    Attributes:
        kind: ``hang``, ``crash``, ``engine_error``, ``recovered``, ``restart_failed``, ``source_lost``, ``source_hung``, ``source_back``,
            ``bad_sample``, ``gap``, ``abandoned``, ``climbed``, ``descended``, ``ladder_ended``, ``heat_unknown``, ``deadline_too_short``,
            ``cpu_instead``, ``sink_failed``, ``sink_back``; ``standby_ready``, ``no_standby``, ``standby_on``, ``retried``, ``reopened``,
            ``restarted``, ``device_reset``, ``step_failed``: see ``edge_sdk.standby_runner``;
            ``remote_up``, ``remote_down``, ``remote_slow``, ``remote_bytes``, ``remote_unproven``, ``remote_left_behind``: see
            ``edge_sdk.hybrid``;
            ``tuned``: which choice that was measured here is taken, or why none is: see ``edge_sdk.tune``;
            and ``source_dark``, ``source_stuck``, ``source_changed``, ``source_cleared``: see
            ``edge_sdk.sources.health``.
        message: one sentence.
        at_ns: when, on the clock of ``time.monotonic_ns``.
        sequence: the sample concerned, or None.
        took_ms: how long it lasted, where that makes sense.
    """

    kind: str
    message: str
    at_ns: int
    sequence: int | None = None
    took_ms: float | None = None
