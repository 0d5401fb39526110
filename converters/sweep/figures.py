"""What a sweep finds: a row for each point, what it is compared with, and the best of each board."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Setting(_Strict):
    """What is chosen for one point.

    Attributes:
        model: the trained model, as it was given.
        input_shape: of its input with the batch of 1, in the source's own axis order; None for the model's own.
        recipe: name of the recipe, or the path of one.
        ranges: the range method; ``"none"`` where the recipe needs no ranges.
    """

    model: str
    input_shape: tuple[int, ...] | None = None
    recipe: str
    ranges: str


class Accuracy(_Strict):
    """How right a model is, by one measure.

    Attributes:
        name: such as ``"top-1"``.
        unit: ``"%"``, ``"dB"`` or ``""``.
        value: of the quantized model.
        float_value: of the float model, where it has one: agreement with itself says nothing.
        interval: in which the value lies with 95 % confidence, where it is known.
        higher_is_better: whether a larger value is the better one.
    """

    name: str
    unit: str = ""
    value: float
    float_value: float | None = None
    interval: tuple[float, float] | None = None
    higher_is_better: bool = True


class PointFigures(_Strict):
    """What was measured of one point, whatever machine did it.

    Attributes:
        kind: of the variant that it makes, such as ``"tflite-int8"``.
        full_integer: whether it is proven to be.
        accuracy: by the task's own metric, or else against the float model.
        size_bytes, float_bytes: of the two .tflite files.
        shape: of the float model's input, NHWC.
        seconds: that the work on the point took.
        warnings: what a person should look at, one sentence each.
    """

    kind: str
    full_integer: bool
    accuracy: Accuracy
    size_bytes: int = Field(gt=0)
    float_bytes: int = Field(gt=0)
    shape: tuple[int, ...]
    seconds: float = Field(ge=0)
    warnings: tuple[str, ...] = ()


class Row(_Strict):
    """One point.

    Attributes:
        number: in the order of the table, from 1: the best accuracy first, failures last.
        setting: what was chosen.
        figures: what was measured, or None.
        failure: why there are none, or None.
        latency_ms: median of one inference on this machine, one thread.
        front: whether no other point beats it.
        boards: those of the named boards that run its kind.
        command: what makes a bundle of it.
    """

    number: int = Field(ge=1)
    setting: Setting
    figures: PointFigures | None = None
    failure: str | None = None
    latency_ms: float | None = None
    front: bool = False
    boards: tuple[str, ...] = ()
    command: str


class Reference(_Strict):
    """The float model of one (model, shape), for comparison.

    Attributes:
        model, input_shape: as in ``Setting``.
        size_bytes: of its float .tflite.
        latency_ms: as in ``Row``.
    """

    model: str
    input_shape: tuple[int, ...] | None
    size_bytes: int
    latency_ms: float


class Best(_Strict):
    """Numbers of rows that are best on one board, or among all (``board`` None); None if it runs none of them.

    Attributes:
        board: its name.
        runs: the kinds that it runs.
        knee: nearest to the best of all three at once.
        accurate, fast, small: the best in one respect; of equals the one that is better in the others.
    """

    board: str | None
    runs: tuple[str, ...] = ()
    knee: int | None = None
    accurate: int | None = None
    fast: int | None = None
    small: int | None = None


class SweepFigures(_Strict):
    """A sweep, as ``sweep.json`` holds it.

    Attributes:
        rows: in the order of their numbers.
        references: the float models.
        best: among all, then for each board.
        data: what accuracy was measured on.
        labelled: whether that data has the right answers.
        calibration: what the ranges were taken from.
        runs: how often each model ran for its latency.
        done, kept: points that were worked on now, and those that were there already.
        left_out: recipes that no named board runs.
        machine, versions: on and with what.
        warnings: what a person should look at.
    """

    rows: tuple[Row, ...]
    references: tuple[Reference, ...]
    best: tuple[Best, ...]
    data: str
    labelled: bool
    calibration: str
    runs: int
    done: int
    kept: int
    left_out: tuple[str, ...] = ()
    machine: str
    versions: dict[str, str]
    warnings: tuple[str, ...] = ()

    @property
    def several_models(self) -> bool:
        """Whether a point's model must be named to tell it from others."""
        return len({row.setting.model for row in self.rows}) > 1

    def row(self, number: int) -> Row:
        """The row of this number."""
        return self.rows[number - 1]
