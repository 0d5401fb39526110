"""Everything that a conversion knows of itself: what the report shows, and what ``report.json`` holds."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from converters.load.loaded import NumericCheck
from converters.report.accuracy import Agreement, Evaluation, Gate, Metric, Parity
from converters.report.edgetpu_figures import EdgeTpu
from converters.report.repair_figures import Repair
from converters.report.strict import Decibels, Strict
from converters.report.target_figures import TargetFigures
from edge_sdk.contract import Contract
from edge_sdk.tasks.settings import TaskSettings
from edge_sdk.tensors import TensorSpec

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def _is_png(text: str) -> str:
    try:
        content = base64.b64decode(text, validate=True)
    except binascii.Error as exc:
        raise ValueError(f"a picture is base64 text of a PNG file: {exc}") from exc
    if not content.startswith(_PNG_MAGIC):
        raise ValueError(f"a picture is base64 text of a PNG file; this one starts with {content[:8]!r}")
    return text


Png = Annotated[str, AfterValidator(_is_png)]
"""A PNG file as base64 text."""


class SourceFile(Strict):
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


class Step(Strict):
    """One step of the conversion and how long it took."""

    name: str
    seconds: float = Field(ge=0)


class BoardRun(Strict):
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


class CalibrationFigures(Strict):
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


class Proof(Strict):
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


class Latency(Strict):
    """The bare model on the machine that converted it; says nothing of a board.

    Attributes:
        engine: what ran it.
        runs: how often.
        float_p50_ms, int8_p50_ms: median time of one inference; None where there is no float model.
    """

    engine: str
    runs: int = Field(ge=1)
    float_p50_ms: float | None = Field(ge=0)
    int8_p50_ms: float = Field(ge=0)


class Golden(Strict):
    """The golden vectors: how many, and where they come from: ``"synthetic, seed 0"`` or the folder of ``--golden``."""

    count: int = Field(ge=0)
    origin: str


class SamplePicture(Strict):
    """One raw sample, and what the network sees of it after the contract, shown as bytes again."""

    caption: str
    raw: Png
    seen: Png


class Histogram(Strict):
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


class OtherVariant(Strict):
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


class Figures(Strict):
    """One conversion.

    Attributes:
        name: of the model, as in the bundle.
        kind, recipe: of the first variant, which all figures but ``variants`` are of.
        variants: the others.
        versions: of the tools that took part, such as ``{"edge-sdk": "0.1.0", "ai-edge-litert": "2.3.0"}``.
        machine: what it ran on, such as ``"x86_64, 2 processors, Python 3.11.2"``.
        float_bytes, int8_bytes: size of the float .tflite and of the int8 variant.
        float_bytes, calibration, parity: None where the model came quantized, so that there is no float model to compare with.
        labels: names of the classes.
        peak_memory_mb: largest resident memory of the process, in 10^6 bytes.
        warnings: what a person should look at, one sentence each.
        histograms: of the worst layers.
        repair: what was done to the model after it was first quantized; None where nothing had to be.
        edgetpu: what the Edge TPU makes of it; None where no board of ``--board`` has one.
        targets: the variants for other accelerators.
    """

    schema_version: Literal[1] = 1
    name: str
    kind: str = "tflite-int8"
    recipe: str = "int8"
    source: SourceFile
    versions: dict[str, str]
    machine: str = ""
    float_bytes: int | None = Field(default=None, ge=0)
    int8_bytes: int = Field(ge=0)
    steps: tuple[Step, ...] = ()
    peak_memory_mb: float | None = Field(default=None, ge=0)
    contract: Contract
    task: TaskSettings
    labels: tuple[str, ...] = ()
    boards: tuple[BoardRun, ...] = ()
    calibration: CalibrationFigures | None = None
    proof: Proof
    parity: Parity | None = None
    evaluation: Evaluation | None = None
    gate: Gate | None = None
    latency: Latency | None = None
    golden: Golden
    warnings: tuple[str, ...] = ()
    sample_pictures: tuple[SamplePicture, ...] = ()
    histograms: tuple[Histogram, ...] = ()
    repair: Repair | None = None
    variants: tuple[OtherVariant, ...] = ()
    edgetpu: EdgeTpu | None = None
    targets: tuple[TargetFigures, ...] = ()

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
            "targets": tuple(made.without_times() for made in self.targets),
            "edgetpu": None if self.edgetpu is None else self.edgetpu.model_copy(update={"bundle": ""}),
        }
        return self.model_copy(update=left_out)
