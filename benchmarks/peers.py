"""MediaPipe's ImageClassifier in an environment of its own, asked block by block over a pipe."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.blocks import Seconds
from benchmarks.environments import mediapipe_python
from edge_sdk.tensors import Array

_PEER = Path(__file__).parent / "elsewhere" / "mediapipe_peer.py"


class MediaPipe:
    """A context manager; the process waits for its next block and uses no processor meanwhile.

    Args:
        model: a uint8 classifier with metadata.
        frame: (height, width, 3) uint8, BGR, classified over and over.
    """

    def __init__(self, model: Path, frame: Array) -> None:
        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name) / "frame.npy"
        np.save(path, frame)
        self._command = [str(mediapipe_python()), str(_PEER), str(model), str(path)]
        self._peer = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.classify()  # what it starts and ends while it starts is over by then

    def __enter__(self) -> MediaPipe:
        return self

    def __exit__(self, *_: object) -> None:
        self._peer.communicate()
        self._folder.cleanup()

    def block(self, runs: int) -> Seconds:
        """Classify so many times; each one's seconds, measured over there."""
        return np.array(self._ask(runs)["seconds"])

    def classify(self) -> list[int]:
        """The best three classes, the best first."""
        return [int(index) for index in self._ask(1)["best"]]

    def _ask(self, runs: int) -> dict[str, list[float]]:
        assert self._peer.stdin is not None and self._peer.stdout is not None
        print(runs, file=self._peer.stdin, flush=True)
        answer = self._peer.stdout.readline()
        if not answer:
            raise SystemExit(f"{' '.join(self._command)} ended; run it by hand to see why")
        found: dict[str, list[float]] = json.loads(answer)
        return found
