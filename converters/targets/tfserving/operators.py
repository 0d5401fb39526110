"""Every operator of TensorFlow Lite that has a translation to TensorFlow."""

from __future__ import annotations

from converters.targets.tfserving import convolution, elementwise, reducing, shaping
from converters.targets.tfserving.call import Translators

OPERATORS: Translators = {
    **convolution.TRANSLATORS,
    **elementwise.TRANSLATORS,
    **reducing.TRANSLATORS,
    **shaping.TRANSLATORS,
}
