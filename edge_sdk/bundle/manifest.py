"""The bundle's manifest: what ``manifest.json`` holds. A change that old readers cannot read raises SCHEMA_VERSION.

A bundle is written as the lowest version that says what it needs: 2 has heads; 3 has windows as input, variants of a contract, task or
measurement of their own, the tasks keyword, anomaly, segment and pose, and ids of detections; 4 has plans for the Edge TPU, and variants
in segments; 5 has inputs whose channels stand first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal, Protocol

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from edge_sdk.contract import Contract
from edge_sdk.printable import no_control_characters
from edge_sdk.tasks.settings import TaskSettings
from edge_sdk.tensors import TensorSpec

SCHEMA_VERSION: Final = 5
MANIFEST = "manifest.json"
ON_GROUND_TRUTH = " on ground truth"  # ends the name of a measured figure that is no agreement with the float model
Name = Annotated[str, Field(max_length=500), AfterValidator(no_control_characters)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class StoredFile(_Strict):
    """One entry of the bundle beside the manifest."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size_bytes: int = Field(ge=0)


class Part(_Strict):
    """One stored output, and its place in a head: factor * activation(dequantized) + offset.

    Attributes:
        output: name of the stored output.
        runs: (start, stop) along the head's axis, which the part's entries fill in their order.
        activation: softmax is over the part's last axis.
        factor, offset: one number, or one for each of the part's entries along the head's axis.
    """

    output: Name
    runs: tuple[tuple[int, int], ...] = Field(min_length=1, max_length=10_000)
    activation: Literal["none", "sigmoid", "softmax"] = "none"
    factor: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)

    @property
    def entries(self) -> int:
        """How many it has along the head's axis."""
        return sum(stop - start for start, stop in self.runs)

    @model_validator(mode="after")
    def _fits(self) -> Part:
        if any(not 0 <= start < stop for start, stop in self.runs):
            raise ValueError(f"part {self.output!r} has runs {self.runs[:8]}; each is (start, stop), 0 <= start < stop")
        for name, numbers in (("factor", self.factor), ("offset", self.offset)):
            if len(numbers) not in (1, self.entries):
                raise ValueError(
                    f"part {self.output!r} has {len(numbers)} numbers in {name}; 1 or {self.entries} are needed"
                )
        return self


class Head(_Strict):
    """An output of the model that the variant stores in parts, or before its last operators; the device puts it together.

    Attributes:
        name: of the model's output, which the task knows it by.
        shape: of that output, outermost axis first.
        axis: that the parts lie along.
        parts: each entry of the axis is in one of them.
    """

    name: Name
    shape: tuple[int, ...]
    axis: int = Field(ge=0)
    parts: tuple[Part, ...] = Field(min_length=1, max_length=1_000)

    @model_validator(mode="after")
    def _whole(self) -> Head:
        TensorSpec(self.name, self.shape, "float32").check()
        if self.axis >= len(self.shape):
            raise ValueError(f"head {self.name!r} has axis {self.axis} of {len(self.shape)}, counted from 0")
        end = 0
        for start, stop in sorted(run for part in self.parts for run in part.runs):
            if start != end:
                raise ValueError(
                    f"head {self.name!r}: entry {min(start, end)} of axis {self.axis} stands in no or two parts"
                )
            end = stop
        if end != self.shape[self.axis]:
            raise ValueError(
                f"head {self.name!r}: its parts have {end} entries, axis {self.axis} has {self.shape[self.axis]}"
            )
        return self


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
        heads: the model's outputs that are put together from stored ones; ``outputs`` and golden vectors are as stored.
        contract, task, golden_inputs: of this variant, where they are not the bundle's: it comes of another model.
        measured: its figures, where they are not the bundle's.
        plan: the entry that says what the Edge TPU makes of the model, or None; see ``edge_sdk.edgetpu.plan``.
        segments: the entries that follow ``file``, in their order, where the variant is a pipeline; ``outputs`` are the last one's.
    """

    id: Name
    kind: Name
    file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: dict[str, int] = {}
    golden: str | None = None
    golden_tolerance: float = Field(default=1.0, ge=0)
    heads: tuple[Head, ...] = ()
    contract: Contract | None = None
    task: TaskSettings | None = None
    golden_inputs: str | None = None
    measured: dict[str, JsonValue] = {}
    plan: str | None = None
    segments: tuple[str, ...] = Field(default=(), max_length=100)

    @field_validator("inputs", "outputs")
    @classmethod
    def _sane(cls, specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        for spec in specs:
            spec.check()
        return specs

    @model_validator(mode="after")
    def _heads_fit(self) -> Variant:
        stored = {spec.name: spec for spec in self.outputs}
        taken: set[str] = set()
        for head in self.heads:
            for part in head.parts:
                spec = stored.get(part.output)
                if spec is None or part.output in taken:
                    raise ValueError(f"head {head.name!r} takes {part.output!r}, which is no output, or taken twice")
                taken.add(part.output)
                wanted = (*head.shape[: head.axis], part.entries, *head.shape[head.axis + 1 :])
                if spec.shape != wanted:
                    raise ValueError(f"head {head.name!r} takes {part.output!r} of shape {wanted}; it has {spec.shape}")
        return self

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Older readers take no key that they do not know."""
        content: dict[str, Any] = handler(self)
        for key in ("heads", "contract", "task", "golden_inputs", "measured", "plan", "segments"):
            if not getattr(self, key):
                content.pop(key, None)
        for spec in (*content["inputs"], *content["outputs"]):
            if spec["layout"] == "nhwc":
                del spec["layout"]
        return content

    @property
    def of_its_own(self) -> bool:
        """Whether it has a contract, task or measurement of its own."""
        return any((self.contract, self.task, self.golden_inputs, self.measured))


Version = Literal[1, 2, 3, 4, 5]


class Versioned(Protocol):
    """Settings that say since when readers know them."""

    @property
    def schema_version(self) -> Version:
        """The lowest version whose readers know them."""


def schema_version_for(variants: Iterable[Variant], *settings: Versioned) -> Version:
    """The lowest version that says what these variants and settings (task, contract) need."""
    return max(_version_of(tuple(variants)), *(each.schema_version for each in settings), 1)


def _version_of(variants: tuple[Variant, ...]) -> Version:
    if any(spec.layout != "nhwc" for variant in variants for spec in (*variant.inputs, *variant.outputs)):
        return 5
    if any(variant.plan or variant.segments for variant in variants):
        return 4
    if any(variant.of_its_own for variant in variants):
        return 3
    return 2 if any(variant.heads for variant in variants) else 1


class Manifest(_Strict):
    """Everything in a bundle, by name and hash."""

    schema_version: Version = 1
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

    @model_validator(mode="after")
    def _version_tells(self) -> Manifest:
        if self.schema_version < (needed := schema_version_for(self.variants, self.task, self.contract)):
            raise ValueError(
                f"schema_version {self.schema_version} is too low for what contract, task and variants state, which needs {needed}"
            )
        return self
