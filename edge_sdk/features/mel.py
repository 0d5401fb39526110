"""Mel bands: triangles over a spectrum.

HTK's scale is mel = 2595 log10(1 + f / 700) (Young et al., The HTK Book). Slaney's (Auditory Toolbox, 1998) is 3 f / 200 up to 1 kHz, and
from there 15 + 27 ln(f / 1000) / ln 6.4. They are computed in decimal numbers: see ``edge_sdk.features.exact``.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import lru_cache

import numpy as np

from edge_sdk.features.exact import DIGITS, Floats
from edge_sdk.features.settings import MelSettings
from edge_sdk.window_settings import WindowSettings

_KNEE_HZ, _KNEE_MEL, _STEPS = Decimal(1_000), Decimal(15), Decimal(27)


class MelBands:
    """Sums a spectrum's bins under each triangle, over the bins that it covers only."""

    def __init__(self, settings: MelSettings, window: WindowSettings) -> None:
        weights = triangles(settings, window.rate_hz)
        covered = [np.flatnonzero(row) for row in weights]
        first = np.array([row[0] if row.size else 0 for row in covered])
        width = max((int(row[-1] - row[0]) + 1 for row in covered if row.size), default=1)
        self._bins = np.minimum(np.arange(width)[:, None] + first, weights.shape[1] - 1)  # (width, mel_bins)
        inside = np.arange(width)[:, None] + first < weights.shape[1]
        self._weights = np.where(inside, weights[np.arange(len(weights)), self._bins], 0.0)

    def of(self, spectra: Floats) -> Floats:
        """(bins, columns) to (mel_bins, columns); added up from the lowest bin to the highest."""
        total = np.zeros((self._bins.shape[1], spectra.shape[1]))
        for bins, weights in zip(self._bins, self._weights, strict=True):
            total += spectra[bins] * weights[:, None]
        return total


@lru_cache(maxsize=8)
def triangles(settings: MelSettings, rate_hz: float) -> Floats:
    """Weights (mel_bins, bins), from 0 to 1, or of area 1."""
    count, points = settings.mel_bins, settings.points
    with localcontext() as context:
        context.prec = DIGITS
        low, high = (_to_mel(Decimal(hz), settings.mel_scale) for hz in (settings.low_hz, settings.high_hz))
        edge_mels = [low + (high - low) * i / (count + 1) for i in range(count + 2)]
        edges_hz = np.array([float(_to_hz(mel, settings.mel_scale)) for mel in edge_mels])
        bins_hz = [Decimal(rate_hz) * k / points for k in range(points // 2 + 1)]
        over_mel = settings.mel_triangles == "mel"
        bins = np.array([float(_to_mel(hz, settings.mel_scale) if over_mel else hz) for hz in bins_hz])
        edges = np.array([float(mel) for mel in edge_mels]) if over_mel else edges_hz
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    weights: Floats = np.maximum(0.0, np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre)))
    if settings.mel_norm == "slaney":
        weights *= (2.0 / (edges_hz[2:] - edges_hz[:-2]))[:, None]
    return weights


def _to_mel(hz: Decimal, scale: str) -> Decimal:
    if scale == "htk":
        return 2595 * (1 + hz / 700).log10()
    if hz < _KNEE_HZ:
        return 3 * hz / 200
    return _KNEE_MEL + _STEPS * (hz / _KNEE_HZ).ln() / Decimal("6.4").ln()


def _to_hz(mel: Decimal, scale: str) -> Decimal:
    if scale == "htk":
        return 700 * (Decimal(10) ** (mel / 2595) - 1)
    if mel < _KNEE_MEL:
        return 200 * mel / 3
    return _KNEE_HZ * ((mel - _KNEE_MEL) * Decimal("6.4").ln() / _STEPS).exp()
