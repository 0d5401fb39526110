"""What quantization cost, in figures: layers, outputs, agreement with float, metrics against the right answers, the gate."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from converters.report.strict import Decibels, Strict


class Layer(Strict):
    """One activation tensor, float against int8.

    Attributes:
        tensor: its name.
        operator: what produces it, such as ``"CONV_2D (operator 3)"``.
        sqnr_db: 10 log10(sum x^2 / sum (x - y)^2), x float and y int8; None where that is no number, because the two
            are the same or the tensor is zero throughout.
        float_min, float_max: its range in the float model over the samples compared.
        scale, zero_point: its quantization.
    """

    tensor: str
    operator: str
    sqnr_db: Decibels
    float_min: float
    float_max: float
    scale: float = Field(ge=0)
    zero_point: int


class OutputParity(Strict):
    """One output, float against int8.

    Attributes:
        name: of the tensor.
        sqnr_db: as in ``Layer``, over all samples compared.
        max_abs_difference: the largest difference, in real numbers.
        max_steps: the same in steps of the int8 output.
    """

    name: str
    sqnr_db: Decibels
    max_abs_difference: float = Field(ge=0)
    max_steps: float = Field(ge=0)


class Interval(Strict):
    """A confidence interval of 95 %, in the unit of what it belongs to."""

    low: float
    high: float

    @model_validator(mode="after")
    def _rises(self) -> Interval:
        if self.low > self.high:
            raise ValueError(f"an interval rises; found {self.low} to {self.high}")
        return self


class Agreement(Strict):
    """Agreement in the task's own terms; unit ``"%"`` (0 to 100), ``"px"`` or ``""``; the explanation is a sentence."""

    name: str
    value: float
    unit: str = ""
    explanation: str = ""
    interval: Interval | None = None


class DetectParity(Strict):
    """Boxes, float against int8.

    Attributes:
        frames: how many were compared.
        frames_float, frames_int8: in how many each found at least one object.
        mean_iou: intersection over union of the matched boxes, mean; None where nothing was matched.
        ious: the same for every matched pair.
    """

    frames: int = Field(ge=0)
    frames_float: int = Field(ge=0)
    frames_int8: int = Field(ge=0)
    mean_iou: float | None = Field(default=None, ge=0, le=1)
    ious: tuple[Annotated[float, Field(ge=0, le=1)], ...] = ()


class Parity(Strict):
    """How the int8 model differs from the float one.

    Attributes:
        data: one line that describes the samples compared.
        held_out: whether they were kept apart from calibration; if not, the figures flatter the model.
        samples: how many the outputs were compared on.
        layer_samples: how many the layers were compared on.
        layers: every activation tensor that both models have, in the order of execution.
        outputs: every output.
        agreement: in the task's terms.
        detect: for detectors.
    """

    data: str
    held_out: bool
    samples: int = Field(ge=0)
    layer_samples: int = Field(ge=0)
    layers: tuple[Layer, ...] = ()
    outputs: tuple[OutputParity, ...] = ()
    agreement: tuple[Agreement, ...] = ()
    detect: DetectParity | None = None


class Metric(Strict):
    """A metric against ground truth, such as ``"top-1"`` with unit ``"%"`` (0 to 100) or ``"AP50"`` without.

    Attributes:
        float_value: None where there is no float model, as then are its interval and the drop.
        float_interval, int8_interval: of the values.
        higher_is_better: whether int8 is worse when its value is lower.
        drop: how much worse int8 is, as a share: points of a metric that is a share itself (0.01 is one point), or the rise relative
            to float's value of one where lower is better. Below 0 int8 is better. None where there is no number.
        drop_interval: of the drop, from the same samples on both sides; None where there are too few.
        samples: how many both were measured on.
        differing: on how many of them one is right and the other wrong, where each is a hit or a miss; 0 also where nothing differed.
        explanation: one sentence.
    """

    name: str
    float_value: float | None
    int8_value: float
    unit: str = ""
    float_interval: Interval | None = None
    int8_interval: Interval | None = None
    higher_is_better: bool = True
    drop: float | None = None
    drop_interval: Interval | None = None
    samples: int | None = Field(default=None, ge=1)
    differing: int | None = Field(default=None, ge=0)
    explanation: str = ""


class Gate(Strict):
    """What ``--max-drop`` came to.

    Attributes:
        metric: what was looked at, such as ``"top-1"``.
        limit: the largest drop allowed, as a share; ``relative`` as in ``drop``.
        drop: what was measured, as a share of the metric's own scale, or relative to float's value where ``relative``.
        low, high: its confidence interval of 95 %; None where there are too few samples for one.
        relative: whether shares are of float's value (metrics where lower is better).
        verdict: ``"passed"``, the whole interval is at or below the limit; ``"failed"``, it is above; ``"open"``, it is neither.
        samples: how many it was measured on.
        samples_needed: of an open gate, how many would decide it 8 times in 10 if the drop stays as measured; None where no number would.
        basis: ``"labels"``, the right answers; ``"agreement"``, the float model's answers, from which int8 may differ without being worse.
    """

    metric: str
    limit: float = Field(ge=0)
    drop: float
    low: float | None
    high: float | None
    relative: bool = False
    verdict: Literal["passed", "failed", "open"]
    samples: int = Field(ge=1)
    samples_needed: int | None = None
    basis: Literal["labels", "agreement"] = "labels"


class Evaluation(Strict):
    """The task's own metrics on data with the right answers (``--evaluate``)."""

    data: str
    samples: int = Field(ge=0)
    metrics: tuple[Metric, ...]
