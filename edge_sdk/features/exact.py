"""Arithmetic that gives the same bits on every processor, with every NumPy and C library.

Sine, cosine, exponential and logarithm do not: they are vectorised differently from one processor to the next. FFT and matrix libraries
differ in order and in fused multiply-add. Features are therefore made of what IEEE 754 defines to the last bit, one operation a ufunc (sum,
product, quotient, square root, ``frexp``), over tables that are computed in decimal numbers of 40 digits and then rounded once.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

DIGITS = 40
_PI = Decimal("3.14159265358979323846264338327950288419716939937510582")
_LN2_HIGH = 0.693147180369123816490  # its last 32 bits are 0: its product with an exponent is exact
_LN2_LOW = 1.90821492927058770002e-10
_SQRT_HALF = 0.7071067811865476
_TERMS = 10  # 0.0295^10 / 21 is below half a unit in the last place
PER_LN = {"ln": 1.0, "log10": 0.4342944819032518, "db": 4.342944819032518}
"""Each logarithm by the natural one."""


@lru_cache(maxsize=32)
def cosines(count: int) -> Floats:
    """cos(2 pi k / count), k = 0 .. count - 1, read-only."""
    with localcontext() as context:
        context.prec = DIGITS + 10
        angle = 2 * _PI / count
        c1, s1 = _series(angle, 0), _series(angle, 1)
        c, s = Decimal(1), Decimal(0)
        table = np.empty(count)
        for k in range(count):
            table[k] = float(round(c, DIGITS))
            c, s = c * c1 - s * s1, s * c1 + c * s1
    table.flags.writeable = False
    return table


def sines(count: int) -> Floats:
    """sin(2 pi k / count), k = 0 .. count - 1, of a ``count`` that 4 divides."""
    return np.roll(cosines(count), count // 4)


def _series(x: Decimal, first: int) -> Decimal:
    """Taylor's series of cosine (``first`` power 0) or sine (1)."""
    term = x if first else Decimal(1)
    total, power = term, first
    while abs(term) > Decimal(10) ** -(DIGITS + 9):
        term *= -x * x / ((power + 1) * (power + 2))
        total, power = total + term, power + 2
    return total


def natural_log(x: Floats) -> Floats:
    """ln of positive numbers, to about a unit in the last place.

    x = m 2^e with m in [sqrt(1/2), sqrt(2)); ln m = 2 artanh((m - 1) / (m + 1)), by its series.
    """
    mantissa, exponent = np.frexp(x)
    small = mantissa < _SQRT_HALF
    m = np.where(small, mantissa * 2, mantissa)
    e = (exponent - small).astype(np.float64)
    s = (m - 1) / (m + 1)
    z = s * s
    total = np.full_like(z, 1 / (2 * _TERMS - 1))
    for k in range(_TERMS - 2, -1, -1):
        total = total * z + 1 / (2 * k + 1)
    low: Floats = 2 * s * total + e * _LN2_LOW
    return low + e * _LN2_HIGH


def total(x: Floats) -> float:
    """The sum of numbers (count,), added up by halves."""
    while x.size > 1:
        half = x.size // 2
        x = np.append(x[:half] + x[half : 2 * half], x[2 * half :])
    return float(x[0])


def logarithm(x: Floats, log: str, floor: float | None, offset: float | None) -> Floats:
    """``"ln"``, ``"log10"`` or ``"db"`` of numbers from 0 on, which are at least ``floor``, or have ``offset`` added."""
    positive = np.maximum(x, floor) if floor is not None else x + (offset or 0.0)
    return natural_log(positive) * PER_LN[log]
