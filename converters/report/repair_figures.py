"""What repair tried, and what came of it."""

from __future__ import annotations

from pydantic import Field

from converters.report.strict import Decibels, Strict


class RepairStep(Strict):
    """One thing that repair tried.

    Attributes:
        action: such as ``"split head"``.
        target: the tensor, output or layer that it was done to; empty where it was done to the whole model.
        before, after: the value that repair goes by; None where there was nothing to measure.
        before_db, after_db: SQNR of the outputs.
        kept: whether the model stayed so.
        seconds: how long it took, measuring included.
        latency_ratio: time of one inference here, after to before.
        note: what was found, or why it could not be.
    """

    action: str
    target: str = ""
    before: float | None = None
    after: float | None = None
    before_db: Decibels = None
    after_db: Decibels = None
    kept: bool = False
    seconds: float = Field(default=0.0, ge=0)
    latency_ratio: float | None = Field(default=None, ge=0)
    note: str = ""


class Repair(Strict):
    """What repair did.

    Attributes:
        reason: why it ran.
        value: what it went by, such as ``"top-1, %"``; higher is better.
        goal: the value that was wanted, or None for the best there is.
        before, after: the value of the model as first quantized, and as it is now; None if that one does not run.
        reached: whether the goal is met.
        ended: why it ended, in a sentence.
        steps: in the order they were tried.
    """

    value: str
    reason: str = ""
    goal: float | None = None
    before: float | None
    after: float | None
    reached: bool
    ended: str
    steps: tuple[RepairStep, ...] = ()

    def without_times(self) -> Repair:
        """The same without what differs from run to run."""
        update = {"seconds": 0.0, "latency_ratio": None}
        return self.model_copy(update={"steps": tuple(step.model_copy(update=update) for step in self.steps)})
