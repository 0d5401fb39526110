"""What a sweep is told, and the ``edge-sdk convert`` command that makes a bundle of one of its points."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from converters.sweep.figures import Setting
from converters.sweep.point import NO_RANGES


@dataclass(frozen=True)
class Told:
    """What is swept.

    Attributes:
        models: trained models.
        recipes, ranges: names of recipes and of range methods.
        sizes: sides of square pictures, for models whose shapes are free.
        input_shapes: the same for other inputs, in the source's own axis order.
        config: a model.toml for all of them; without it each has its own beside it.
        boards: names of boards; points that none of them runs are left out.
        calibrate, holdout, max_samples: override the keys of ``[calibration]``.
        evaluate, metric: override those of ``[evaluate]``.
        trust: run code that comes with a model.
    """

    models: tuple[Path, ...]
    recipes: tuple[str, ...] = ("int8",)
    ranges: tuple[str, ...] = ("minmax",)
    sizes: tuple[int, ...] = ()
    input_shapes: tuple[tuple[int, ...], ...] = ()
    config: Path | None = None
    boards: tuple[str, ...] = ()
    calibrate: str | None = None
    holdout: str | None = None
    evaluate: str | None = None
    metric: str | None = None
    max_samples: int | None = None
    trust: bool = False


def convert_command(told: Told, setting: Setting, boards: tuple[str, ...]) -> str:
    """The command line, quoted for a shell."""
    path = Path(setting.model.rpartition(":")[0] if ".py:" in setting.model else setting.model)
    given: list[tuple[str, object]] = [
        ("--config", told.config),
        ("--calibrate", told.calibrate),
        ("--holdout", told.holdout),
        ("--evaluate", told.evaluate),
        ("--metric", told.metric),
        ("--max-samples", told.max_samples),
        ("--input-shape", None if setting.input_shape is None else ",".join(map(str, setting.input_shape))),
        ("--recipe", setting.recipe),
        ("--ranges", None if setting.ranges == NO_RANGES else setting.ranges),
        *(("--board", board) for board in boards),
    ]
    words = ["edge-sdk", "convert", setting.model]
    for flag, value in given:
        if value is not None:
            words += [flag, str(value)]
    if told.trust:
        words.append("--trust")
    return shlex.join([*words, "-o", f"{_bundle_name(path, setting)}.edge"])


def _bundle_name(path: Path, setting: Setting) -> str:
    size = [] if setting.input_shape is None else ["x".join(map(str, setting.input_shape[1:]))]
    parts = [
        path.stem,
        *size,
        Path(setting.recipe).stem,
        *([] if setting.ranges in (NO_RANGES, "minmax") else [setting.ranges]),
    ]
    return "-".join(parts)
