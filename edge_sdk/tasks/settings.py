"""The ``[task]`` settings: a kind and its parameters, stored in the bundle and overridden by app.toml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


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


TaskSettings = Annotated[RawSettings | ClassifySettings | DetectSettings, Field(discriminator="kind")]
