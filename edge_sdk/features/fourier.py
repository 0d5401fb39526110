"""Fourier transforms of real signals, the same to the last bit everywhere: see ``edge_sdk.features.exact``."""

from __future__ import annotations

import numpy as np

from edge_sdk.features.exact import Floats, cosines, sines


class Fourier:
    """Transforms columns of ``points`` real numbers; a power of 2, at least 4.

    Even readings become real parts and odd ones imaginary parts of half as many complex numbers. These are transformed by Stockham's
    radix-2 algorithm (which needs no bit reversal), and taken apart by their symmetry. Real and imaginary parts are kept apart, as
    NumPy's complex product is one operation that a compiler may fuse.
    """

    def __init__(self, points: int) -> None:
        self.points = points
        self._cos, self._sin = cosines(points), sines(points)

    def power(self, columns: Floats) -> Floats:
        """|X|^2 of each column: (points, count) to (points / 2 + 1, count)."""
        re, im = self._half(columns[0::2], columns[1::2])
        back = np.arange(len(re), -1, -1) % len(re)
        a, b = (np.concatenate([part, part[:1]]) for part in (re, im))
        c, d = re[back], im[back]
        even_re, even_im = (a + c) / 2, (b - d) / 2
        odd_re, odd_im = (b + d) / 2, (c - a) / 2
        cos, sin = (table[: self.points // 2 + 1, None] for table in (self._cos, self._sin))
        x_re = even_re + (cos * odd_re + sin * odd_im)
        x_im = even_im + (cos * odd_im - sin * odd_re)
        power: Floats = x_re * x_re + x_im * x_im
        return power

    def _half(self, re: Floats, im: Floats) -> tuple[Floats, Floats]:
        """The complex transform of half as many points, along the first axis."""
        total, count = re.shape
        n, s = total, 1
        while n > 1:
            m = n // 2
            cos, sin = (table[:: self.points // n][:m, None, None] for table in (self._cos, self._sin))
            re, im = re.reshape(n, s, count), im.reshape(n, s, count)
            out_re, out_im = np.empty((m, 2, s, count)), np.empty((m, 2, s, count))
            np.add(re[:m], re[m:], out=out_re[:, 0])
            np.add(im[:m], im[m:], out=out_im[:, 0])
            less_re, less_im = re[:m] - re[m:], im[:m] - im[m:]
            np.add(cos * less_re, sin * less_im, out=out_re[:, 1])
            np.subtract(cos * less_im, sin * less_re, out=out_im[:, 1])
            re, im, n, s = out_re, out_im, m, 2 * s
        return re.reshape(total, count), im.reshape(total, count)
