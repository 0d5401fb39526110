"""The features of micro wake words: TensorFlow Lite Micro's audio frontend, which goes on from one window to the next."""

from __future__ import annotations

import numpy as np

from edge_sdk.errors import needs
from edge_sdk.features import Features
from edge_sdk.features.exact import Floats
from edge_sdk.features.settings import MicroFrontendSettings
from edge_sdk.window_settings import WindowSettings

STEP = 160  # readings from one frame to the next, 10 ms
_OVERLAP = 2 * STEP  # a frame has 480, 30 ms
_FULL_SCALE = 32_768
_SILENCE = bytes(2 * STEP)


class MicroFrontend(Features):
    """See ``MicroFrontendSettings``. Integers throughout, so the same bits on every machine; 7 us a frame on x86-64.

    A stream begins with 20 ms of silence, so that its first window has as many frames as every other one.
    """

    stateful = True

    def __init__(self, settings: MicroFrontendSettings, window: WindowSettings) -> None:
        with needs("pymicro_features", for_="features of kind micro-frontend", extra="wake-word"):
            from pymicro_features import MicroFrontend as Frontend
        self.shape = window.length // STEP, settings.bands
        self._frontend = Frontend()
        self.reset()

    def reset(self) -> None:
        """See the base class."""
        self._frontend.reset()
        for _ in range(_OVERLAP // STEP):
            self._frontend.process_samples(_SILENCE)

    def _of(self, window: Floats) -> Floats:
        counts = np.clip(np.rint(window[:, 0] * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1).astype("<i2")
        steps = (counts[start : start + STEP].tobytes() for start in range(0, len(counts), STEP))
        return np.array([self._frontend.process_samples(step).features for step in steps])
