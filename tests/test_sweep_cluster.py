"""A sweep on a real dask cluster: the same result as here, whatever dies in the middle, and one clear error when it is gone."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from converters.sweep.run import SweepResult, sweep
from edge_sdk.errors import ClusterError
from tests.dask_cluster import Cluster
from tests.sweep_settings import Small, make_small
from tests.test_sweep import essence, in_threads, told_of

pytest.importorskip("distributed", reason="a cluster needs dask: pip install 'edge-device-sdk[sweep]'")
pytestmark = pytest.mark.slow


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return make_small(tmp_path, 8)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with closing(Cluster(tmp_path, 2)) as cluster:
        yield cluster


def on(cluster: Cluster, small: Small, at_first: Callable[[], None] = lambda: None) -> SweepResult:
    """Sweep on the cluster; ``at_first`` is called when the first point has come back."""

    def progress(step: str, done: int, total: int) -> None:
        if step == "points" and done == 1:
            at_first()

    return sweep(
        told_of(small), output=small.folder / "cluster", backend="dask", scheduler=cluster.address, progress=progress
    )


def test_a_cluster_gives_the_same_as_this_machine(small: Small, cluster: Cluster) -> None:
    assert essence(on(cluster, small).figures) == essence(in_threads(small).figures)


def test_a_worker_killed_in_the_middle_changes_nothing(small: Small, cluster: Cluster) -> None:
    result = on(cluster, small, at_first=cluster.workers[0].kill)
    assert cluster.workers[0].wait() == -signal.SIGKILL
    assert all(row.failure is None for row in result.figures.rows)
    assert essence(result.figures) == essence(in_threads(small).figures)


def test_a_scheduler_killed_in_the_middle_is_one_error_and_the_rest_is_done_later(
    small: Small, cluster: Cluster
) -> None:
    with pytest.raises(ClusterError, match=r"went away.*What was done is kept"):
        on(cluster, small, at_first=cluster.scheduler.kill)
    kept = len(list((small.folder / "cluster" / "points").glob("[!.]*.json")))
    assert kept >= 1
    figures = sweep(told_of(small), output=small.folder / "cluster", backend="threading", jobs=2).figures
    assert (figures.kept, figures.done) == (kept, 8 - kept)


@pytest.mark.parametrize("gone", ["workers", "scheduler"])
def test_a_cluster_that_does_no_more_is_one_error_in_time(
    small: Small, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    monkeypatch.setattr("converters.sweep.dask_backend.SILENT_S", 3.0)

    def at_first() -> None:
        if gone == "workers":
            for worker in cluster.workers:
                worker.kill()
        else:
            os.kill(cluster.scheduler.pid, signal.SIGSTOP)  # there, and silent

    started = time.monotonic()
    said = "it has no worker left" if gone == "workers" else "it does not answer"
    with pytest.raises(ClusterError, match=said):
        on(cluster, small, at_first=at_first)
    assert time.monotonic() - started < 60


def test_no_scheduler_is_said_in_time(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("converters.sweep.cluster.CONNECT_S", 1.0)
    with pytest.raises(ClusterError, match=r"no dask scheduler answers at tcp://127\.0\.0\.1:9 within 1 s"):
        sweep(told_of(small), output=small.folder / "sweep", backend="dask", scheduler="tcp://127.0.0.1:9")


def test_a_scheduler_without_workers_is_said_in_time(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("converters.sweep.dask_backend.SILENT_S", 1.0)
    with (
        closing(Cluster(tmp_path, 0)) as cluster,
        pytest.raises(ClusterError, match=r"has no worker.*dask worker tcp://"),
    ):
        on(cluster, small)
