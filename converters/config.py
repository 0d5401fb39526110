"""What a conversion is told: model.toml, and flags or arguments that override its keys. Nothing is guessed.

    labels = "labels.txt"
    [contract]
    input = "image"
    colour = "rgb"
    range = [-1, 1]
    resize = "letterbox"
    [task]
    kind = "classify"
    [calibration]
    data = "photos/"
    holdout = "more/"
    max_samples = 100
    [quantize]
    recipe = ["int8", "float16"]
    ranges = "minmax"
    [evaluate]
    data = "truth/"
    [gate]
    max_drop = "1%"
    budget = "10m"

Paths in the file are relative to its folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from converters.calibrate.samples import DEFAULT_MAX_SAMPLES
from converters.calibrate.statistics import RangeMethod
from converters.load.loaded import LoadOptions
from converters.quantize.recipe import Recipe, read_recipe
from converters.verify.gate import MaxDrop
from converters.verify.settings import EvaluateSettings
from edge_sdk.contract import Contract, contract_from, describe_validation
from edge_sdk.errors import ConfigError
from edge_sdk.inputs import read_plain_file, read_toml
from edge_sdk.printable import no_control_characters
from edge_sdk.tasks import (
    AnomalySettings,
    ClassifySettings,
    DetectSettings,
    KeywordSettings,
    PoseSettings,
    RawSettings,
    SegmentSettings,
    TaskSettings,
)

_MAX_LABELS_BYTES = 1 << 20
_TABLES = ("load", "contract", "task", "calibration", "quantize", "evaluate", "gate")
_BUDGET = re.compile(r"(\d+(?:\.\d+)?)(s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_TASKS: dict[str, type[BaseModel]] = {
    "raw": RawSettings,
    "classify": ClassifySettings,
    "detect": DetectSettings,
    "keyword": KeywordSettings,
    "anomaly": AnomalySettings,
    "segment": SegmentSettings,
    "pose": PoseSettings,
}
_OF_THE_CALLER = ("trust", "real_range")  # a file that comes with a model does not say that it is to be trusted


class DataSettings(BaseModel):
    """The ``[calibration]`` table.

    Attributes:
        data: what ranges are taken from.
        holdout: what float and int8 are compared on, kept apart from ``data``.
        max_samples: of ``data`` and ``holdout``, at most so many each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str | None = None
    holdout: str | None = None
    max_samples: int = Field(default=DEFAULT_MAX_SAMPLES, ge=1)


class QuantizeSettings(BaseModel):
    """The ``[quantize]`` table.

    Attributes:
        recipe: names of recipes or .toml files; each makes a variant, the first is the one that is gated and repaired.
        ranges: how ranges are chosen; over what a recipe says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: tuple[str, ...] = Field(default=("int8",), min_length=1)
    ranges: RangeMethod | None = None


class GateSettings(BaseModel):
    """The ``[gate]`` table.

    Attributes:
        max_drop: the largest drop of the metric allowed, such as ``"1%"``; None for no gate.
        budget: how long repair may take, such as ``"90s"``, ``"10m"`` or ``"1h"``.
        repair: whether a variant that fails the gate, or has a layer that is an outlier, is repaired.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_drop: str | None = None
    budget: str = "10m"
    repair: bool = True


@dataclass(frozen=True)
class Config:
    """Everything a conversion is told, checked.

    Attributes:
        file: the model.toml that was used, or None.
        contract, task, labels: what goes into the bundle.
        data: calibration, holdout and evaluation data; ``data.data`` is not None where it is needed.
        loading: how the model is loaded.
        recipes: of the variants to make; the first is gated and repaired.
        evaluate: data with the right answers, and the metric.
        max_drop: the largest drop allowed, or None.
        budget_s: how long repair may take, in seconds.
        repair: whether it may.
    """

    file: Path | None
    contract: Contract
    task: TaskSettings
    labels: tuple[str, ...]
    data: DataSettings
    loading: LoadOptions
    recipes: tuple[Recipe, ...]
    evaluate: EvaluateSettings
    max_drop: MaxDrop | None
    budget_s: float
    repair: bool


def read_config(
    model: Path,
    file: Path | None,
    *,
    contract: Mapping[str, object],
    task: Mapping[str, object],
    labels: Path | None,
    data: Mapping[str, object],
    loading: Mapping[str, object],
    quantize: Mapping[str, object],
    evaluate: Mapping[str, object],
    gate: Mapping[str, object],
    needs_data: bool = True,
) -> Config:
    """Read model.toml and put the overrides over it.

    Args:
        model: the model; a .toml of the same stem beside it is used when ``file`` is None.
        file: the model.toml, or None.
        contract, task, data, loading, quantize, evaluate, gate: keys that override those of ``[contract]``, ``[task]``,
            ``[calibration]``, ``[load]``, ``[quantize]``, ``[evaluate]`` and ``[gate]``.
        labels: overrides ``labels``.
        needs_data: whether calibration data must be there.

    Raises:
        ConfigError: if the file cannot be read, a key is unknown, or something is missing; the message asks for it by name.
    """
    beside = model.with_suffix(".toml")
    if file is None and beside.is_file():
        file = beside
    content = _read_tables(file) if file is not None else {}
    where = str(file) if file is not None else "the contract (flags, or [contract] in a model.toml)"
    named = f"{file} [contract]" if file is not None else where
    folder = file.parent if file is not None else Path()
    told = {**_lists_of_numbers(content.get("contract", {})), **_lists_of_numbers(contract)}
    task_told = {**content.get("task", {})}
    if "kind" in task and task["kind"] != task_told.get("kind"):
        task_told = {}  # another kind has other keys
    task_told.update(task)
    settings = _table(DataSettings, content, "calibration", data, file, folder, paths=("data", "holdout"))
    if settings.data is None and needs_data:
        raise ConfigError(
            "calibration data is missing: give --calibrate DATA (calibrate=...), or data in [calibration] of model.toml"
        )
    label_file = labels or (folder / str(content["labels"]) if "labels" in content else None)
    checked = contract_from(told, named)
    making = _table(QuantizeSettings, content, "quantize", quantize, file, folder)
    gating = _table(GateSettings, content, "gate", gate, file, folder)
    return Config(
        file=file,
        contract=checked,
        task=_task(task_told, file),
        labels=_read_labels(label_file),
        data=settings,
        loading=_loading(content.get("load", {}), loading, checked, file),
        recipes=_recipes(making, folder),
        evaluate=_table(EvaluateSettings, content, "evaluate", evaluate, file, folder, paths=("data",)),
        max_drop=None if gating.max_drop is None else MaxDrop.parse(gating.max_drop),
        budget_s=_budget_s(gating.budget),
        repair=gating.repair,
    )


def _read_tables(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = read_toml(file, give="a model.toml")
    if odd := sorted(set(content) - {*_TABLES, "labels"}):
        raise ConfigError(
            f"{file}: no such key: {', '.join(odd)}; allowed are labels and the tables {', '.join(f'[{t}]' for t in _TABLES)}"
        )
    for table in _TABLES:
        if not isinstance(content.get(table, {}), dict):
            raise ConfigError(f"{file}: {table} is a table: write [{table}] and its keys below")
    return content


def _lists_of_numbers(keys: Mapping[str, object]) -> dict[str, object]:
    """``mean = 127.5`` stands for ``mean = [127.5]``."""
    return {
        key: [value] if key in ("mean", "std") and isinstance(value, (int, float)) else value
        for key, value in keys.items()
    }


_Table = TypeVar("_Table", bound=BaseModel)


def _table(
    kind: type[_Table],
    content: Mapping[str, Any],
    name: str,
    over: Mapping[str, object],
    file: Path | None,
    folder: Path,
    *,
    paths: tuple[str, ...] = (),
) -> _Table:
    """One table of the file with ``over`` put over it; ``paths`` are keys whose paths are relative to the file's folder."""
    keys = {
        key: str(folder / value) if key in paths and isinstance(value, str) else value
        for key, value in content.get(name, {}).items()
    }
    if isinstance(keys.get("recipe"), str):
        keys["recipe"] = [keys["recipe"]]  # one stands for a list of one
    try:
        return kind.model_validate({**keys, **over})
    except ValidationError as exc:
        where = f"{file} [{name}]" if file is not None else f"[{name}]"
        raise ConfigError(f"{describe_validation(exc, where)}; allowed are {', '.join(kind.model_fields)}") from exc


def _recipes(settings: QuantizeSettings, folder: Path) -> tuple[Recipe, ...]:
    recipes = [read_recipe(folder / name if name.endswith(".toml") else name) for name in settings.recipe]
    if settings.ranges is not None:
        recipes = [recipe.model_copy(update={"ranges": settings.ranges}) for recipe in recipes]
    if repeated := [
        recipe.name for number, recipe in enumerate(recipes) if recipe.name in {r.name for r in recipes[:number]}
    ]:
        raise ConfigError(f"recipe {repeated[0]!r} is given twice; each makes one variant")
    return tuple(recipes)


def _budget_s(text: str) -> float:
    found = _BUDGET.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"a budget is a number with s, m or h behind it, such as 90s, 10m or 1h; found {text!r}")
    return float(found[1]) * _SECONDS[found[2]]


def _loading(
    keys: Mapping[str, object], over: Mapping[str, object], contract: Contract, file: Path | None
) -> LoadOptions:
    allowed = [key for key in LoadOptions.model_fields if key not in _OF_THE_CALLER]
    if odd := sorted(set(keys) - set(allowed)):
        raise ConfigError(f"{file} [load]: no such key: {', '.join(odd)}; allowed are {', '.join(allowed)}")
    told = {"real_range": _real_range(contract), **keys, **over}
    try:
        return LoadOptions.model_validate(told)
    except ValidationError as exc:
        raise ConfigError(describe_validation(exc, f"{file} [load]" if file is not None else "loading")) from exc


def _real_range(contract: Contract) -> tuple[float, float]:
    """Smallest and largest number that the contract makes of bytes; of numbers and windows, which it does not bound, -1 to 1."""
    if contract.input != "image":
        return -1.0, 1.0
    real = contract.real_of_bytes()
    return float(real.min()), float(real.max())


def _task(keys: dict[str, Any], file: Path | None) -> TaskSettings:
    if not keys:
        return RawSettings()
    where = f"{file} [task]" if file is not None else "[task]"
    try:
        return TypeAdapter[TaskSettings](TaskSettings).validate_python(keys)
    except ValidationError as exc:
        kind = _TASKS.get(str(keys.get("kind")))
        allowed = "kind" if kind is None else ", ".join(kind.model_fields)
        raise ConfigError(
            f"{describe_validation(exc, where)}; allowed are {allowed}. In a model.toml they stand below [task]"
        ) from exc


def _read_labels(file: Path | None) -> tuple[str, ...]:
    if file is None:
        return ()
    content = read_plain_file(file, ConfigError, give="a file with one label a line", most_bytes=_MAX_LABELS_BYTES)
    try:
        labels = tuple(no_control_characters(line.strip()) for line in content.decode("utf-8-sig").splitlines())
    except ValueError as exc:  # UnicodeDecodeError among them
        raise ConfigError(f"the labels file {file} is not plain text: {exc}") from exc
    if not labels or not all(labels):
        empty = labels.index("") + 1 if labels else 1
        raise ConfigError(
            f"the labels file {file} has one name a line, in the order of the model's output; line {empty} is empty"
        )
    return labels
