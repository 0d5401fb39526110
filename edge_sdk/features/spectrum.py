"""Spectra of frames."""

from __future__ import annotations

from edge_sdk.features import Features
from edge_sdk.features.exact import Floats, logarithm
from edge_sdk.features.frames import Frames, framed_shape
from edge_sdk.features.settings import SpectrumSettings
from edge_sdk.window_settings import WindowSettings


class Spectrum(Features):
    """See ``SpectrumSettings``."""

    def __init__(self, settings: SpectrumSettings, window: WindowSettings) -> None:
        self._settings = settings
        self._frames = Frames(settings, window)
        self.shape = framed_shape(settings, self._frames.bins, window)

    def _of(self, window: Floats) -> Floats:
        settings = self._settings
        spectra = self._frames.spectra(window)
        if settings.log is not None:
            spectra = logarithm(spectra, settings.log, settings.log_floor, settings.log_offset)
        return self._frames.arranged(spectra)
