"""SSD anchors, generated as MediaPipe's SsdAnchorsCalculator does.

Source: ``mediapipe/calculators/tflite/ssd_anchors_calculator.cc`` (``GenerateAnchors``) of google-ai-edge/mediapipe.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_sdk.errors import ConfigError
from edge_sdk.tasks.settings import AnchorSettings

_SHOWN = 8  # grids in a message
Floats = npt.NDArray[np.float32]


def generate_anchors(settings: AnchorSettings, size: tuple[int, int], count: int) -> Floats:
    """Anchors of a model, in the order of its output.

    Args:
        settings: strides, scales and aspect ratios.
        size: of the input tensor, (width, height) in pixels.
        count: how many anchors the model's output has.

    Returns:
        Shape (count, 4), float32: centre x, centre y, width, height, relative to the input tensor (0 to 1).

    Raises:
        ConfigError: if the settings are out of range or give another number of anchors; the message names both.
    """
    _check(settings)
    grids = _grids(settings, size)
    made = sum(grid.columns * grid.rows * len(grid.sizes) for grid in grids)
    if made != count:
        parts = " + ".join(f"{g.columns}x{g.rows}x{len(g.sizes)}" for g in grids[:_SHOWN])
        parts += f" + {len(grids) - _SHOWN} more" if len(grids) > _SHOWN else ""
        found = f"strides {list(settings.strides)} on an input of {size[0]}x{size[1]} give {made} anchors ({parts})"
        raise ConfigError(
            f"[task.anchors] {found}; the model's output has {count}. "
            "Correct strides, aspect_ratios or interpolated_scale_aspect_ratio"
        )
    return np.concatenate([_lay(grid, settings) for grid in grids])


@dataclass(frozen=True)
class _Grid:
    columns: int
    rows: int
    sizes: tuple[tuple[float, float], ...]  # width and height of each anchor in every cell


def _check(settings: AnchorSettings) -> None:
    if min(settings.strides) < 1:
        raise ConfigError(f"[task.anchors] strides are pixels, 1 or more; found {list(settings.strides)}")
    if min(settings.aspect_ratios, default=1.0) <= 0:
        raise ConfigError(f"[task.anchors] aspect_ratios are above 0; found {list(settings.aspect_ratios)}")
    if min(settings.min_scale, settings.max_scale) < 0:
        raise ConfigError(
            f"[task.anchors] min_scale and max_scale are 0 or more; found {settings.min_scale} and {settings.max_scale}"
        )


def _grids(settings: AnchorSettings, size: tuple[int, int]) -> list[_Grid]:
    """Consecutive layers of the same stride share one grid, whose cells hold the anchors of all of them."""
    grids: list[_Grid] = []
    previous = None
    for layer, stride in enumerate(settings.strides):
        sizes = _sizes(settings, layer)
        if stride == previous:
            last = grids.pop()
            sizes = last.sizes + sizes
        grids.append(_Grid(math.ceil(size[0] / stride), math.ceil(size[1] / stride), sizes))
        previous = stride
    return grids


def _sizes(settings: AnchorSettings, layer: int) -> tuple[tuple[float, float], ...]:
    """Width and height of one layer's anchors: scale * sqrt(ratio) and scale / sqrt(ratio)."""
    scale = _scale(settings, layer)
    if layer == 0 and settings.reduce_boxes_in_lowest_layer:
        pairs = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
    else:
        pairs = [(scale, ratio) for ratio in settings.aspect_ratios]
        if settings.interpolated_scale_aspect_ratio > 0:
            following = 1.0 if layer == len(settings.strides) - 1 else _scale(settings, layer + 1)
            pairs.append((math.sqrt(scale * following), settings.interpolated_scale_aspect_ratio))
    if settings.fixed_size:
        return ((1.0, 1.0),) * len(pairs)
    return tuple((scale * math.sqrt(ratio), scale / math.sqrt(ratio)) for scale, ratio in pairs)


def _scale(settings: AnchorSettings, layer: int) -> float:
    """From min_scale in the first layer to max_scale in the last, in even steps; the mean where there is only one."""
    low, high, layers = settings.min_scale, settings.max_scale, len(settings.strides)
    return (low + high) / 2 if layers == 1 else low + (high - low) * layer / (layers - 1)


def _lay(grid: _Grid, settings: AnchorSettings) -> Floats:
    """The grid's anchors: rows from the top, columns from the left, then the anchors of a cell."""
    anchors = np.empty((grid.rows, grid.columns, len(grid.sizes), 4), np.float32)
    anchors[..., 0] = ((np.arange(grid.columns) + settings.offset[0]) / grid.columns)[None, :, None]
    anchors[..., 1] = ((np.arange(grid.rows) + settings.offset[1]) / grid.rows)[:, None, None]
    anchors[..., 2:] = np.array(grid.sizes)
    return anchors.reshape(-1, 4)
