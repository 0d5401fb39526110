"""Whether the samples' numbers can be what the contract says they are."""

from __future__ import annotations

import numpy as np

from edge_sdk.contract import Contract
from edge_sdk.tensors import Array

_BYTES_FROM = 16  # whole numbers that never exceed this may well be counts or classes


def explain_floats(data: Array, contract: Contract) -> str | None:
    """What to do with an image of floats where the contract wants bytes; None if ``data`` or the contract is of another kind."""
    if contract.input != "image" or data.dtype.kind != "f" or not data.size or not np.isfinite(data).all():
        return None
    low, high = float(data.min()), float(data.max())
    if low >= 0 and high <= 1:
        looks, mend = "0..1", "multiply by 255 and save as uint8"
    elif low >= -1 and high <= 1:
        looks, mend = "-1..1", "save (x + 1) * 127.5 as uint8"
    elif low >= 0 and high <= 255:
        looks, mend = "bytes 0..255 in floats", "save as uint8"
    else:
        looks, mend = "normalised by a mean and std", "save the images as they were before that"
    return (
        f"the contract (input = image) takes bytes 0..255, uint8; found {data.dtype} from {low:.4g} to {high:.4g}, which looks like "
        f"{looks}: {mend}, or use input = tensor if the model takes these numbers as they are"
    )


class ByteWatch:
    """Notices that all numbers given for a tensor are bytes."""

    def __init__(self) -> None:
        self._bytes = True
        self._high = 0.0

    def see(self, data: Array) -> None:
        """Look at one sample."""
        if not self._bytes or not data.size:
            return
        low, high = float(data.min()), float(data.max())
        self._high = max(self._high, high)
        whole = data.dtype.kind in "iu" or bool((data == np.floor(data)).all())
        self._bytes = low >= 0 and high <= 255 and whole

    def note(self, contract: Contract) -> str | None:
        """A sentence if the contract takes them as they are."""
        if contract.input != "tensor" or contract.mean is not None or not self._bytes or self._high <= _BYTES_FROM:
            return None
        return (
            f"The samples look like bytes (whole numbers 0 to {self._high:g}), and the contract has no mean and std: the model gets "
            "them as they are. If it was trained on 0..1, give mean = 0, std = 255; if on -1..1, mean = 127.5, std = 127.5."
        )
