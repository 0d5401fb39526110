"""A .tflite model that ends early: what its first operators take is measured, and each one's share is the difference to the cut before.

The Python interpreter has no profiler. A cut is made in the file as it is: the number of operators is lowered, and the main subgraph's
outputs become those of the last operator left. Field numbers are those of ``tensorflow/compiler/mlir/lite/schema/schema.fbs``.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from edge_sdk.edgetpu.flatbuffer import Budget, Buffer

_SUBGRAPHS, _SIGNATURES = 2, 7  # of Model
_OUTPUTS, _OPERATORS = 2, 3  # of SubGraph


class Cutter:
    """Cuts one model at any operator.

    Args:
        content: a .tflite model.

    Raises:
        ModelError: if it is damaged.
    """

    def __init__(self, content: bytes) -> None:
        root = Buffer(memoryview(content), "the model", Budget(len(content))).root(b"TFL3")
        graph = next(root.tables(_SUBGRAPHS))
        self._content = content
        self._outputs_at = graph.reference(_OUTPUTS)
        self._count_at = graph.vector_at(_OPERATORS)
        self._signatures_at = root.vector_at(_SIGNATURES)

    def after(self, operators: int, outputs: Sequence[int]) -> bytes:
        """The model's first ``operators``.

        Args:
            operators: at least 1.
            outputs: tensors of the main subgraph that the shorter model gives.
        """
        end = len(self._content)
        padding = -end % 4
        made = bytearray(self._content) + bytes(padding)
        made += struct.pack(f"<{1 + len(outputs)}i", len(outputs), *outputs)
        struct.pack_into("<I", made, self._count_at, operators)
        struct.pack_into("<I", made, self._outputs_at, end + padding - self._outputs_at)
        if self._signatures_at:
            struct.pack_into("<I", made, self._signatures_at, 0)  # they name outputs that are not there any more
        return bytes(made)
