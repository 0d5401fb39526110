"""The encoder: makes input tensors by a contract, one implementation for calibration, checks and the device.

For images every normalisation followed by quantization is a function of one byte, so it is folded into a table of 256 entries a
channel. The way of a frame is: resize (or letterbox, or crop), colour order, then one look-up straight into the input tensor, plane by
plane where its channels stand first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sdk.contract import Colour, Contract, Placement
from edge_sdk.errors import ContractError, needs
from edge_sdk.tensors import Array, TensorSpec

Bytes = npt.NDArray[np.uint8]


class Encoder:
    """Makes one input tensor from raw samples. Keeps its buffers: one encoder for one thread.

    Args:
        contract: what is true of the model.
        spec: the variant's input tensor.

    Attributes:
        stateful: what was encoded before takes part in the next sample's tensor, until ``reset``.

    Raises:
        ContractError: if they do not fit each other.
    """

    def __init__(self, contract: Contract, spec: TensorSpec) -> None:
        contract.check(spec)
        self.contract = contract
        self.spec = spec
        self._dtype = np.dtype(spec.dtype)
        self._mean = None if contract.mean is None else np.array(contract.mean)
        self._std = np.array(contract.std or 1.0)
        self._window = contract.window_numbers()
        self.stateful = self._window is not None and self._window.stateful
        if contract.input == "image":
            self._cv2 = _find_opencv()
            self._table = spec.quantize(contract.real_of_bytes())
            self._added = _constant_added(self._table)
            alike = bool((self._table == self._table[:, :1]).all())
            self._lut = self._table[:, 0].copy() if alike else self._table.reshape(1, 256, -1)
            width, height = spec.image_size
            self._size = (height, width)
            shape = self._size if contract.channels == 1 else (height, width, 3)
            self._canvas: dict[int, Bytes] = {}
            self._wide: Bytes | None = None
            self._ordered: Bytes = np.empty(shape, np.uint8)
            self._planar = (
                spec.layout == "nchw" and contract.channels > 1
            )  # of one channel, both layouts are the same bytes
            self._planes: Bytes = np.empty(
                (contract.channels + 1, height, width), np.uint8
            )  # the last takes what is not wanted
            self._plane_luts = np.ascontiguousarray(self._table.T)
            self._last: tuple[tuple[int, ...], _Layout] | None = None

    def encode(self, sample: Array, out: Array, *, colour: Colour = "bgr") -> Placement | None:
        """Write the input tensor for ``sample`` into ``out``.

        Args:
            sample: an image, uint8, (height, width, 3), (height, width, 1) or (height, width); or, for ``input = "tensor"``,
                numbers in the shape of the input tensor, with or without its batch axis, and channels last whatever its layout; or a
                window, (length, channels) of any numbers.
            out: the input tensor, written in place.
            colour: the channel order of a 3-channel ``sample``; the order that OpenCV gives is ``"bgr"``.

        Returns:
            Where the frame lies in the tensor, or None where it is no image.

        Raises:
            ContractError: if the sample or ``out`` is not of that form.
        """
        if out.shape != self.spec.shape or out.dtype != self._dtype:
            found = f"input {self.spec.name!r} is {self.spec.dtype} of shape {self.spec.shape}"
            raise ContractError(f"{found}; the array to write has {out.dtype} and {out.shape}. Make it like the tensor")
        if self._window is not None:
            self._write(self._window.of(sample), out)
            return None
        if self.contract.input == "tensor":
            self._encode_numbers(sample, out)
            return None
        if (
            sample.dtype != np.uint8
            or sample.ndim not in (2, 3)
            or (sample.ndim == 3 and sample.shape[2] not in (1, 3))
        ):
            raise ContractError(
                f"an image of bytes is needed, (height, width[, 1 or 3]) uint8; found {sample.dtype} of shape {sample.shape}. "
                "If this data is already normalised, use input = tensor"
            )
        if sample.ndim == 3 and sample.shape[2] == 1:
            sample = sample[:, :, 0]
        if sample.ndim == 2:
            colour = "gray"
        layout = self._layout(sample.shape)
        image = self._resize(sample, layout)
        if self._planar:
            self._write_planes(image, colour, out)
        elif self._added is None:
            self._look_up(self._order(image, colour, self._ordered), self.spec.as_nhwc(out))
        else:
            self._shift(image, colour, out, self._added)
        return layout.placement

    def reset(self) -> None:
        """Forget what was encoded before: a new stream begins."""
        if self._window is not None:
            self._window.reset()

    def _layout(self, shape: tuple[int, ...]) -> _Layout:
        if self._last is None or self._last[0] != shape:
            self._canvas.clear()  # another size leaves another border
            self._last = (
                shape,
                _lay_out(self.contract.resize, (shape[1], shape[0]), self.spec.image_size),
            )
        return self._last[1]

    def _resize(self, sample: Bytes, layout: _Layout) -> Bytes:
        left, top, right, bottom = layout.taken
        part = sample[top:bottom, left:right]
        width, height = layout.size
        if layout.fills and part.shape[:2] == (height, width):
            return part
        cv2 = _opencv()
        part = self._widen(part)
        canvas = self._canvas.get(sample.ndim)
        if canvas is None:
            canvas = np.full((*self._size, *part.shape[2:]), self.contract.pad, np.uint8)
            self._canvas[sample.ndim] = canvas
        x, y = layout.corner
        cv2.resize(
            part, (width, height), dst=canvas[y : y + height, x : x + width], interpolation=cv2.INTER_LINEAR_EXACT
        )
        return canvas

    def _widen(self, image: Bytes) -> Bytes:
        """Three channels to four: OpenCV's exact resize has vector code for 1, 2 and 4, which takes two thirds of the time."""
        if image.ndim == 2:
            return image
        if self._wide is None or self._wide.shape[:2] != image.shape[:2]:
            self._wide = np.empty((*image.shape[:2], 4), np.uint8)
        cv2 = _opencv()
        return cv2.cvtColor(image, cv2.COLOR_BGR2BGRA, dst=self._wide)  # type: ignore[no-any-return]

    def _order(self, image: Bytes, colour: Colour, into: Bytes) -> Bytes:
        wanted = self.contract.colour
        wide = "a" if image.ndim == 3 and image.shape[2] == 4 else ""
        if colour == wanted and not wide:
            return image
        if self._cv2 is None and {colour, wanted} == {"bgr", "rgb"}:
            return image[:, :, ::-1]
        cv2 = _opencv()
        code = getattr(cv2, f"COLOR_{colour}{wide}2{wanted}".upper())
        return cv2.cvtColor(image, code, dst=into)  # type: ignore[no-any-return]

    def _shift(self, image: Bytes, colour: Colour, out: Array, added: np.uint8) -> None:
        """Order straight into ``out``, then add in place: where the table is the byte plus a constant, nothing has to be looked up."""
        target = out.view(np.uint8)[0].reshape(self._ordered.shape)
        ordered = self._order(image, colour, target)
        if added or ordered is not target:
            np.add(ordered, added, out=target)

    def _look_up(self, image: Bytes, out: Array) -> None:
        if self._cv2 is not None:
            target = out[0, :, :, 0] if image.ndim == 2 else out[0]
            self._cv2.LUT(image, self._lut, dst=target)
            return
        pixels = image[:, :, None] if image.ndim == 2 else image
        for channel in range(self.contract.channels):
            np.take(self._table[:, channel], pixels[:, :, channel], out=out[0, :, :, channel], mode="clip")

    def _write_planes(self, image: Bytes, colour: Colour, out: Array) -> None:
        """Split straight into the planes of ``out`` and add in place, or into kept ones and look up, channel by channel."""
        added = self._added
        targets = self._planes if added is None else out.view(np.uint8)[0]
        for channel, plane in enumerate(self._split(image, colour, targets)):
            if added is not None:
                np.add(plane, added, out=targets[channel])
            elif self._cv2 is not None:
                self._cv2.LUT(plane, self._plane_luts[channel], dst=out[0, channel])
            else:
                np.take(self._plane_luts[channel], plane, out=out[0, channel], mode="clip")

    def _split(self, image: Bytes, colour: Colour, targets: Bytes) -> tuple[Bytes, Bytes, Bytes]:
        """The channels in the contract's order: those of ``targets``, or of ``image`` where they need no copy."""
        if image.ndim == 2:
            return image, image, image
        order = (0, 1, 2) if colour == self.contract.colour else (2, 1, 0)
        if self._cv2 is None:
            first, second, third = (image[:, :, channel] for channel in order)
            return first, second, third
        into = [*(targets[channel] for channel in order), self._planes[3]]
        self._cv2.split(image, into[: image.shape[2]])
        return targets[0], targets[1], targets[2]

    def _encode_numbers(self, sample: Array, out: Array) -> None:
        shape = self.spec.nhwc_shape
        if sample.shape not in (shape, shape[1:]):
            raise ContractError(f"input {self.spec.name!r} takes shape {shape}; found {sample.shape}")
        if sample.dtype.kind not in "fiub":
            raise ContractError(f"input {self.spec.name!r} takes numbers; found {sample.dtype}")
        real = np.asarray(sample, np.float64)
        if not np.isfinite(real).all():
            raise ContractError(f"a sample for input {self.spec.name!r} holds NaN or infinity")
        self._write(real, out)

    def _write(self, real: npt.NDArray[np.float64], out: Array) -> None:
        if self._mean is not None:
            real = (real - self._mean) / self._std
        self.spec.as_nhwc(out)[...] = self.spec.quantize(real).reshape(self.spec.nhwc_shape)


def _constant_added(table: Array) -> np.uint8 | None:
    """What every entry of ``table`` (256, channels) has more than its byte, modulo 256; None if that is not the same for all."""
    if table.dtype.itemsize != 1:
        return None
    added = table.view(np.uint8) - np.arange(256, dtype=np.uint8)[:, None]
    return np.uint8(added[0, 0]) if (added == added[0, 0]).all() else None


@dataclass(frozen=True)
class _Layout:
    taken: tuple[int, int, int, int]  # of the source: left, top, right, bottom
    size: tuple[int, int]  # after the resize: width, height
    corner: tuple[int, int]  # in the tensor: x, y
    fills: bool  # the resized part covers the whole tensor
    placement: Placement


def _lay_out(resize: str | None, source: tuple[int, int], target: tuple[int, int]) -> _Layout:
    """Plan the resize of ``source`` (width, height) into ``target`` (width, height)."""
    (sw, sh), (tw, th) = source, target
    if sw == 0 or sh == 0:
        raise ContractError(f"an image of {sw}x{sh} pixels has nothing in it")
    left, top, right, bottom = 0, 0, sw, sh
    size, corner = target, (0, 0)
    if resize == "letterbox":
        scale = min(tw / sw, th / sh)
        size = (max(1, round(sw * scale)), max(1, round(sh * scale)))
        corner = ((tw - size[0]) // 2, (th - size[1]) // 2)
    elif resize == "crop":
        scale = max(tw / sw, th / sh)
        width, height = min(sw, max(1, round(tw / scale))), min(sh, max(1, round(th / scale)))
        left, top = (sw - width) // 2, (sh - height) // 2
        right, bottom = left + width, top + height
    scales = (size[0] / (right - left), size[1] / (bottom - top))
    offset = (corner[0] - left * scales[0], corner[1] - top * scales[1])
    return _Layout((left, top, right, bottom), size, corner, size == target, Placement(scales, offset))


def _opencv() -> Any:
    with needs("cv2", for_="resizing or reordering an image", extra="camera"):
        import cv2
    return cv2


def _find_opencv() -> Any:
    """The cv2 module, or None where it is not installed: without it, images of the input's own size can be encoded all the same."""
    try:
        import cv2
    except ModuleNotFoundError as exc:
        if exc.name != "cv2":
            raise
        return None
    return cv2
