"""From a raw window to the numbers that a model takes of it, before mean and std: its readings as real numbers, or features of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_sdk.errors import ContractError
from edge_sdk.features import features_from
from edge_sdk.features.settings import FeatureSettings
from edge_sdk.tensors import Array, TensorSpec
from edge_sdk.window_settings import FULL_SCALE, WindowSettings


class WindowNumbers:
    """Makes them, on the workstation and on the device alike.

    Args:
        window: the contract's window.
        features: the contract's features, or None.

    Attributes:
        shape: of the numbers: that of the features, or (length, channels).
        stateful: what came before a window takes part in its numbers, until ``reset``.
    """

    def __init__(self, window: WindowSettings, features: FeatureSettings | None) -> None:
        self._window = window
        self._features = None if features is None else features_from(features, window)
        self.shape: tuple[int, ...] = window.shape if self._features is None else self._features.shape
        self.stateful = self._features is not None and self._features.stateful
        made = "" if features is None else f"{features.kind} of "
        self._said = f"{made}windows of {window.length} readings of {len(window.channels)} channels"

    def check(self, spec: TensorSpec) -> None:
        """Raise ContractError if the input tensor has another shape: axes of 1 aside, it is ``shape``, or all of it in one row."""
        axes = tuple(axis for axis in spec.nhwc_shape if axis != 1)
        row = (int(np.prod(self.shape)),)
        if axes not in (tuple(n for n in self.shape if n != 1), tuple(n for n in row if n != 1)):
            raise ContractError(
                f"the contract makes {self._said}, shape {self.shape}; input {spec.name!r} has shape {spec.shape}. Axes of 1 aside these "
                f"must be the same, or the input has {row[0]} numbers in a row: correct [contract.window] and [contract.features]"
            )

    def reset(self) -> None:
        """Forget what came before: a new stream begins."""
        if self._features is not None:
            self._features.reset()

    def of(self, sample: Array) -> npt.NDArray[np.float64]:
        """The numbers of a raw window, of ``shape``; features have float32's precision.

        Args:
            sample: (length, channels), or (length,) of one channel; integers or floats.

        Raises:
            ContractError: if it is of another form, holds NaN or infinity, or numbers so large that features of them are none.
        """
        wanted = self._window.shape
        if sample.shape != wanted and (sample.ndim != 1 or (*sample.shape, 1) != wanted):
            raise ContractError(f"the contract takes windows (length, channels) {wanted}; found {sample.shape}")
        real = self._real(sample.reshape(wanted))
        if self._features is None:
            return real
        with np.errstate(over="ignore", invalid="ignore"):  # is looked at
            numbers = self._features(real).astype(np.float64)
        if not np.isfinite(numbers).all():
            raise ContractError(
                f"a window holds readings up to {np.abs(real).max():.3g}, of which features are no finite numbers"
            )
        return numbers

    def _real(self, sample: Array) -> npt.NDArray[np.float64]:
        kind, full_scale = sample.dtype.kind, self._window.units == FULL_SCALE
        if kind not in ("fi" if full_scale else "fiub"):
            allowed = "signed integers or floats" if full_scale else "numbers"
            raise ContractError(f"a window in units of {self._window.units} takes {allowed}; found {sample.dtype}")
        real = sample.astype(np.float64)
        if kind == "f" and not np.isfinite(real).all():
            raise ContractError("a window holds NaN or infinity")
        if full_scale and kind == "i":
            real /= 2.0 ** (8 * sample.dtype.itemsize - 1)
        return real
