"""Workers: the points of a sweep, done through joblib by processes of this machine, threads, or a dask cluster.

A worker that dies takes no other point with it. Which one killed it is found by doing those that it, or another worker at the same
time, was at once more, one alone at a time.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from converters.sweep.figures import PointFigures
from converters.sweep.point import Job, measure
from edge_sdk.errors import EdgeSdkError, ModelError, needs
from edge_sdk.tensors import Array

_LOOK_S = 1.0
Backend = Literal["loky", "threading", "dask"]
Work = Mapping[str, tuple[Array, Job]]
"""Float model (uint8) and job, by the point's key."""


@dataclass(frozen=True)
class Done:
    """A point's figures and its .tflite."""

    figures: PointFigures
    content: bytes


@dataclass(frozen=True)
class Failed:
    """Why a point has no figures; ``settled`` says that it would be no other another time."""

    reason: str
    settled: bool


@dataclass(frozen=True)
class Died:
    """A worker died at the point; ``how`` is what is known of it."""

    how: str


Outcome = Done | Failed


def attempt(key: str, content: Array | bytes, job: Job, marks: str | None) -> tuple[str, Outcome]:
    """One point, in a worker: whatever goes wrong is told, and ends this point alone.

    Args:
        key: of the point.
        content, job: see ``measure``.
        marks: a folder in which to leave a mark that it was begun, or None.
    """
    if marks is not None:
        Path(marks, key).touch()
    try:
        return key, Done(*measure(content, job))
    except ModelError as exc:
        return key, Failed(str(exc), settled=True)
    except EdgeSdkError as exc:  # of this worker or the data: another time it may be otherwise
        return key, Failed(str(exc), settled=False)
    except MemoryError:
        return key, Failed("there is not enough memory for it beside the others; give fewer --jobs", settled=False)
    except Exception as exc:  # noqa: BLE001 - a library may raise anything, and hours of other points must not go with it
        return key, Failed(f"{type(exc).__name__}: {exc}", settled=False)


class Pool(Protocol):
    """Workers of one kind."""

    def results(self, work: Work, *, alone: bool = False) -> Iterator[tuple[str, Outcome | Died]]:
        """Every point's outcome, as they come.

        Args:
            work: to do.
            alone: one at a time.

        Raises:
            ClusterError: if the cluster cannot do the work.
        """


def do_all(work: Work, pool: Pool) -> Iterator[tuple[str, Outcome]]:
    """Every point's outcome, as they come; one whose worker died is done once more, alone.

    Raises:
        ClusterError: if the cluster cannot do the work.
    """
    waiting, suspects = dict(work), []
    while waiting:
        for key, outcome in pool.results(dict(waiting)):
            del waiting[key]
            if isinstance(outcome, Died):
                suspects.append(key)
            else:
                yield key, outcome
    for suspect in suspects:
        for key, outcome in pool.results({suspect: work[suspect]}, alone=True):
            if isinstance(outcome, Died):
                yield (
                    key,
                    Failed(f"killed its worker, twice, the second time alone there ({outcome.how})", settled=False),
                )
            else:
                yield key, outcome


class LocalPool:
    """Processes (``loky``) or threads of this machine. Threads do not survive what kills a process.

    Args:
        backend: which.
        jobs: how many.
    """

    def __init__(self, backend: Literal["loky", "threading"], jobs: int) -> None:
        self._backend, self._jobs = backend, jobs

    def results(self, work: Work, *, alone: bool = False) -> Iterator[tuple[str, Outcome | Died]]:
        """See ``Pool``. Ends early, with some points not done, when a process has died and the pool with it."""
        jobs = 1 if alone else self._jobs
        left = set(work)
        with tempfile.TemporaryDirectory(prefix="edge-sdk-sweep-") as marks:
            calls = ((key, content, job, marks) for key, (content, job) in work.items())
            try:
                for key, outcome in run(calls, in_flight=jobs, **self._config(jobs)):
                    left.discard(key)
                    yield key, outcome
            except BrokenProcessPool as exc:
                begun = [key for key in work if key in left and Path(marks, key).exists()]
                for key in begun:
                    yield key, Died(_first_sentence(exc))
                if not begun:
                    raise

    def _config(self, jobs: int) -> dict[str, object]:
        if self._backend == "threading":
            return {"backend": "threading", "n_jobs": jobs}
        # with one job joblib works in this process, which a model must not be able to kill: two are asked for, and one is used
        shared = {"inner_max_num_threads": 1, "initializer": _begin, "initargs": (os.getpid(),)}
        return {"backend": "loky", "n_jobs": max(2, jobs), **shared}


def _begin(parent: int) -> None:
    """In a new worker: one thread for pictures too, and end when the sweep has ended.

    A sweep that was killed can tell its workers nothing, and loky's wait for minutes.
    """
    with needs("cv2", for_="a sweep", extra="convert"):
        import cv2

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_S)
        os._exit(1)

    cv2.setNumThreads(1)
    threading.Thread(target=watch, name="edge-sdk-parent", daemon=True).start()


def run(calls: Iterable[tuple[Any, ...]], *, in_flight: int | str, **config: Any) -> Iterator[tuple[str, Any]]:
    """``attempt`` over calls through joblib, results as they come.

    Args:
        calls: its arguments.
        in_flight: how many are with the workers at a time, or ``"all"``.
        config: of ``joblib.parallel_config``.
    """
    with needs("joblib", for_="a sweep", extra="sweep"):
        import joblib
    with joblib.parallel_config(**config):
        parallel = joblib.Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch=in_flight)
        with contextlib.closing(parallel(joblib.delayed(attempt)(*call) for call in calls)) as results:
            yield from results


def _first_sentence(exc: BaseException) -> str:
    return str(exc).partition(". ")[0].strip()
