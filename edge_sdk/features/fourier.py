"""Fourier transforms of real signals, the same to the last bit everywhere: see ``edge_sdk.features.exact``."""

from __future__ import annotations

import numpy as np

from edge_sdk.features.exact import Floats, cosines, sines


class Fourier:
    """Transforms ``count`` columns of ``points`` real numbers; a power of 2, at least 4. Keeps its buffers: one for one thread.

    Even readings become real parts and odd ones imaginary parts of half as many complex numbers. These are transformed by Stockham's
    radix-2 algorithm (which needs no bit reversal), and taken apart by their symmetry. Real and imaginary parts are kept apart, as
    NumPy's complex product is one operation that a compiler may fuse.
    """

    def __init__(self, points: int, count: int) -> None:
        self.points, self.count = points, count
        self._cos, self._sin = cosines(points), sines(points)
        half = points // 2
        self._parts = np.empty((2, 2, half, count))  # two to change between, each real and imaginary
        self._work = np.empty((7, half, count))
        self._back = np.arange(half, 0, -1) % half

    def power(self, columns: Floats) -> Floats:
        """|X|^2 of each column: (points, count) to (points / 2 + 1, count)."""
        self._parts[0, 0], self._parts[0, 1] = columns[0::2], columns[1::2]
        a, b = self._half()
        c, d, even_re, odd_re, x_re, x_im, other = self._work
        np.take(a, self._back, axis=0, out=c, mode="clip")
        np.take(b, self._back, axis=0, out=d, mode="clip")
        np.add(a, c, out=even_re)  # twice the transform of the even readings, and of the odd ones
        np.add(b, d, out=odd_re)
        even_im, odd_im = np.subtract(b, d, out=d), np.subtract(c, a, out=c)
        cos, sin = (table[: self.points // 2, None] for table in (self._cos, self._sin))
        np.add(np.multiply(cos, odd_re, out=x_re), np.multiply(sin, odd_im, out=other), out=x_re)
        np.add(even_re, x_re, out=x_re)
        np.subtract(np.multiply(cos, odd_im, out=x_im), np.multiply(sin, odd_re, out=other), out=x_im)
        np.add(even_im, x_im, out=x_im)
        power = np.empty((len(a) + 1, self.count))
        np.add(np.multiply(x_re, x_re, out=x_re), np.multiply(x_im, x_im, out=x_im), out=power[:-1])
        power[:-1] *= 0.25
        power[-1] = (a[0] - b[0]) * (a[0] - b[0])
        return power

    def _half(self) -> Floats:
        """The complex transform, along the first axis, of half as many points: of the first buffer."""
        n, s = self.points // 2, 1
        now, then = self._parts
        while n > 1:
            m = n // 2
            cos, sin = (table[:: self.points // n][:m, None, None] for table in (self._cos, self._sin))
            (re, im), (out_re, out_im) = now.reshape(2, n, s, self.count), then.reshape(2, m, 2, s, self.count)
            less_re, less_im, one, other = self._work[:4, : m * s].reshape(4, m, s, self.count)
            np.add(re[:m], re[m:], out=out_re[:, 0])
            np.add(im[:m], im[m:], out=out_im[:, 0])
            np.subtract(re[:m], re[m:], out=less_re)
            np.subtract(im[:m], im[m:], out=less_im)
            np.add(np.multiply(cos, less_re, out=one), np.multiply(sin, less_im, out=other), out=out_re[:, 1])
            np.subtract(np.multiply(cos, less_im, out=one), np.multiply(sin, less_re, out=other), out=out_im[:, 1])
            now, then, n, s = then, now, m, 2 * s
        return now
