"""What a target made of the model, and how well it follows the float model and the int8 one."""

from __future__ import annotations

from pydantic import Field

from converters.report.accuracy import Agreement, Evaluation, Gate, OutputParity
from converters.report.repair_figures import Repair
from converters.report.strict import Strict


class TargetFigures(Strict):
    """One variant of a target.

    Attributes:
        target: such as ``"jetson"``.
        variant: its id in the bundle.
        kind: of the variant.
        size_bytes: of its file.
        engine: what ran it here, such as ``"onnxruntime 1.32.0, CPU"``.
        outputs: parity with the float model.
        with_float, with_int8: agreement with the float model and with the int8 .tflite, on the samples that those two were compared on.
        evaluation: against the right answers, or None without them.
        gate: what ``--max-drop`` came to, or None without it.
        repair: what was tried to make it better; None where nothing had to be.
        notes: what was done to it, and what a person should know, one sentence each.
    """

    target: str
    variant: str
    kind: str
    size_bytes: int = Field(ge=0)
    engine: str
    outputs: tuple[OutputParity, ...] = ()
    with_float: tuple[Agreement, ...] = ()
    with_int8: tuple[Agreement, ...] = ()
    evaluation: Evaluation | None = None
    gate: Gate | None = None
    repair: Repair | None = None
    notes: tuple[str, ...] = ()

    @property
    def weakest_db(self) -> float | None:
        """The lowest SQNR of its outputs; None where none has a number."""
        return min((o.sqnr_db for o in self.outputs if o.sqnr_db is not None), default=None)

    def without_times(self) -> TargetFigures:
        """The same without what differs from run to run."""
        return self.model_copy(update={"repair": None if self.repair is None else self.repair.without_times()})
