"""The output tensors themselves."""

from __future__ import annotations

from collections.abc import Sequence

from edge_sdk.contract import Placement
from edge_sdk.errors import ConfigError
from edge_sdk.tasks import Task
from edge_sdk.tensors import Array, TensorSpec


class Raw(Task):
    """Gives every output by name.

    Args:
        outputs: the variant's output tensors.

    Raises:
        ConfigError: if two outputs have one name.
    """

    def __init__(self, outputs: tuple[TensorSpec, ...]) -> None:
        names = [spec.name for spec in outputs]
        if len(set(names)) < len(names):
            raise ConfigError(
                f"[task] kind = raw: outputs {names} do not all have names of their own; rename them in the model"
            )
        self._outputs = outputs

    def decode(
        self, outputs: Sequence[Array], placement: Placement | None, captured_ns: int = 0, input_: Array | None = None
    ) -> dict[str, Array]:
        """Arrays of the caller's own: float32 where the tensor is quantized, else in the tensor's dtype."""
        return {
            spec.name: spec.dequantize(stored) if spec.quantized else stored.copy()
            for spec, stored in zip(self._outputs, outputs, strict=True)
        }
