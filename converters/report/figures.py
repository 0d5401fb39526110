"""Everything that a conversion knows of itself: what the report shows, and what ``report.json`` holds."""

from __future__ import annotations

import base64
import binascii
import math
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from converters.load.loaded import NumericCheck
from edge_sdk.contract import Contract
from edge_sdk.tasks.settings import TaskSettings
from edge_sdk.tensors import TensorSpec

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def _finite_or_none(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _is_png(text: str) -> str:
    try:
        content = base64.b64decode(text, validate=True)
    except binascii.Error as exc:
        raise ValueError(f"a picture is base64 text of a PNG file: {exc}") from exc
    if not content.startswith(_PNG_MAGIC):
        raise ValueError(f"a picture is base64 text of a PNG file; this one starts with {content[:8]!r}")
    return text


Decibels = Annotated[Annotated[float, Field(allow_inf_nan=True)] | None, AfterValidator(_finite_or_none)]
"""Ten times the decimal logarithm of a ratio of powers. NaN and infinity become None: JSON has neither."""

Png = Annotated[str, AfterValidator(_is_png)]
"""A PNG file as base64 text."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SourceFile(_Strict):
    """The model as it was given, and how it became a float .tflite.

    Attributes:
        name: of its file, without the folder.
        format: such as ``"float .tflite"`` or ``"ONNX"``.
        route: what translated it; ``"none"`` for a .tflite.
        check: the translation's numbers against the source framework's.
    """

    name: str
    format: str
    route: str = "none"
    check: NumericCheck | None = None
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size_bytes: int = Field(ge=0)


class Step(_Strict):
    """One step of the conversion and how long it took."""

    name: str
    seconds: float = Field(ge=0)


class BoardRun(_Strict):
    """What a board of ``--board`` runs.

    Attributes:
        name: of the board's profile.
        variant: id of the variant that it runs, or None if the bundle has none for it.
        runs_on: where, such as ``"processor"``.
        note: what a person should know of it.
    """

    name: str
    variant: str | None
    runs_on: str = "processor"
    note: str = ""


class CalibrationFigures(_Strict):
    """What the ranges were taken from.

    Attributes:
        data: one line that describes it, such as ``"carphone_pristine.mp4, frames 0 to 59"``.
        samples, available: how many were used, of how many.
        ranges: how they became ranges, such as ``"true minimum and maximum"``.
        notes: what was noticed in the data, one sentence each.
    """

    data: str
    samples: int = Field(ge=0)
    available: int = Field(ge=0)
    ranges: str
    notes: tuple[str, ...] = ()


class Proof(_Strict):
    """What was found in the finished int8 model, operator by operator.

    Attributes:
        full_integer: integer inputs and outputs, and no floating-point tensor between them.
        operators: how many of each operator it has.
        inputs, outputs: its tensors.
        rewrites: operators that became others, one sentence each, numbered as in the float model.
        float_left: floating-point tensors that are left, each with its operator; empty where ``full_integer``.
        float16_weights_folded: constants that stood as float16 in the source and were folded to float32.
        notes: anything else that was done to the graph, one sentence each.
    """

    full_integer: bool
    operators: dict[str, int]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    rewrites: tuple[str, ...] = ()
    float_left: tuple[str, ...] = ()
    float16_weights_folded: int = Field(default=0, ge=0)
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Proof:
        if self.full_integer and self.float_left:
            raise ValueError(f"full_integer with float tensors left: {', '.join(self.float_left)}")
        return self


class Layer(_Strict):
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


class OutputParity(_Strict):
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


class Interval(_Strict):
    """A confidence interval of 95 %, in the unit of what it belongs to."""

    low: float
    high: float

    @model_validator(mode="after")
    def _rises(self) -> Interval:
        if self.low > self.high:
            raise ValueError(f"an interval rises; found {self.low} to {self.high}")
        return self


class Agreement(_Strict):
    """Agreement in the task's own terms; unit ``"%"`` (0 to 100), ``"px"`` or ``""``; the explanation is a sentence."""

    name: str
    value: float
    unit: str = ""
    explanation: str = ""
    interval: Interval | None = None


class DetectParity(_Strict):
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


class Parity(_Strict):
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


class Metric(_Strict):
    """A metric against ground truth, such as ``"top-1"`` with unit ``"%"`` (0 to 100) or ``"AP50"`` without.

    Attributes:
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
    float_value: float
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


class Gate(_Strict):
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


class Evaluation(_Strict):
    """The task's own metrics on data with the right answers (``--evaluate``)."""

    data: str
    samples: int = Field(ge=0)
    metrics: tuple[Metric, ...]


class Latency(_Strict):
    """The bare model on the machine that converted it; says nothing of a board.

    Attributes:
        engine: what ran it.
        runs: how often.
        float_p50_ms, int8_p50_ms: median time of one inference.
    """

    engine: str
    runs: int = Field(ge=1)
    float_p50_ms: float = Field(ge=0)
    int8_p50_ms: float = Field(ge=0)


class Golden(_Strict):
    """The golden vectors: how many, and where they come from: ``"synthetic, seed 0"`` or the folder of ``--golden``."""

    count: int = Field(ge=0)
    origin: str


class SamplePicture(_Strict):
    """One raw sample, and what the network sees of it after the contract, shown as bytes again."""

    caption: str
    raw: Png
    seen: Png


class Histogram(_Strict):
    """Values of one tensor, float against int8: ``edges`` has one number more than each row of counts."""

    tensor: str
    edges: tuple[float, ...]
    float_counts: tuple[int, ...]
    int8_counts: tuple[int, ...]

    @model_validator(mode="after")
    def _fits(self) -> Histogram:
        lengths = (len(self.edges) - 1, len(self.float_counts), len(self.int8_counts))
        if lengths[0] < 1 or len(set(lengths)) > 1:
            raise ValueError(
                f"histogram of {self.tensor!r}: edges of {lengths[0]} bins, but {lengths[1]} and {lengths[2]} counts"
            )
        return self


class RepairStep(_Strict):
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


class Repair(_Strict):
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


class OtherVariant(_Strict):
    """A further variant in the bundle, in one row.

    Attributes:
        kind, recipe: what it is, and how it was made.
        sqnr_db: of its weakest output.
        agreement: the first figure of agreement with the float model, if the task has one.
        metric: the one that counts, if there were right answers.
        p50_ms: median time of one inference on the machine that converted it.
    """

    kind: str
    recipe: str
    size_bytes: int = Field(ge=0)
    full_integer: bool
    sqnr_db: Decibels
    agreement: tuple[Agreement, ...] = ()
    metric: Metric | None = None
    p50_ms: float = Field(ge=0)


class Figures(_Strict):
    """One conversion.

    Attributes:
        name: of the model, as in the bundle.
        kind, recipe: of the first variant, which all figures but ``variants`` are of.
        variants: the others.
        versions: of the tools that took part, such as ``{"edge-sdk": "0.1.0", "ai-edge-litert": "2.3.0"}``.
        machine: what it ran on, such as ``"x86_64, 2 processors, Python 3.11.2"``.
        float_bytes, int8_bytes: size of the float .tflite and of the int8 variant.
        labels: names of the classes.
        peak_memory_mb: largest resident memory of the process, in 10^6 bytes.
        warnings: what a person should look at, one sentence each.
        histograms: of the worst layers.
        repair: what was done to the model after it was first quantized; None where nothing had to be.
    """

    schema_version: Literal[1] = 1
    name: str
    kind: str = "tflite-int8"
    recipe: str = "int8"
    source: SourceFile
    versions: dict[str, str]
    machine: str = ""
    float_bytes: int = Field(ge=0)
    int8_bytes: int = Field(ge=0)
    steps: tuple[Step, ...] = ()
    peak_memory_mb: float | None = Field(default=None, ge=0)
    contract: Contract
    task: TaskSettings
    labels: tuple[str, ...] = ()
    boards: tuple[BoardRun, ...] = ()
    calibration: CalibrationFigures
    proof: Proof
    parity: Parity
    evaluation: Evaluation | None = None
    gate: Gate | None = None
    latency: Latency | None = None
    golden: Golden
    warnings: tuple[str, ...] = ()
    sample_pictures: tuple[SamplePicture, ...] = ()
    histograms: tuple[Histogram, ...] = ()
    repair: Repair | None = None
    variants: tuple[OtherVariant, ...] = ()

    def for_bundle(self) -> Figures:
        """The same without what differs from run to run (times, memory, the machine) and without pictures.

        A bundle of the same input is the same bytes, and a calibration photo must not travel to every device unasked.
        """
        left_out: dict[str, object] = {
            "steps": (),
            "peak_memory_mb": None,
            "machine": "",
            "latency": None,
            "sample_pictures": (),
            "variants": tuple(v.model_copy(update={"p50_ms": 0.0}) for v in self.variants),
            "repair": None if self.repair is None else self.repair.without_times(),
        }
        return self.model_copy(update=left_out)
