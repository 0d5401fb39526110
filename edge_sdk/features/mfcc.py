"""Mel-frequency cepstral coefficients."""

from __future__ import annotations

import math

import numpy as np

from edge_sdk.features import Features
from edge_sdk.features.exact import Floats, cosines, sines
from edge_sdk.features.frames import framed_shape
from edge_sdk.features.log_mel import LogMel
from edge_sdk.features.settings import MfccSettings
from edge_sdk.window_settings import WindowSettings


class Mfcc(Features):
    """See ``MfccSettings``."""

    def __init__(self, settings: MfccSettings, window: WindowSettings) -> None:
        self.shape = framed_shape(settings, settings.coefficients, window)
        self._log_mel = LogMel(settings, window)
        weights = dct(settings.mel_bins, settings.coefficients)
        if settings.lifter:
            weights = weights * lifter(settings.lifter, settings.coefficients)
        self._weights = weights[:, :, None]

    def _of(self, window: Floats) -> Floats:
        bands = self._log_mel.bands(window)
        total = np.zeros((self._weights.shape[1], bands.shape[1]))
        for weights, band in zip(self._weights, bands, strict=True):
            total += weights * band
        return self._log_mel.frames.arranged(total)


def dct(count: int, coefficients: int) -> Floats:
    """The orthonormal DCT-II, (count, coefficients): sqrt(2 / count) cos(pi n (2 k + 1) / (2 count)), of n = 0 divided by sqrt(2)."""
    k, n = np.arange(count)[:, None], np.arange(coefficients)
    weights: Floats = cosines(4 * count)[n * (2 * k + 1) % (4 * count)] * math.sqrt(2 / count)
    weights[:, 0] = math.sqrt(1 / count)
    return weights


def lifter(length: int, coefficients: int) -> Floats:
    """1 + length / 2 sin(pi n / length), n = 0 .. coefficients - 1 (The HTK Book, 5.3)."""
    return 1 + length / 2 * sines(4 * length)[2 * np.arange(coefficients) % (4 * length)]
