"""Features of windows, computed by the same code on the workstation and on the device, and equal there to the last bit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module

import numpy as np
import numpy.typing as npt

from edge_sdk.features.settings import FeatureSettings
from edge_sdk.window_settings import WindowSettings

_KINDS = {
    "log-mel": "edge_sdk.features.log_mel:LogMel",
    "mfcc": "edge_sdk.features.mfcc:Mfcc",
    "micro-frontend": "edge_sdk.features.micro_frontend:MicroFrontend",
    "spectrum": "edge_sdk.features.spectrum:Spectrum",
    "statistics": "edge_sdk.features.statistics:Statistics",
}


class Features(ABC):
    """What is computed of a window. May keep buffers: one for one thread.

    Attributes:
        shape: of the result.
        stateful: what came before a window takes part in its features, until ``reset``.
    """

    shape: tuple[int, ...]
    stateful: bool = False

    def __call__(self, window: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """The features of a window (length, channels) of finite numbers. Computed in float64, rounded once."""
        return self._of(window).astype(np.float32)

    def reset(self) -> None:  # noqa: B027 - most features are of a window alone
        """Forget what came before: a new stream begins."""

    @abstractmethod
    def _of(self, window: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]: ...


def features_from(settings: FeatureSettings, window: WindowSettings) -> Features:
    """The features that a contract states, of its windows."""
    module, _, name = _KINDS[settings.kind].partition(":")
    made: Features = getattr(import_module(module), name)(settings, window)
    return made
