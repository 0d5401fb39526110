"""The plan of a sweep: its models and points, each with the key of all that decides it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.config import Config, read_config
from converters.sweep import point as adapter
from converters.sweep.commands import Told
from converters.sweep.figures import Setting
from converters.sweep.point import NO_RANGES, Recipe
from converters.sweep.store import hash_of_data, hash_of_model, key_of
from edge_sdk.errors import BoardError, ConfigError
from edge_sdk.profiles import our_boards


@dataclass(frozen=True)
class Model:
    """One (model, shape) with what is told of it."""

    path: Path
    shape: tuple[int, ...] | None
    told: Config
    key: str


@dataclass(frozen=True)
class Point:
    """One point: what it is made of, and its key."""

    setting: Setting
    model: Model
    recipe: Recipe
    key: str


@dataclass(frozen=True)
class Plan:
    """What a sweep has to do.

    Attributes:
        models: every (model, shape).
        points: of all of them.
        boards: the kinds that each named board runs.
        left_out: recipes that no named board runs.
        notes: what else was left out, one sentence each.
    """

    models: tuple[Model, ...]
    points: tuple[Point, ...]
    boards: dict[str, tuple[str, ...]]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


def make_plan(told: Told, versions: dict[str, str]) -> Plan:
    """Read and check everything that is told, before any work.

    Args:
        told: models and settings.
        versions: of the tools: another version makes another point.

    Raises:
        ConfigError: if a setting is unknown or missing, or the models' tasks differ.
        BoardError: if a board is unknown, or none of them runs what the recipes make.
    """
    boards = _boards(told.boards)
    recipes = {given: adapter.read_recipe(given) for given in told.recipes}
    kept = _that_run(recipes, boards)
    if odd := [name for name in told.ranges if name not in adapter.RANGE_METHODS]:
        raise ConfigError(f"no range method {odd[0]!r}. There are {', '.join(adapter.RANGE_METHODS)}")
    models, notes = _models(told, versions)
    points = tuple(point for model in models for point in _points(model, kept, told.ranges))
    left_out = tuple(given for given in recipes if given not in kept)
    return Plan(models, points, boards, left_out, notes)


def _boards(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    with our_boards():
        import boards
    return {name: tuple(map(str, boards.load(name).variants)) for name in dict.fromkeys(names)}


def _that_run(recipes: Mapping[str, Recipe], boards: Mapping[str, tuple[str, ...]]) -> dict[str, Recipe]:
    kinds = {given: adapter.kind_of(recipe) for given, recipe in recipes.items()}
    run = {kind for of_board in boards.values() for kind in of_board}
    kept = {given: recipe for given, recipe in recipes.items() if not boards or kinds[given] in run}
    if not kept:
        makes = ", ".join(f"{given} makes {kind}" for given, kind in kinds.items())
        runs = "; ".join(f"{name} runs {', '.join(of_board)}" for name, of_board in boards.items())
        raise BoardError(f"no named board runs what the recipes make: {makes}; {runs}")
    return kept


def _models(told: Told, versions: dict[str, str]) -> tuple[tuple[Model, ...], tuple[str, ...]]:
    models: dict[str, Model] = {}
    notes = []
    for path in dict.fromkeys(told.models):
        config, content = _config(path, told), hash_of_model(path)
        loading = config.loading.model_dump(mode="json", exclude={"timeout_s", "memory_mb"})
        asked = [adapter.square(path, size, config.contract) for size in told.sizes]
        for shape in dict.fromkeys([*asked, *told.input_shapes]) or [None]:
            facts = {
                "shape": shape,
                "loading": loading,
                "versions": versions,
                "contract": config.contract.model_dump(mode="json"),
            }
            key = key_of({"model": content or str(path), **facts})
            if key in models:
                notes.append(f"{path} is the same model as {models[key].path}, and was left out.")
            else:
                models[key] = Model(path, shape, config, key)
    kinds = {model.told.task.kind for model in models.values()}
    if len(kinds) > 1:
        raise ConfigError(
            f"the models have different tasks, {' and '.join(sorted(kinds))}: their accuracies cannot be compared"
        )
    return tuple(models.values()), tuple(dict.fromkeys(notes))


def _config(path: Path, told: Told) -> Config:
    data = {"data": told.calibrate, "holdout": told.holdout, "max_samples": told.max_samples}
    evaluate = {"data": told.evaluate, "metric": told.metric}
    return read_config(
        path,
        told.config,
        contract={},
        task={},
        labels=None,
        data={key: value for key, value in data.items() if value is not None},
        loading={"trust": True} if told.trust else {},
        quantize={},
        evaluate={key: value for key, value in evaluate.items() if value is not None},
        gate={},
    )


def _points(model: Model, recipes: Mapping[str, Recipe], methods: Sequence[str]) -> Iterator[Point]:
    told = model.told
    facts: dict[str, object] = {
        "model": model.key,
        "task": told.task.model_dump(mode="json"),
        "labels": told.labels,
        "data": [hash_of_data(where) for where in (told.data.data, told.data.holdout, told.evaluate.data)],
        "evaluate": told.evaluate.model_dump(mode="json", exclude={"data"}),
        "max_samples": told.data.max_samples,
    }
    for given, recipe in recipes.items():
        for method in dict.fromkeys(methods) if recipe.integer else [NO_RANGES]:
            setting = Setting(model=str(model.path), input_shape=model.shape, recipe=given, ranges=method)
            key = key_of(
                {
                    **facts,
                    "recipe": recipe.model_dump(mode="json", exclude={"name", "about", "ranges"}),
                    "ranges": method,
                }
            )
            yield Point(setting, model, recipe, key)
