"""What loading works with: what it is told, what a format's reader gives, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field

from edge_sdk.tensors import Array


class LoadOptions(BaseModel):
    """What a person says beside the file.

    Attributes:
        trust: run code that comes with the model (pickles, Lambda layers, Python files).
        input_shape: of the model's input with its batch of 1, in the source's own axis order; for models whose shapes are dynamic.
        signature: which one of a SavedModel or .tflite that has several.
        real_range: smallest and largest number that the input takes, for the inputs of the numeric check.
        timeout_s: how long a framework may work.
        memory_mb: how much memory a framework may take, in 10^6 bytes; default: nine tenths of what is free.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trust: bool = False
    input_shape: tuple[int, ...] | None = None
    signature: str | None = None
    real_range: tuple[float, float] = (-1.0, 1.0)
    timeout_s: float = Field(default=1800, gt=0)
    memory_mb: float | None = Field(default=None, gt=0)


@dataclass(frozen=True)
class Reference:
    """What the source framework computes.

    Attributes:
        framework: what ran it, such as ``"TensorFlow 2.21.0"``.
        inputs: shape (count, *input shape), float32, in the .tflite's axis order.
        outputs: one array an output in the .tflite's order and axis order, first axis the count.
    """

    framework: str
    inputs: Array
    outputs: tuple[Array, ...]


@dataclass(frozen=True)
class Loaded:
    """What the reader of a format gives.

    Attributes:
        content: a float .tflite with NHWC input, not normalised yet.
        format: such as ``"Keras 3 .keras"``.
        route: what translated it, such as ``"TensorFlow 2.21.0"``.
        reference: the source framework's results; None where the source is a .tflite itself.
        notes: what was changed, one sentence each.
    """

    content: bytes
    format: str
    route: str
    reference: Reference | None
    notes: tuple[str, ...] = ()


class Reader(Protocol):
    """A module of ``converters.load`` that reads one format."""

    def read(self, path: Path, options: LoadOptions) -> Loaded:
        """Translate the model.

        Raises:
            ModelError: if it cannot be read or translated; the message says why.
            MissingPackageError: if the framework is not installed.
        """


@dataclass(frozen=True)
class NumericCheck:
    """The float .tflite against the source framework on the same inputs.

    Attributes:
        framework: what computed the other side.
        inputs: how many inputs.
        difference: the largest difference of an output, as a share of that output's largest magnitude.
        tolerance: the largest that is taken for right.
    """

    framework: str
    inputs: int
    difference: float
    tolerance: float

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


@dataclass(frozen=True)
class FloatModel:
    """A float .tflite, normalised: one subgraph, one signature, fixed shapes, float32 constants, unique tensor names.

    Attributes:
        name: the file's stem.
        content: the normalised model.
        file: name of the file or folder it came from, without the folder it lies in.
        format: such as ``"float .tflite"``.
        route: what translated it; ``"none"`` for a .tflite.
        check: the numeric check against the source.
        sha256: of the file it came from; of a folder, of all its files.
        size_bytes: of the file or folder it came from.
        float16_weights_folded: constants that stood as float16.
        notes: what else was changed, one sentence each.
    """

    name: str
    content: bytes
    file: str
    format: str
    route: str
    check: NumericCheck
    sha256: str
    size_bytes: int
    float16_weights_folded: int = 0
    notes: tuple[str, ...] = ()
