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
    evaluate = "truth/"
    max_samples = 100

Paths in the file are relative to its folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from converters.calibrate.samples import DEFAULT_MAX_SAMPLES
from converters.load.loaded import LoadOptions
from edge_sdk.contract import Contract, contract_from, describe_validation
from edge_sdk.errors import ConfigError
from edge_sdk.inputs import read_plain_file, read_toml
from edge_sdk.printable import no_control_characters
from edge_sdk.tasks.settings import RawSettings, TaskSettings

_MAX_LABELS_BYTES = 1 << 20
_TABLES = ("load", "contract", "task", "calibration")
_OF_THE_CALLER = ("trust", "real_range")  # a file that comes with a model does not say that it is to be trusted


class DataSettings(BaseModel):
    """The ``[calibration]`` table.

    Attributes:
        data: what ranges are taken from.
        holdout: what float and int8 are compared on, kept apart from ``data``.
        evaluate: data with the right answers.
        max_samples: of ``data`` and ``holdout``, at most so many each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str | None = None
    holdout: str | None = None
    evaluate: str | None = None
    max_samples: int = Field(default=DEFAULT_MAX_SAMPLES, ge=1)


@dataclass(frozen=True)
class Config:
    """Everything a conversion is told, checked.

    Attributes:
        file: the model.toml that was used, or None.
        contract, task, labels: what goes into the bundle.
        data: calibration, holdout and evaluation data; ``data.data`` is not None.
        loading: how the model is loaded.
    """

    file: Path | None
    contract: Contract
    task: TaskSettings
    labels: tuple[str, ...]
    data: DataSettings
    loading: LoadOptions


def read_config(
    model: Path,
    file: Path | None,
    *,
    contract: Mapping[str, object],
    task: Mapping[str, object],
    labels: Path | None,
    data: Mapping[str, object],
    loading: Mapping[str, object],
) -> Config:
    """Read model.toml and put the overrides over it.

    Args:
        model: the model; a .toml of the same stem beside it is used when ``file`` is None.
        file: the model.toml, or None.
        contract, task, data, loading: keys that override those of ``[contract]``, ``[task]``, ``[calibration]`` and ``[load]``.
        labels: overrides ``labels``.

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
    settings = DataSettings.model_validate({**_data(content.get("calibration", {}), file, folder), **data})
    if settings.data is None:
        raise ConfigError(
            "calibration data is missing: give --calibrate DATA (calibrate=...), or data in [calibration] of model.toml"
        )
    label_file = labels or (folder / str(content["labels"]) if "labels" in content else None)
    checked = contract_from(told, named)
    options = _loading(content.get("load", {}), loading, checked, file)
    return Config(file, checked, _task(task_told, file), _read_labels(label_file), settings, options)


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


def _data(keys: dict[str, object], file: Path | None, folder: Path) -> dict[str, object]:
    try:
        DataSettings.model_validate(keys)
    except ValidationError as exc:
        allowed = ", ".join(DataSettings.model_fields)
        raise ConfigError(f"{describe_validation(exc, f'{file} [calibration]')}; allowed are {allowed}") from exc
    return {key: str(folder / value) if isinstance(value, str) else value for key, value in keys.items()}


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
    """Smallest and largest number that the contract makes of bytes; of numbers, which it does not bound, -1 to 1."""
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
        raise ConfigError(describe_validation(exc, where)) from exc


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
