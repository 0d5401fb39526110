"""A dask cluster as workers."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from typing import Any

from converters.sweep.workers import Died, Outcome, Work, run
from edge_sdk.errors import ClusterError, ConfigError, needs

CONNECT_S = 10.0
_ADDRESS = re.compile(r"(?:\w+://)?[^/\s]+:\d+")
_MOST_BYTES = 1_000_000_000  # of models that the scheduler holds at a time


class DaskPool:
    """The workers of a scheduler. A point whose worker dies goes to another one; dask itself gives it up after several deaths (its
    ``distributed.scheduler.allowed-failures``, 3 unless it was told otherwise).

    Args:
        address: of the scheduler.
        client: connected to it.
    """

    def __init__(self, address: str, client: Any) -> None:
        self._address, self._client = address, client

    def results(self, work: Work, *, alone: bool = False) -> Iterator[tuple[str, Outcome | Died]]:
        """See ``Pool``."""
        from converters.sweep.dask_backend import DaskBackend

        # as bytes the model travels with the work; joblib would leave an array with one worker, and it would die with that one
        calls = ((key, bytes(content), job, None) for key, (content, job) in work.items())
        largest = max(content.nbytes for content, _ in work.values())
        in_flight = 1 if alone else max(2, _MOST_BYTES // largest)
        try:
            yield from run(calls, in_flight=in_flight, backend=DaskBackend(self._address, self._client))
        except (OSError, TimeoutError) as exc:
            raise ClusterError(
                f"the scheduler {self._address} has no worker, or went away ({type(exc).__name__}). Start a worker with: dask worker "
                f"{self._address} --nthreads 1"
            ) from exc


@contextlib.contextmanager
def connect(address: str) -> Iterator[DaskPool]:
    """The cluster of a scheduler.

    Args:
        address: such as ``"tcp://10.0.0.5:8786"``.

    Raises:
        MissingPackageError: if joblib or dask is not installed.
        ConfigError: if the address is none.
        ClusterError: if no scheduler answers there within 10 s.
    """
    with needs("joblib", for_="a sweep", extra="sweep"):
        import joblib  # noqa: F401 - said now, not after the models are loaded
    with needs("distributed", for_="a sweep on a cluster", extra="sweep"):
        import dask
        from distributed import Client
    if not _ADDRESS.fullmatch(address):
        raise ConfigError(f"--scheduler {address!r} is no address; give its host and port, such as tcp://10.0.0.5:8786")
    dask.config.set({"distributed.admin.large-graph-warning-threshold": "100 GB"})  # models do travel with the work
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters of it is told as an error of ours
    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as exc:
        raise ClusterError(
            f"no dask scheduler answers at {address} within {CONNECT_S:g} s ({type(exc).__name__}). Start one with: dask scheduler; "
            "and check the address and the firewall"
        ) from exc
    try:
        yield DaskPool(address, client)
    finally:
        with contextlib.suppress(OSError, TimeoutError):  # it went away: there is nobody to take leave of
            client.close(timeout=CONNECT_S)
