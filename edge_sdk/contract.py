"""The contract: what is true of a model's input. ``edge_sdk.encoder`` makes the input tensor by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer, model_validator

from edge_sdk.errors import ConfigError, ContractError
from edge_sdk.features.settings import FeatureSettings
from edge_sdk.redact import redacted
from edge_sdk.tensors import TensorSpec
from edge_sdk.window_numbers import WindowNumbers
from edge_sdk.window_settings import WindowSettings

Colour = Literal["bgr", "rgb", "gray"]
# What OpenCV's look-up can write.
IMAGE_DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "float16", "float32", "float64")
_ERRORS_SHOWN, _DEPTH_SHOWN, _FOUND_SHOWN = 10, 8, 40  # in one message
_NO_NUMBER = {
    "float_type",
    "float_parsing",
    "int_type",
    "int_parsing",
}  # pydantic's names of what a text for a number is


class Contract(BaseModel):
    """What is true of a model's input, whatever the variant.

    Attributes:
        input: ``"image"`` (bytes, height x width x channels), ``"tensor"`` (numbers in the shape of the input tensor) or ``"window"``
            (readings of a signal, length x channels).
        colour: the channel order that the model was trained with (images).
        range: the two real numbers that bytes 0 and 255 stand for, such as (-1, 1) (images); or
        mean, std: real = (x - mean) / std, in units of the raw input, one number or one a channel; of the features, where there are any.
        resize: ``"stretch"``, ``"letterbox"`` (keep the aspect, centre, fill with ``pad``) or ``"crop"`` (largest centred part) (images).
        pad: the byte that letterboxing fills with.
        window: what a window is (windows).
        features: what is computed of a window before the model gets it, if anything (windows).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    input: Literal["image", "tensor", "window"]
    colour: Colour | None = None
    range: tuple[float, float] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    resize: Literal["stretch", "letterbox", "crop"] | None = None
    pad: int = 0
    window: WindowSettings | None = None
    features: FeatureSettings | None = None

    @model_validator(mode="after")
    def _complete(self) -> Contract:
        if missing := self.missing():
            raise ValueError("missing: " + "; ".join(missing))
        if self.range is not None and (self.mean is not None or self.std is not None):
            raise ValueError("give range or mean and std, not both")
        if self.input != "image" and any((self.colour, self.range, self.resize)):
            raise ValueError(
                f"colour, range and resize are for input = image; a {self.input} takes mean and std at most"
            )
        if self.input != "window" and (self.window is not None or self.features is not None):
            raise ValueError(
                f"[contract.window] and [contract.features] are for input = window; found input = {self.input}"
            )
        if self.window is not None and self.features is not None:
            self.features.check(self.window)
        if any(s <= 0 for s in self.std or ()) or (self.range is not None and self.range[0] >= self.range[1]):
            raise ValueError("std must be above 0, and range must rise")
        if not 0 <= self.pad <= 255:
            raise ValueError(f"pad is a byte, 0 to 255; found {self.pad}")
        return self

    @property
    def schema_version(self) -> Literal[1, 3]:
        """The lowest version of a bundle whose readers know these settings."""
        return 1 if self.window is None else 3

    def missing(self) -> list[str]:
        """What is not known yet, each with the values allowed. Nothing of a contract is ever guessed."""
        wanted = []
        if self.input == "image":
            if self.colour is None:
                wanted.append("colour (rgb, bgr or gray: the order the model was trained with)")
            if self.resize is None:
                wanted.append("resize (stretch, letterbox or crop)")
            if self.range is None and (self.mean is None or self.std is None):
                wanted.append("range (such as -1,1 or 0,1) or both mean and std (in units of bytes 0..255)")
        elif (self.mean is None) != (self.std is None):
            wanted.append("mean and std (both or neither)")
        if self.input == "window" and self.window is None:
            wanted.append("[contract.window] with length, rate_hz, hop, channels, units and gap (in a model.toml)")
        return wanted

    @model_serializer(mode="wrap")
    def _without_window(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Older readers take no key that they do not know."""
        content: dict[str, Any] = handler(self)
        for key in ("window", "features"):
            if getattr(self, key) is None:
                content.pop(key, None)
        return content

    @property
    def channels(self) -> int:
        """Channels of an image input."""
        return 1 if self.colour == "gray" else 3

    def real_of_bytes(self) -> npt.NDArray[np.float64]:
        """The real number that each byte stands for, shape (256, channels)."""
        byte = np.arange(256, dtype=np.float64)[:, None]
        if self.range is not None:
            low, high = self.range
            real = low + byte * ((high - low) / 255)
        else:
            real = (byte - np.array(self.mean)) / np.array(self.std)
        return np.broadcast_to(real, (256, self.channels)).copy()

    def window_numbers(self) -> WindowNumbers | None:
        """What makes a model's numbers of a raw window, or None where the input is none."""
        return None if self.window is None else WindowNumbers(self.window, self.features)

    def check(self, spec: TensorSpec) -> None:
        """Raise ContractError if an input tensor of this ``spec`` cannot be made by this contract."""
        window = self.window_numbers()
        if window is not None:
            window.check(spec)
        last = self.channels if self.input == "image" else (spec.nhwc_shape if window is None else window.shape)[-1]
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) not in (1, last):
                raise ContractError(
                    f"{name} has {len(values)} numbers; input {spec.name!r} has {last} channels: give 1 or {last}"
                )
        if self.input != "image":
            return
        if spec.dtype not in IMAGE_DTYPES:
            raise ContractError(
                f"the contract makes images of {', '.join(IMAGE_DTYPES)}; input {spec.name!r} is {spec.dtype}. "
                "Convert the model to one of these, or use input = tensor"
            )
        shape = spec.nhwc_shape
        if len(shape) != 4 or shape[0] != 1 or shape[3] != self.channels:
            form = f"height, width, {self.channels}" if spec.layout == "nhwc" else f"{self.channels}, height, width"
            raise ContractError(
                f"the contract makes images of colour {self.colour}, shape (1, {form}); "
                f"input {spec.name!r} of layout {spec.layout} has shape {spec.shape}. Use another colour, or input = tensor for "
                "data that is no image"
            )


@dataclass(frozen=True)
class Placement:
    """Where a source frame came to lie in the input tensor: tensor pixel = source pixel * scale + offset, x then y."""

    scale: tuple[float, float]
    offset: tuple[float, float]

    def to_source(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Points or boxes (..., 2 or 4: x, y, x, y) in pixels of the tensor to pixels of the source frame."""
        repeat = boxes.shape[-1] // 2
        offset = np.array(self.offset * repeat, np.float32)
        return ((boxes - offset) / np.array(self.scale * repeat, np.float32)).astype(np.float32)


def contract_from(settings: dict[str, object], where: str) -> Contract:
    """A contract from parsed settings, with an error that asks for what is missing by name.

    Args:
        settings: keys of ``[contract]``, merged with flags.
        where: what to call their origin in the message, such as ``"model.toml [contract]"``.

    Raises:
        ConfigError: if a key is unknown, missing or out of range.
    """
    from pydantic import ValidationError

    if "input" not in settings:
        raise ConfigError(
            f"{where}: missing: input (image: bytes to be resized and normalised; tensor: numbers used as they are; "
            "window: readings of a signal)"
        )
    try:
        return Contract.model_validate(settings)
    except ValidationError as exc:
        raise ConfigError(describe_validation(exc, where)) from exc


def describe_validation(exc: Exception, where: str) -> str:
    """One readable line an error of a pydantic ValidationError, naming keys as the user wrote them; many errors are counted."""
    from pydantic import ValidationError

    assert isinstance(exc, ValidationError)  # noqa: S101 - narrows for the type checker
    lines = []
    errors = exc.errors(include_url=False)
    wrong = {error["loc"][:depth] for error in errors for depth in range(len(error["loc"]))}
    # pydantic calls a list too short whose items are wrong: that is said of the items
    errors = [error for error in errors if error["type"] != "too_short" or error["loc"] not in wrong]
    for error in errors[:_ERRORS_SHOWN]:
        key = ".".join(str(part) for part in error["loc"][:_DEPTH_SHOWN])
        said = error["msg"].removeprefix("Value error, ")
        if error["type"] == "extra_forbidden":
            said = "no such key"
        elif error["type"] == "missing":
            said = "is missing"
        elif error["type"] in _NO_NUMBER and isinstance(error["input"], str):
            said = f"{said.partition(',')[0]} without a unit; found {redacted(error['input'])[:_FOUND_SHOWN]!r}"
        lines.append(f"{where}: {key + ': ' if key else ''}{said}")
    if len(errors) > _ERRORS_SHOWN:
        lines.append(f"{where}: and {len(errors) - _ERRORS_SHOWN} more")
    return "\n".join(lines)
