"""The bundle's manifest: what ``manifest.json`` holds. A change that old readers cannot read raises SCHEMA_VERSION."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, field_validator

from edge_sdk.contract import Contract
from edge_sdk.printable import no_control_characters
from edge_sdk.tasks.settings import TaskSettings
from edge_sdk.tensors import TensorSpec

SCHEMA_VERSION: Final = 1
MANIFEST = "manifest.json"
Name = Annotated[str, Field(max_length=500), AfterValidator(no_control_characters)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


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

    id: Name
    kind: Name
    file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: dict[str, int] = {}
    golden: str | None = None
    golden_tolerance: float = Field(default=1.0, ge=0)

    @field_validator("inputs", "outputs")
    @classmethod
    def _sane(cls, specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        for spec in specs:
            spec.check()
        return specs


class Manifest(_Strict):
    """Everything in a bundle, by name and hash."""

    schema_version: Literal[1] = SCHEMA_VERSION
    name: Name
    created_by: Name
    contract: Contract
    task: TaskSettings
    labels: str | None = None
    variants: tuple[Variant, ...] = Field(min_length=1)
    boards: tuple[Name, ...] = ()
    golden_inputs: str | None = None
    report: str | None = None
    measured: dict[str, JsonValue] = {}
    files: dict[str, StoredFile]
