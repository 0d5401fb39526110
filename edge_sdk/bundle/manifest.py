"""The bundle's manifest: what ``manifest.json`` holds. A change that old readers cannot read raises SCHEMA_VERSION."""

from __future__ import annotations

import math
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from edge_sdk.contract import Contract
from edge_sdk.tasks.settings import TaskSettings
from edge_sdk.tensors import TensorSpec

SCHEMA_VERSION: Final = 1
MANIFEST = "manifest.json"
MAX_TENSOR_BYTES = 1 << 30
_INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
DTYPES = (*_INTEGERS, "bool", "float16", "float32", "float64")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StoredFile(_Strict):
    """One entry of the bundle beside the manifest."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size_bytes: int = Field(ge=0)


class Variant(_Strict):
    """One executable form of the model.

    Attributes:
        id: its kind, with a suffix where there are several.
        kind: such as ``tflite-int8``; a board's profile orders the kinds it runs.
        file: the entry that holds it.
        operators: how many of each operator it has.
        golden: the entry (.npz) with its outputs for the golden inputs, or None.
        golden_tolerance: the largest difference from those outputs that is still right, in steps of a quantized output
            and relative to the largest output of a float one.
    """

    id: str
    kind: str
    file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: dict[str, int] = {}
    golden: str | None = None
    golden_tolerance: float = 1.0

    @field_validator("inputs", "outputs")
    @classmethod
    def _sane(cls, specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        for spec in specs:
            if spec.dtype not in DTYPES:
                raise ValueError(f"tensor {spec.name!r} has dtype {spec.dtype!r}; allowed are {', '.join(DTYPES)}")
            if any(axis < 1 for axis in spec.shape) or spec.size_bytes > MAX_TENSOR_BYTES:
                found = f"tensor {spec.name!r} has shape {spec.shape}"
                raise ValueError(f"{found}; axes are 1 or more, and it has at most {MAX_TENSOR_BYTES} bytes")
            if not 0 <= spec.scale < math.inf or (spec.scale and spec.dtype not in _INTEGERS):
                found = f"tensor {spec.name!r}, {spec.dtype}, has scale {spec.scale}"
                raise ValueError(f"{found}; it is 0 (not quantized) or, of integers, above 0 and finite")
        return specs


class Manifest(_Strict):
    """Everything in a bundle, by name and hash."""

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str
    created_by: str
    contract: Contract
    task: TaskSettings
    labels: str | None = None
    variants: tuple[Variant, ...] = Field(min_length=1)
    boards: tuple[str, ...] = ()
    golden_inputs: str | None = None
    report: str | None = None
    measured: dict[str, JsonValue] = {}
    files: dict[str, StoredFile]
