"""Frames of a window, and their spectra."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from edge_sdk.features.exact import Floats, cosines
from edge_sdk.features.fourier import Fourier
from edge_sdk.features.settings import FrameSettings
from edge_sdk.window_settings import WindowSettings


class Frames:
    """Cuts a window into frames and transforms them.

    Attributes:
        shape: (frames, channels).
        bins: of a spectrum: fft_length / 2 + 1.
    """

    def __init__(self, settings: FrameSettings, window: WindowSettings) -> None:
        self._settings = settings
        self.shape = settings.frames(window), len(window.channels)
        self.bins = settings.points // 2 + 1
        self._taper = taper(settings.window_function, settings.frame_length, symmetric=settings.symmetric)
        self._fourier = Fourier(settings.points, self.shape[0] * self.shape[1])
        self._columns = np.zeros((settings.points, *self.shape))

    def spectra(self, window: Floats) -> Floats:
        """Power or magnitude of each frame of each channel: (length, channels) to (bins, frames * channels)."""
        settings = self._settings
        if settings.preemphasis:
            window = np.concatenate([window[:1], window[1:] - settings.preemphasis * window[:-1]])
        if settings.padding != "none":
            half = settings.points // 2
            window = np.pad(window, ((half, half), (0, 0)), "constant" if settings.padding == "zero" else "reflect")
        frames = sliding_window_view(window, settings.frame_length, axis=0)[:: settings.frame_hop]
        np.multiply(frames.transpose(2, 0, 1), self._taper[:, None, None], out=self._columns[: settings.frame_length])
        power = self._fourier.power(self._columns.reshape(settings.points, -1))
        return np.sqrt(power) if settings.spectrum == "magnitude" else power

    def arranged(self, values: Floats) -> Floats:
        """(values, frames * channels) to (frames, values), with the channels behind where there are several."""
        frames, channels = self.shape
        arranged = values.reshape(len(values), frames, channels).transpose(1, 0, 2)
        return arranged[:, :, 0] if channels == 1 else arranged


def framed_shape(settings: FrameSettings, values: int, window: WindowSettings) -> tuple[int, ...]:
    """The shape of ``Frames.arranged``."""
    channels = len(window.channels)
    return (settings.frames(window), values) + ((channels,) if channels > 1 else ())


def taper(name: str, length: int, *, symmetric: bool) -> Floats:
    """A window function, (length,): a - (1 - a) cos(2 pi t / n), with a = 0.5 (Hann) or 0.54 (Hamming).

    n is ``length`` of periodic ones (those of TensorFlow, torch and librosa) and ``length`` - 1 of symmetric ones (those of NumPy).
    """
    if name == "rectangular":
        return np.ones(length)
    a = 0.5 if name == "hann" else 0.54
    period = max(1, length - 1) if symmetric else length
    cosine = cosines(period)[np.arange(length) % period]
    return a - (1 - a) * cosine
