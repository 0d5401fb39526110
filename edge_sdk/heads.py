"""Heads: outputs that a variant stores in parts, put together again as the model gives them.

An output that holds boxes of 0..320 beside scores of 0..1 has 256 steps for both in an int8 model, and the scores are lost. The converter
ends such a model earlier; what is left is done here, in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_sdk.bundle.manifest import Head, Part
from edge_sdk.contract import Placement
from edge_sdk.tasks import Task
from edge_sdk.tasks.scores import Floats, activate
from edge_sdk.tensors import Array, TensorSpec


class Assembler:
    """Puts a variant's stored outputs together. Keeps its buffers: one assembler for one thread.

    A head stands where the first of its parts stood; outputs that are in no head stay as they are.

    Args:
        heads: of the variant, which checked that they fit.
        outputs: the variant's stored outputs.

    Attributes:
        outputs: the model's outputs; those of heads are float32.
    """

    def __init__(self, heads: Sequence[Head], outputs: tuple[TensorSpec, ...]) -> None:
        head_of = {part.output: head for head in heads for part in head.parts}
        places = {spec.name: place for place, spec in enumerate(outputs)}
        specs: list[TensorSpec] = []
        self._makers: list[_Whole | int] = []
        made: set[str] = set()
        for place, spec in enumerate(outputs):
            head = head_of.get(spec.name)
            if head is None:
                specs.append(spec)
                self._makers.append(place)
            elif head.name not in made:
                made.add(head.name)
                specs.append(TensorSpec(head.name, head.shape, "float32"))
                stored = [(places[part.output], outputs[places[part.output]]) for part in head.parts]
                self._makers.append(_Whole(head, stored))
        self.outputs = tuple(specs)

    def assemble(self, stored: Sequence[Array]) -> tuple[Array, ...]:
        """The model's outputs. Those of heads are overwritten by the next call."""
        return tuple([stored[maker] if isinstance(maker, int) else maker.fill(stored) for maker in self._makers])


class _Whole:
    """One head's buffer and the fillers of its parts."""

    def __init__(self, head: Head, stored: Sequence[tuple[int, TensorSpec]]) -> None:
        self._buffer: Floats = np.zeros(head.shape, np.float32)
        self._parts = [
            (place, _Filler(part, spec, self._buffer, head.axis))
            for part, (place, spec) in zip(head.parts, stored, strict=True)
        ]

    def fill(self, stored: Sequence[Array]) -> Floats:
        for place, filler in self._parts:
            filler.fill(stored[place])
        return self._buffer


class _Filler:
    """Writes one part into its runs of the buffer.

    Of 8 bits a sigmoid is a table of 256 numbers; the rest is two to five passes over the part, in place.
    """

    def __init__(self, part: Part, spec: TensorSpec, buffer: Floats, axis: int) -> None:
        before, place = (slice(None),) * axis, 0
        self._runs: list[tuple[tuple[slice, ...], Floats]] = []
        for start, stop in part.runs:
            source = (*before, slice(place, place + stop - start))
            self._runs.append((source, buffer[(*before, slice(start, stop))]))
            place += stop - start
        self._target = self._runs[0][1] if len(self._runs) == 1 else np.empty(spec.shape, np.float32)
        self._scatter = [] if len(self._runs) == 1 else self._runs
        self._spec, self._activation = spec, part.activation
        along = (-1,) + (1,) * (len(spec.shape) - axis - 1)
        self._factor = _unless(1.0, np.array(part.factor, np.float32).reshape(along))
        self._offset = _unless(0.0, np.array(part.offset, np.float32).reshape(along))
        self._table: Floats | None = None
        if part.activation == "sigmoid" and spec.quantized and np.dtype(spec.dtype).itemsize == 1:
            numbers = np.arange(256, dtype=np.uint8).view(spec.dtype)
            self._table = activate(spec.dequantize(numbers).astype(np.float64), "sigmoid").astype(np.float32)

    def fill(self, stored: Array) -> None:
        out = self._target
        if self._table is not None:
            np.take(self._table, stored.view(np.uint8), out=out, mode="clip")  # every byte is in the table
        else:
            self._dequantize(stored, out)
            if self._activation != "none":
                out[...] = activate(out, self._activation)
        if self._factor is not None:
            np.multiply(out, self._factor, out=out)
        if self._offset is not None:
            np.add(out, self._offset, out=out)
        for source, run in self._scatter:
            run[...] = out[source]

    def _dequantize(self, stored: Array, out: Floats) -> None:
        """As ``TensorSpec.dequantize``, in place."""
        if not self._spec.quantized:
            np.copyto(out, stored, casting="same_kind")
            return
        np.subtract(stored, np.float32(self._spec.zero_point), out=out, dtype=np.float32, casting="unsafe")
        np.multiply(out, np.float32(self._spec.scale), out=out)


def _unless(neutral: float, numbers: Floats) -> Floats | None:
    return None if bool((numbers == neutral).all()) else numbers


class OnHeads(Task):
    """A task on the outputs that the heads make.

    Args:
        task: made for ``assembler.outputs``.
        assembler: of the variant.
    """

    def __init__(self, task: Task, assembler: Assembler) -> None:
        self._task, self._assembler = task, assembler

    def decode(
        self, outputs: Sequence[Array], placement: Placement | None, captured_ns: int = 0, input_: Array | None = None
    ) -> Any:
        """See the base class; ``outputs`` are as stored."""
        return self._task.decode(self._assembler.assemble(outputs), placement, captured_ns, input_)

    def reset(self) -> None:
        """See the base class."""
        self._task.reset()

    def follow(self, before: Task) -> None:
        """See the base class."""
        self._task.follow(before)

    @property
    def core(self) -> Task:
        """See the base class."""
        return self._task.core
