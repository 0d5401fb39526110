"""A sweep from end to end: points, work, latency, front, page."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from converters.config import Config, read_config
from converters.gather import this_machine, tool_versions
from converters.progress import Progress, quiet
from converters.sweep import point as adapter
from converters.sweep.commands import Told
from converters.sweep.figures import Setting, SweepFigures
from converters.sweep.latency import ROUNDS, RUNS, measure_latency
from converters.sweep.point import NO_RANGES, Job, Prepared, Recipe
from converters.sweep.rank import Measured, ranked
from converters.sweep.store import Store, Stored, hash_of_data, hash_of_model, key_of
from converters.sweep.workers import Backend, Done, LocalPool, Pool, do_all
from edge_sdk.errors import BoardError, ConfigError, ModelError
from edge_sdk.outputs import replacing
from edge_sdk.profiles import our_boards

_FLATTERS = (
    "Accuracy is likeness to each model's own float model, on the calibration samples, which flatters it; give --holdout DATA or "
    "--evaluate DATA."
)
_OWN_FLOAT = (
    "Accuracy is likeness to each model's own float model: between models and sizes it says nothing on which one is right more often. "
    "Give --evaluate DATA with the right answers."
)


@dataclass(frozen=True)
class SweepResult:
    """What a sweep made.

    Attributes:
        html, json: the page and the same figures, in the sweep's folder.
        figures: everything that was found.
    """

    html: Path
    json: Path
    figures: SweepFigures


@dataclass(frozen=True)
class _Model:
    """One (model, shape), what is told of it, and its key."""

    path: Path
    shape: tuple[int, ...] | None
    told: Config
    key: str


@dataclass
class _Point:
    """One point: what it is made of, its key, and what became of it."""

    setting: Setting
    model: _Model
    recipe: Recipe
    key: str
    stored: Stored | None = None
    failure: str | None = field(default=None)


def sweep(
    told: Told,
    *,
    output: str | Path,
    backend: Backend = "loky",
    jobs: int = 1,
    scheduler: str | None = None,
    progress: Progress = quiet,
) -> SweepResult:
    """Try recipes x range methods on models x sizes, and find the front of accuracy, latency and size.

    Args:
        told: models and settings.
        output: the sweep's folder; what is done in it already is not done again.
        backend: ``loky`` (processes) or ``threading`` on this machine, or ``dask``.
        jobs: how many points are worked on at a time on this machine.
        scheduler: address of the dask scheduler.
        progress: called as the work goes on.

    Raises:
        ConfigError: if a setting is unknown or missing.
        DataError, ContractError, BoardError: if what was given cannot be used.
        ClusterError: if the cluster cannot be reached, or goes away; what was done is kept.
        OutputError: if the folder cannot be written, or something damaged is in it.
    """
    work = _Sweep(told, Store(Path(output)), progress)
    with _pool(backend, jobs, scheduler) as pool:
        work.points(pool)
    return work.finish()


@contextlib.contextmanager
def _pool(backend: Backend, jobs: int, scheduler: str | None) -> Iterator[Pool]:
    if (backend == "dask") != (scheduler is not None):
        raise ConfigError(
            "backend dask and the address of its scheduler go together: --backend dask --scheduler tcp://HOST:8786"
        )
    if scheduler is None:
        yield LocalPool("threading" if backend == "threading" else "loky", jobs)
        return
    from converters.sweep.cluster import connect

    with connect(scheduler) as pool:
        yield pool


class _Sweep:
    """One sweep at work."""

    def __init__(self, told: Told, store: Store, progress: Progress) -> None:
        self._told, self._store, self._progress = told, store, progress
        self._versions = tool_versions()
        self._boards = _boards(told.boards)
        recipes = [adapter.read_recipe(name) for name in dict.fromkeys(told.recipes)]
        kept = [
            recipe
            for recipe in recipes
            if not self._boards or any(recipe.kind in kinds for kinds in self._boards.values())
        ]
        if not kept:
            wanted = "; ".join(f"{name} runs {', '.join(kinds)}" for name, kinds in self._boards.items())
            makes = ", ".join(f"{recipe.name} makes {recipe.kind}" for recipe in recipes)
            raise BoardError(f"no named board runs what the recipes make: {makes}; {wanted}")
        self._left_out = tuple(recipe.name for recipe in recipes if recipe not in kept)
        if odd := [name for name in told.ranges if name not in adapter.RANGE_METHODS]:
            raise ConfigError(f"no range method {odd[0]!r}. There are {', '.join(adapter.RANGE_METHODS)}")
        self._models = self._read_models()
        self._points = {point.key: point for model in self._models for point in self._points_of(model, kept)}
        self._kept = 0
        self._warnings: list[str] = []
        self._calibration = ""

    def _read_models(self) -> list[_Model]:
        models = []
        for path in dict.fromkeys(self._told.models):
            told = self._read(path)
            asked = [adapter.square(path, size, told.contract) for size in self._told.sizes]
            shapes: list[tuple[int, ...] | None] = [*dict.fromkeys([*asked, *self._told.input_shapes])]
            models += [_Model(path, shape, told, self._model_key(path, shape, told)) for shape in shapes or [None]]
        kinds = {model.told.task.kind for model in models}
        if len(kinds) > 1:
            raise ConfigError(
                f"the models have different tasks, {' and '.join(sorted(kinds))}: their accuracies cannot be compared"
            )
        return models

    def _read(self, path: Path) -> Config:
        given = self._told
        data = {
            "data": given.calibrate,
            "holdout": given.holdout,
            "evaluate": given.evaluate,
            "max_samples": given.max_samples,
        }
        return read_config(
            path,
            given.config,
            contract={},
            task={},
            labels=None,
            data={key: value for key, value in data.items() if value is not None},
            loading={"trust": True} if given.trust else {},
        )

    def _model_key(self, path: Path, shape: tuple[int, ...] | None, told: Config) -> str:
        loading = told.loading.model_dump(mode="json", exclude={"timeout_s", "memory_mb"})
        return key_of({"model": hash_of_model(path), "shape": shape, "loading": loading, "versions": self._versions})

    def _points_of(self, model: _Model, recipes: Sequence[Recipe]) -> Iterator[_Point]:
        told = model.told
        facts: dict[str, object] = {
            "model": model.key,
            "contract": told.contract.model_dump(mode="json"),
            "task": told.task.model_dump(mode="json"),
            "labels": told.labels,
            "data": [hash_of_data(where) for where in (told.data.data, told.data.holdout, told.data.evaluate)],
            "max_samples": told.data.max_samples,
        }
        for recipe in recipes:
            for method in dict.fromkeys(self._told.ranges) if recipe.integer else [NO_RANGES]:
                setting = Setting(model=str(model.path), input_shape=model.shape, recipe=recipe.name, ranges=method)
                key = key_of({**facts, "recipe": adapter.recipe_content(recipe), "ranges": method})
                yield _Point(setting, model, recipe, key)

    def points(self, pool: Pool) -> None:
        """Do every point that is not there yet."""
        for point in self._points.values():
            point.stored = self._store.get(point.key)
        self._kept = sum(point.stored is not None for point in self._points.values())
        work = dict(self._work())
        for done, (key, outcome) in enumerate(do_all(work, pool), start=1):
            point = self._points[key]
            if isinstance(outcome, Done):
                point.stored = Stored(setting=point.setting, figures=outcome.figures)
                self._store.put(key, point.stored, outcome.content)
            elif outcome.settled:
                point.stored = Stored(setting=point.setting, failure=outcome.reason)
                self._store.put(key, point.stored, None)
            else:
                point.failure = outcome.reason
            self._progress("points", done, len(work))

    def _work(self) -> Iterator[tuple[str, tuple[np.ndarray[tuple[int, ...], np.dtype[np.uint8]], Job]]]:
        for number, model in enumerate(self._models):
            points = [point for point in self._points.values() if point.model is model]
            todo = [point for point in points if point.stored is None]
            if not todo and self._store.model(model.key) is not None:
                continue
            self._progress(f"load {number + 1}/{len(self._models)}", 0, 1)
            try:
                prepared = self._prepare(model, todo, number)
            except ModelError as exc:
                for point in todo:
                    point.failure = str(exc)
                continue
            content = np.frombuffer(prepared.model.content, np.uint8)
            for point in todo:
                yield point.key, (content, self._job(point, prepared))

    def _prepare(self, model: _Model, todo: Sequence[_Point], number: int) -> Prepared:
        methods = list(dict.fromkeys(point.setting.ranges for point in todo if point.recipe.integer))
        step = f"load {number + 1}/{len(self._models)}"
        prepared = adapter.prepare(
            model.path, model.shape, model.told, methods, lambda done, of: self._progress(step, done, of)
        )
        self._store.put_model(model.key, prepared.model.content)
        self._warnings += [warning for warning in prepared.warnings if warning not in self._warnings]
        return prepared

    def _job(self, point: _Point, prepared: Prepared) -> Job:
        told = point.model.told
        return Job(
            recipe=point.recipe,
            ranges=prepared.ranges.get(point.setting.ranges),
            contract=told.contract,
            task=told.task,
            labels=told.labels,
            compare=_absolute(told.data.holdout or str(told.data.data)),
            evaluate=None if told.data.evaluate is None else _absolute(told.data.evaluate),
            max_samples=told.data.max_samples,
            versions=self._versions,
        )

    def finish(self) -> SweepResult:
        """Measure the latency of all, rank, and write."""
        latency = self._latency()
        data = self._models[0].told.data
        measured = [
            Measured(
                setting=point.setting,
                figures=point.stored.figures if point.stored is not None else None,
                failure=point.stored.failure if point.stored is not None else point.failure,
                latency_ms=latency.get(point.key),
            )
            for point in self._points.values()
        ]
        floats = [
            (str(model.path), model.shape, path.stat().st_size, latency[model.key])
            for model in self._models
            if (path := self._store.model(model.key)) is not None
        ]
        ranking = ranked(measured, floats, self._boards, self._told)
        figures = SweepFigures(
            rows=ranking.rows,
            references=ranking.references,
            best=ranking.best,
            data=data.evaluate or data.holdout or str(data.data),
            labelled=data.evaluate is not None,
            calibration=str(data.data),
            runs=ROUNDS * RUNS,
            done=len(self._points) - self._kept,
            kept=self._kept,
            left_out=self._left_out,
            machine=this_machine(),
            versions=self._versions,
            warnings=(*self._warnings, *self._warn()),
        )
        return _write(self._store.folder, figures)

    def _latency(self) -> dict[str, float]:
        keys = [model.key for model in self._models]
        keys += [
            point.key
            for point in self._points.values()
            if point.stored is not None and point.stored.figures is not None
        ]
        paths = {key: path for key in keys if (path := self._store.model(key)) is not None}
        return measure_latency(paths, lambda done, of: self._progress("latency", done, of))

    def _warn(self) -> Iterator[str]:
        data = self._models[0].told.data
        if data.evaluate is None and len(self._models) > 1:
            yield _OWN_FLOAT
        if data.evaluate is None and data.holdout is None:
            yield _FLATTERS
        if self._left_out:
            yield f"No named board runs what these recipes make, so they were left out: {', '.join(self._left_out)}."


def _boards(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The kinds that each board runs."""
    with our_boards():
        import boards
    return {name: tuple(map(str, boards.load(name).variants)) for name in dict.fromkeys(names)}


def _absolute(where: str) -> str:
    """Data by its whole path: a worker has another working directory."""
    return str(Path(where).absolute())


def _write(folder: Path, figures: SweepFigures) -> SweepResult:
    from converters.sweep.page import render_html

    html, json = folder / "sweep.html", folder / "sweep.json"
    page = render_html(figures)
    with replacing(html, overwrite=True) as html_beside, replacing(json, overwrite=True) as json_beside:
        html_beside.write_text(page, encoding="utf-8")
        json_beside.write_text(figures.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return SweepResult(html, json, figures)
