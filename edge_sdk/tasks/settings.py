"""The ``[task]`` settings: a kind and its parameters, stored in the bundle and overridden by app.toml."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @property
    def schema_version(self) -> Literal[1, 3]:
        """The lowest version of a bundle's manifest whose readers know these settings."""
        return 1


class _SinceVersion3(_Settings):
    @property
    def schema_version(self) -> Literal[1, 3]:
        """See the base class."""
        return 3


class RawSettings(_Settings):
    """The output tensors as they are, dequantized."""

    kind: Literal["raw"] = "raw"


class ClassifySettings(_Settings):
    """The best classes of one score a class.

    Attributes:
        top_k: how many.
        threshold: the lowest score reported.
        activation: what turns the model's output into a score; ``"none"`` where the model ends in one itself.
    """

    kind: Literal["classify"]
    top_k: int = Field(default=5, ge=1)
    threshold: float = 0.0
    activation: Literal["none", "softmax", "sigmoid"] = "none"


class AnchorSettings(_Settings):
    """Parameters from which SSD anchors are generated, named as in MediaPipe's SsdAnchorsCalculatorOptions.

    Attributes:
        strides: one a feature layer, in pixels of the input tensor.
        min_scale, max_scale: sizes of the first and last layer's anchors, relative to the input (unused with ``fixed_size``).
        aspect_ratios: one anchor each in every cell of a layer.
        interpolated_scale_aspect_ratio: of one more anchor a layer, between its scale and the next's; 0 for none.
        reduce_boxes_in_lowest_layer: the first layer has three fixed anchors instead.
        offset: where in its cell an anchor's centre lies, x and y.
        fixed_size: every anchor has width and height 1 (the model gives sizes relative to the input).
    """

    strides: tuple[int, ...] = Field(min_length=1, max_length=64)
    min_scale: float = 0.2
    max_scale: float = 0.95
    aspect_ratios: tuple[float, ...] = Field(default=(1.0,), max_length=16)
    interpolated_scale_aspect_ratio: float = 1.0
    reduce_boxes_in_lowest_layer: bool = False
    offset: tuple[float, float] = (0.5, 0.5)
    fixed_size: bool = False


class TrackSettings(_Settings):
    """Ids for detections, over the frames.

    Attributes:
        iou_threshold: a detection goes on with a track whose predicted box it overlaps at least so much, of the same class.
        max_missed_ms: a track that was not seen for so long has ended; its id does not come back.
        min_hits: a track has an id once it was detected in so many results that follow each other.
    """

    iou_threshold: float = Field(default=0.3, gt=0, le=1)
    max_missed_ms: float = Field(default=1_000.0, gt=0, le=3_600_000)
    min_hits: int = Field(default=2, ge=1, le=100)


class DetectSettings(_Settings):
    """Boxes and their scores: of an SSD, relative to anchors; or, as YOLO models end, of the input itself.

    Attributes:
        boxes, scores: names of the model's output tensors, (1, count, 4 + 2 * keypoints) and (1, count, classes). Without
            ``scores`` they stand behind each box in one output, (1, count, 4 + 2 * keypoints + classes), or with the last two axes
            swapped: the longer one counts the boxes.
        anchors: how to generate the anchors; ``"none"`` where boxes are relative to the input, 0..1, or with its size as
            ``box_scale`` in its pixels.
        box_order: of the raw numbers: ``xywh`` (centre and size), or ``yxhw``, where y comes first in the keypoints too (MediaPipe's
            order without ``reverse_output_order``).
        box_scale: what the raw numbers (x, y, width, height) are divided by.
        exponential: whether raw sizes are logarithms, as in the SSD paper (arXiv:1512.02325).
        activation: what turns raw scores into scores.
        background: index of the class that means nothing is there, or None.
        keypoints: points after the box, two numbers each.
        threshold: the lowest score reported.
        iou_threshold: of two boxes of one class that overlap more than this, the lower one is dropped.
        max_boxes: at most so many are reported.
        track: whether and how each gets an id that it keeps over the frames: ``{}`` for the defaults, ``"none"`` for no ids.
    """

    kind: Literal["detect"]
    boxes: str
    scores: str | None = None
    anchors: AnchorSettings | Literal["none"]
    box_order: Literal["xywh", "yxhw"] = "xywh"
    box_scale: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    exponential: bool = False
    activation: Literal["none", "sigmoid", "softmax"] = "sigmoid"
    background: int | None = None
    keypoints: int = Field(default=0, ge=0, le=1_000)
    threshold: float = Field(default=0.5, gt=0, lt=1)
    iou_threshold: float = Field(default=0.3, gt=0, le=1)
    max_boxes: int = Field(default=100, ge=1)
    track: TrackSettings | None = None

    @field_validator("track", mode="before")
    @classmethod
    def _none(cls, track: object) -> object:
        """TOML has no null to take the bundle's tracking away with."""
        return None if track == "none" else track

    @property
    def schema_version(self) -> Literal[1, 3]:
        """See the base class."""
        return 1 if self.track is None else 3

    @model_serializer(mode="wrap")
    def _without_track(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Older readers take no key that they do not know."""
        content: dict[str, Any] = handler(self)
        if self.track is None:
            content.pop("track", None)
        return content


class KeywordSettings(_SinceVersion3):
    """A word that was said, of scores that come several times a second.

    Attributes:
        output: name of the scores, (1, ..., classes), or of a single score; None where the model has one output.
        activation: what turns the model's output into a score.
        background: classes that stand for anything else, by label or by index; they are never reported.
        threshold: the lowest smoothed score reported.
        smoothing_ms: a score is the mean of all results captured within so long; whatever was dropped or skipped between them.
        smoothing_results: or the mean of so many results, as microWakeWord models are made for (their ``sliding_window_size``, and
            their ``probability_cutoff`` for the threshold). What is not there yet counts as 0.
        least_results: so many results must lie within ``smoothing_ms`` before a word is reported.
        refractory_ms: nothing is reported for so long after a report.
    """

    kind: Literal["keyword"]
    output: str | None = None
    activation: Literal["none", "softmax", "sigmoid"] = "none"
    background: tuple[int | str, ...] = Field(default=(), max_length=1_000)
    threshold: float = Field(default=0.5, gt=0, le=1)
    smoothing_ms: float | None = Field(default=None, gt=0, le=60_000)
    smoothing_results: int | None = Field(default=None, ge=1, le=1_000)
    least_results: int = Field(default=1, ge=1, le=1_000)
    refractory_ms: float = Field(default=1_000.0, ge=0, le=3_600_000)

    @model_validator(mode="after")
    def _one_smoothing(self) -> KeywordSettings:
        if self.smoothing_ms is not None and self.smoothing_results is not None:
            raise ValueError("give smoothing_ms or smoothing_results, not both")
        if self.least_results > 1 and self.smoothing_ms is None:
            raise ValueError(
                "least_results goes with smoothing_ms; smoothing_results waits for all of its results anyway"
            )
        return self


class ThresholdRule(_Settings):
    """A threshold that ``edge-sdk convert`` takes from the scores of normal samples: give one of the two.

    Attributes:
        percentile: of the scores, so that 100 - percentile in a hundred normal samples lie above it.
        sigmas: their mean and so many standard deviations.
    """

    percentile: float | None = Field(default=None, gt=0, le=100)
    sigmas: float | None = Field(default=None, ge=0, le=100)

    @model_validator(mode="after")
    def _one(self) -> ThresholdRule:
        if (self.percentile is None) == (self.sigmas is None):
            raise ValueError("give percentile or sigmas, such as { percentile = 99.5 } or { sigmas = 3 }")
        return self


class AnomalySettings(_SinceVersion3):
    """How unlike what is normal a sample is.

    Attributes:
        output: name of the output that is looked at; None where the model has one.
        score: ``reconstruction``: the output has the input's shape, and the score is the mean square of what it fails to reconstruct;
            ``output``: it is the score itself, one number.
        activation: what turns a score of the output's own into one (``score = "output"``).
        threshold: scores above it are anomalous; or the rule by which the conversion measures it, whose number is in the bundle.
        smoothing_results: the score is the mean of so many results, or of those there are after a start or a gap.
    """

    kind: Literal["anomaly"]
    output: str | None = None
    score: Literal["reconstruction", "output"]
    activation: Literal["none", "sigmoid"] = "none"
    threshold: float | ThresholdRule = ThresholdRule(sigmas=3)
    smoothing_results: int = Field(default=1, ge=1, le=10_000)

    @model_validator(mode="after")
    def _no_odd_activation(self) -> AnomalySettings:
        if self.score == "reconstruction" and self.activation != "none":
            raise ValueError("activation goes with score = output; a reconstruction is compared as it is")
        return self


class SegmentSettings(_SinceVersion3):
    """The class of every pixel.

    Attributes:
        output: name of the scores, (1, height, width, classes), or of one score a pixel, (1, height, width[, 1]); of whole numbers that
            are not quantized it is the class itself. None where the model has one output.
        activation: what turns one score a pixel into a score; the best of several classes needs none.
        threshold: from which score on a pixel belongs to the object, where there is one score a pixel.
    """

    kind: Literal["segment"]
    output: str | None = None
    activation: Literal["none", "sigmoid"] = "none"
    threshold: float = Field(default=0.5, gt=0, lt=1)


class PoseSettings(_SinceVersion3):
    """Keypoints of one body, hand or face.

    Attributes:
        points: name of the output with the keypoints; None where the model has one.
        form: ``coordinates``: ``numbers`` a keypoint, in any shape of 1 x keypoints x numbers; ``heatmaps``: (1, height, width, keypoints).
        numbers: how many a keypoint has, of which the first two are its place.
        order: of the place: ``xy``, or ``yx`` (MoveNet).
        relative: whether coordinates are shares of the input's width and height, 0 to 1, and not its pixels.
        visibility: which of a keypoint's numbers, counted from 0, is its score; None for none. Of heatmaps it is the highest value.
        visibility_activation: what turns that number into a score.
        refine: move a heatmap's maximum by a quarter of a cell towards the higher neighbour.
        keypoints: report the first so many only; None for all.
        score: name of an output of one number, the score of the whole; None for none.
        score_activation: what turns that number into a score.
        threshold: the lowest score of the whole that is reported.
        skeleton: pairs of keypoints that drawings join with a line.
    """

    kind: Literal["pose"]
    points: str | None = None
    form: Literal["coordinates", "heatmaps"] = "coordinates"
    numbers: int = Field(default=2, ge=2, le=16)
    order: Literal["xy", "yx"] = "xy"
    relative: bool = False
    visibility: int | None = Field(default=None, ge=2)
    visibility_activation: Literal["none", "sigmoid"] = "none"
    refine: bool = True
    keypoints: int | None = Field(default=None, ge=1, le=10_000)
    score: str | None = None
    score_activation: Literal["none", "sigmoid"] = "none"
    threshold: float = Field(default=0.5, gt=0, lt=1)
    skeleton: tuple[tuple[int, int], ...] = Field(default=(), max_length=10_000)


TaskSettings = Annotated[
    RawSettings
    | ClassifySettings
    | DetectSettings
    | KeywordSettings
    | AnomalySettings
    | SegmentSettings
    | PoseSettings,
    Field(discriminator="kind"),
]
