"""A sweep from end to end: points, work, latency, front, page."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.calibrate.ranges import Ranges
from converters.gather import this_machine, tool_versions
from converters.progress import Progress, quiet
from converters.sweep.commands import Told
from converters.sweep.figures import SweepFigures
from converters.sweep.latency import ROUNDS, RUNS, measure_latency
from converters.sweep.plan import Model, Point, make_plan
from converters.sweep.point import Job, Prepared, prepare
from converters.sweep.rank import FloatModel, Measured, ranked
from converters.sweep.store import Store, Stored
from converters.sweep.workers import Backend, Done, LocalPool, Pool, do_all
from edge_sdk.errors import ConfigError, ModelError
from edge_sdk.outputs import replacing
from edge_sdk.tensors import Array

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
    work = _Sweep(told, Path(output), progress)
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
    """One sweep at work. What is known of a point stands in ``_stored`` by its key, or else why it could not be done in ``_failures``."""

    def __init__(self, told: Told, output: Path, progress: Progress) -> None:
        self._told, self._progress = told, progress
        self._versions = tool_versions()
        self._plan = make_plan(told, self._versions)
        self._store = Store(output)  # a wrong setting leaves no folder
        kept = {point.key: self._store.get(point.key) for point in self._plan.points}
        self._stored = {key: stored for key, stored in kept.items() if stored is not None}
        self._kept = len(self._stored)
        self._failures: dict[str, str] = {}
        self._warnings = list(self._plan.notes)

    def points(self, pool: Pool) -> None:
        """Do every point that is not there yet."""
        settings = {point.key: point.setting for point in self._plan.points}
        work = dict(self._work())
        self._progress("points", 0, len(work))
        for done, (key, outcome) in enumerate(do_all(work, pool), start=1):
            if isinstance(outcome, Done):
                self._keep(key, Stored(setting=settings[key], figures=outcome.figures), outcome.content)
            elif outcome.settled:
                self._keep(key, Stored(setting=settings[key], failure=outcome.reason), None)
            else:
                self._failures[key] = outcome.reason
            self._progress("points", done, len(work))

    def _keep(self, key: str, stored: Stored, content: bytes | None) -> None:
        self._store.put(key, stored, content)
        self._stored[key] = stored

    def _work(self) -> Iterator[tuple[str, tuple[Array, Job]]]:
        for number, model in enumerate(self._plan.models, start=1):
            todo = [point for point in self._plan.points if point.model is model and point.key not in self._stored]
            if not todo and self._store.model(model.key) is not None:
                continue
            try:
                prepared = self._prepare(model, todo, f"{number}/{len(self._plan.models)}")
            except ModelError as exc:
                self._failures |= {point.key: str(exc) for point in todo}
                continue
            content = np.frombuffer(
                prepared.model.content, np.uint8
            )  # the same object for all points: joblib keeps it once
            ranges: dict[tuple[str, str], Ranges | None] = {}
            for point in todo:
                which = point.recipe.scheme, point.setting.ranges
                if which not in ranges:
                    ranges[which] = prepared.ranges(point.recipe, point.setting.ranges)
                yield point.key, (content, self._job(point, ranges[which]))

    def _prepare(self, model: Model, todo: Sequence[Point], place: str) -> Prepared:
        def progress(step: str, done: int, total: int) -> None:
            self._progress(f"{step} {place}", done, total)

        progress("load", 0, 1)
        calibrate = any(point.recipe.integer for point in todo)
        prepared = prepare(model.path, model.shape, model.told, calibrate, progress)
        self._store.put_model(model.key, prepared.model.content)
        self._warnings += [warning for warning in prepared.warnings if warning not in self._warnings]
        return prepared

    def _job(self, point: Point, ranges: Ranges | None) -> Job:
        told = point.model.told
        return Job(
            recipe=point.recipe,
            ranges=ranges,
            contract=told.contract,
            task=told.task,
            labels=told.labels,
            compare=_absolute(told.data.holdout or str(told.data.data)),
            evaluate=told.evaluate.model_copy(update={"data": told.evaluate.data and _absolute(told.evaluate.data)}),
            max_samples=told.data.max_samples,
            versions=self._versions,
        )

    def finish(self) -> SweepResult:
        """Measure the latency of all, rank, and write."""
        plan, latency = self._plan, self._latency()
        ranking = ranked(
            [self._measured(point, latency) for point in plan.points], self._floats(latency), plan.boards, self._told
        )
        told = plan.models[0].told
        figures = SweepFigures(
            rows=ranking.rows,
            references=ranking.references,
            best=ranking.best,
            data=told.evaluate.data or told.data.holdout or str(told.data.data),
            labelled=told.evaluate.data is not None,
            calibration=str(told.data.data),
            runs=ROUNDS * RUNS,
            done=len(plan.points) - self._kept,
            kept=self._kept,
            left_out=plan.left_out,
            machine=this_machine(),
            versions=self._versions,
            warnings=(*self._warnings, *self._cautions()),
        )
        return _write(self._store.folder, figures)

    def _latency(self) -> dict[str, float]:
        keys = [model.key for model in self._plan.models]
        keys += [key for key, stored in self._stored.items() if stored.figures is not None]
        paths = {key: path for key in keys if (path := self._store.model(key)) is not None}
        return measure_latency(paths, lambda done, of: self._progress("latency", done, of))

    def _measured(self, point: Point, latency: Mapping[str, float]) -> Measured:
        stored = self._stored.get(point.key)
        if stored is None:
            return Measured(point.setting, None, self._failures[point.key], None)
        return Measured(point.setting, stored.figures, stored.failure, latency.get(point.key))

    def _floats(self, latency: Mapping[str, float]) -> list[FloatModel]:
        paths = [(model, self._store.model(model.key)) for model in self._plan.models]
        return [
            (str(model.path), model.shape, path.stat().st_size, latency[model.key])
            for model, path in paths
            if path is not None
        ]

    def _cautions(self) -> Iterator[str]:
        told = self._plan.models[0].told
        if told.evaluate.data is None and len(self._plan.models) > 1:
            yield _OWN_FLOAT
        if told.evaluate.data is None and told.data.holdout is None:
            yield _FLATTERS
        if self._plan.left_out:
            yield f"No named board runs what these recipes make, so they were left out: {', '.join(self._plan.left_out)}."


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
