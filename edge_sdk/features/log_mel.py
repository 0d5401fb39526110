"""Logarithms of mel bands."""

from __future__ import annotations

from edge_sdk.features import Features
from edge_sdk.features.exact import Floats, logarithm
from edge_sdk.features.frames import Frames, framed_shape
from edge_sdk.features.mel import MelBands
from edge_sdk.features.settings import MelSettings
from edge_sdk.window_settings import WindowSettings


class LogMel(Features):
    """See ``LogMelSettings``.

    Attributes:
        frames: of the window.
    """

    def __init__(self, settings: MelSettings, window: WindowSettings) -> None:
        self._settings = settings
        self.shape = framed_shape(settings, settings.mel_bins, window)
        self.frames = Frames(settings, window)
        self._bands = MelBands(settings, window)

    def bands(self, window: Floats) -> Floats:
        """Logarithms, (mel_bins, frames * channels)."""
        settings = self._settings
        bands = self._bands.of(self.frames.spectra(window))
        return logarithm(bands, settings.log, settings.log_floor, settings.log_offset)

    def _of(self, window: Floats) -> Floats:
        return self.frames.arranged(self.bands(window))
