"""joblib's dask backend, and what it lacks for work that nobody watches.

It waits for ever when a task ends in an error of dask's own, the scheduler goes away or no worker is left. Here each of these comes back:
as that point's outcome, or as one clear error within a time limit. Import this module where joblib and distributed are known to be there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from distributed import KilledWorker
from joblib._dask import DaskDistributedBackend

from converters.sweep.workers import Died
from edge_sdk.errors import ClusterError

SILENT_S = 30.0
"""How long the scheduler may be silent, or be without a worker, before the sweep ends."""
_LOOK_S = 1.0
_Callback = Callable[[object], None]


@dataclass(frozen=True)
class _Lost:
    """What a task ended in that is not the work's own outcome; ``key`` is the point's."""

    key: str
    error: BaseException


class DaskBackend(DaskDistributedBackend):  # type: ignore[misc]
    """For calls whose first argument is the point's key, one a batch.

    Args:
        address: of the scheduler, for messages.
        client: connected to it.
    """

    def __init__(self, address: str, client: Any) -> None:
        super().__init__(client=client, wait_for_workers_timeout=SILENT_S)
        self._address = address
        self._out: dict[Future[Any], tuple[str, _Callback]] = {}
        self._stop = threading.Event()

    def effective_n_jobs(self, n_jobs: int) -> int:
        """Threads of the cluster's workers, 2 at least: with one joblib does the work itself, in this process."""
        return max(2, int(super().effective_n_jobs(n_jobs)))

    def start_call(self) -> None:
        """Begin to watch the cluster."""
        super().start_call()
        threading.Thread(target=self._watch, name="edge-sdk-cluster", daemon=True).start()

    def stop_call(self) -> None:
        """Watch it no more."""
        self._stop.set()
        super().stop_call()

    def submit(self, func: Any, callback: _Callback) -> Any:
        """Also calls ``callback`` when the task ends in an error of dask's."""
        key = func.items[0][1][0]
        future = super().submit(func, callback)
        self._out[future] = key, callback
        future.add_done_callback(self._ended)
        return future

    def retrieve_result_callback(self, out: Any) -> Any:
        """The batch's results.

        Raises:
            ClusterError: if the cluster went away, or its workers cannot do the work.
        """
        if isinstance(out, BaseException):  # how dask gives back a task that the scheduler has forgotten
            raise self._gone(type(out).__name__)
        if not isinstance(out, _Lost):
            return super().retrieve_result_callback(out)
        if isinstance(out.error, KilledWorker):
            return [(out.key, Died("given up by the scheduler"))]
        if isinstance(out.error, ClusterError):
            raise out.error
        raise ClusterError(
            f"the workers of {self._address} cannot do the work: {type(out.error).__name__}: {out.error}. Each needs the same "
            "edge-device-sdk[convert,sweep] as this machine"
        ) from out.error

    def _ended(self, future: Future[Any]) -> None:
        key, callback = self._out.pop(future)
        if (error := future.exception()) is not None:
            callback(_Lost(key, error))

    def _watch(self) -> None:
        good = time.monotonic()
        while not self._stop.wait(_LOOK_S):
            trouble = self._trouble()
            if trouble is None:
                good = time.monotonic()
            elif time.monotonic() - good > SILENT_S:
                for key, callback in list(self._out.values()):
                    callback(_Lost(key, self._gone(trouble)))
                return

    def _trouble(self) -> str | None:
        if self.client.status != "running":
            return "the connection is lost"
        try:
            workers = self.client.sync(self.client.scheduler.ncores, callback_timeout=SILENT_S / 3)
        except (OSError, TimeoutError, AttributeError) as exc:  # the last where the client closes in between
            return f"it does not answer ({type(exc).__name__})"
        return None if workers else "it has no worker left"

    def _gone(self, how: str) -> ClusterError:
        return ClusterError(
            f"the cluster of {self._address} went away: {how}. What was done is kept: run the same command when it is back"
        )
