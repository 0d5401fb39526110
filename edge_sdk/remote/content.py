"""What an engine gets as its model where a server runs it: the tensors of the variant, with scale and zero point, which no server tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_sdk.contract import describe_validation
from edge_sdk.errors import EngineError, ModelError
from edge_sdk.tensors import TensorSpec
from edge_sdk.tflite import Tensor, describe

if TYPE_CHECKING:  # an engine's child needs neither
    from edge_sdk.bundle.manifest import Variant
    from edge_sdk.bundle.read import Bundle

_ELSEWHERE = ("remote",)
MOST_BYTES = 1 << 20


class _Tensors(BaseModel):
    model_config = ConfigDict(extra="forbid")

    inputs: tuple[TensorSpec, ...] = Field(min_length=1)
    outputs: tuple[TensorSpec, ...] = Field(min_length=1)


def content_for(engine: str, bundle: Bundle, variant: Variant) -> bytes:
    """What ``open_engine`` takes as the model: the variant's file; for an engine that runs it elsewhere, its tensors.

    Raises:
        BundleError: as ``Bundle.model_of``.
    """
    if engine not in _ELSEWHERE:
        return bundle.model_of(variant)
    return tensors_content(variant.inputs, variant.outputs)


def tensors_content(inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> bytes:
    """These tensors, as ``read_tensors`` reads them."""
    return _Tensors(inputs=inputs, outputs=outputs).model_dump_json().encode()


def read_tensors(content: bytes) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs in what ``tensors_content`` made, or of a .tflite model, which is read without an interpreter.

    Raises:
        EngineError: if it is neither.
    """
    if content[:1] != b"{":
        return _of_tflite(content)
    try:
        found = _Tensors.model_validate_json(content[: MOST_BYTES + 1])
        for spec in (*found.inputs, *found.outputs):
            spec.check()
    except ValidationError as exc:
        raise EngineError(describe_validation(exc, "the tensors of a remote model")) from exc
    except ValueError as exc:
        raise EngineError(f"the tensors of a remote model: {exc}") from exc
    return found.inputs, found.outputs


def _of_tflite(content: bytes) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    try:
        model = describe(content)
        inputs, outputs = (tuple(_spec(model.tensors[i]) for i in side) for side in (model.inputs, model.outputs))
    except ModelError as exc:
        raise EngineError(f"the model's tensors cannot be read: {exc}") from exc
    except ValueError as exc:
        raise EngineError(f"the model's tensors cannot be sent: {exc}") from exc
    return inputs, outputs


def _spec(tensor: Tensor) -> TensorSpec:
    one = len(tensor.scales) == 1
    scale, zero_point = (tensor.scales[0], tensor.zero_points[0]) if one else (0.0, 0)
    spec = TensorSpec(tensor.name, tensor.shape, tensor.dtype, scale, zero_point)
    spec.check()
    return spec
