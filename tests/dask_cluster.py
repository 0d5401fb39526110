"""A real dask cluster on loopback: a scheduler and workers, each a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.sweep_settings import ROOT


class Cluster:
    """Starts a scheduler, and ``workers`` workers of one thread without a nanny; ``close`` kills what is left of them.

    Attributes:
        address: of the scheduler.
        scheduler, workers: their processes.
    """

    def __init__(self, folder: Path, workers: int) -> None:
        self._folder = folder
        self.workers: list[subprocess.Popen[str]] = []
        self.scheduler, line = self._start("Scheduler at:", "scheduler", "--host", "127.0.0.1", "--port", "0")
        self.address = line.split()[-1]
        self.workers += [self._start("Registered to:", *self._worker())[0] for _ in range(workers)]

    def _worker(self) -> list[str]:
        return ["worker", self.address, "--nthreads", "1", "--no-nanny", "--local-directory", str(self._folder)]

    def _start(self, ready: str, *words: str) -> tuple[subprocess.Popen[str], str]:
        """Start a process, and wait until it says ``ready``; returns that line too."""
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *words, "--no-dashboard"],
            cwd=self._folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            if ready in line:
                return process, line
            said += line
        raise AssertionError(f"dask {' '.join(words)} ended: {said}")

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.communicate()
