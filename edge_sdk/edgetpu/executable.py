"""An executable of the Edge TPU: instructions and parameters, and what they take and make.

Field numbers and meanings: ``executable/executable.fbs`` of google-coral/libedgetpu.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from edge_sdk.edgetpu.flatbuffer import Buffer, Table
from edge_sdk.errors import ModelError

Kind = Literal["stand-alone", "parameter-caching", "execution-only"]
_KINDS: tuple[Kind, ...] = ("stand-alone", "parameter-caching", "execution-only")
_DTYPES = {
    0: "uint8",
    1: "uint16",
    2: "int32",
    3: "bfloat16",
    4: "float16",
    5: "float32",
    8: "int8",
    9: "int16",
}
_HINTS = ("none", "dma", "instruction", "interrupt", "fence")
_MOVED = ("output", "input", "parameter", "scratch")


@dataclass(frozen=True)
class Layer:
    """An input or an output.

    Attributes:
        name: the tensor's.
        shape: (y, x, z), or all axes where the compiler states them; a missing axis is 1.
        dtype: as NumPy calls it.
        size_bytes: as transferred, padding included, of one run of a batch of one.
        scale, zero_point: real = scale * (stored - zero_point), as the package states them: of signed types its zero point is 128
            (int16: 32,768) above the tensor's. None where the package states none.
        executions: how often it is transferred for one inference.
        cached_in_dram: kept in the chip's own DRAM, which a Coral has not.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    size_bytes: int
    scale: float | None
    zero_point: int | None
    executions: int
    cached_in_dram: bool


@dataclass(frozen=True)
class DmaHints:
    """Transfers that the runtime can prepare before the chip asks for them.

    Attributes:
        count: of all hints; ``instructions``, ``interrupts`` and ``fences`` among them.
        input_bytes, output_bytes, parameter_bytes, scratch_bytes: moved by the rest, in one run.
        complete: the hints are all transfers that there will be.
    """

    count: int
    input_bytes: int
    output_bytes: int
    parameter_bytes: int
    scratch_bytes: int
    instructions: int
    interrupts: int
    fences: int
    complete: bool


@dataclass(frozen=True)
class Executable:
    """One program for the chip.

    Attributes:
        version: of the format.
        name: of the model, as the compiler calls it.
        kind: ``parameter-caching`` loads parameters into the chip, where ``execution-only`` finds them; ``stand-alone`` needs no other.
        model_bytes: of the model's source, where the compiler left it in.
        batch_size: inputs that one run takes.
        scratch_bytes: memory of the host that one run needs, of a batch of one.
        instruction_bytes: of all ``instruction_chunks`` together; streamed at every run.
        parameter_bytes: loaded once by a parameter-caching executable, streamed at every run by any other.
        estimated_cycles, estimated_cycles_64bit: 0 where the compiler states none; the first is deprecated.
        used_narrow_memory_bytes_per_tile: how much of each tile's memory for activations is taken at most.
        parameter_caching_token: executables of the same token may have their parameters on the chip together; 0 is none.
        use_tpu_dram: parameters go to the chip's own DRAM, which a Coral has not.
    """

    version: int
    name: str
    kind: Kind
    model_bytes: int
    batch_size: int
    scratch_bytes: int
    instruction_chunks: int
    instruction_bytes: int
    parameter_bytes: int
    dma_hints: DmaHints | None
    input_layers: tuple[Layer, ...]
    output_layers: tuple[Layer, ...]
    chip: str
    estimated_cycles: int
    used_narrow_memory_bytes_per_tile: int
    parameter_caching_token: int
    use_tpu_dram: bool
    estimated_cycles_64bit: int


def read_executable(buffer: Buffer) -> Executable:
    """Read a serialized executable.

    Raises:
        ModelError: if it is damaged.
    """
    table = buffer.root()
    kind = table.integer(13, "h")
    if not 0 <= kind < len(_KINDS):
        raise ModelError(f"{buffer.what} is of type {kind}; known are 0 to 2 ({', '.join(_KINDS)})")
    chunks = [len(chunk.blob(0)) for chunk in table.tables(5)]
    hints = table.table(7)
    return Executable(
        version=table.integer(0),
        name=table.text(1),
        kind=_KINDS[kind],
        model_bytes=len(table.blob(2)),
        batch_size=_size(buffer, table, 3),
        scratch_bytes=_size(buffer, table, 4),
        instruction_chunks=len(chunks),
        instruction_bytes=sum(chunks),
        parameter_bytes=len(table.blob(6)),
        dma_hints=None if hints is None else _dma_hints(buffer, hints),
        input_layers=tuple(_layer(buffer, layer) for layer in table.tables(8)),
        output_layers=tuple(_layer(buffer, layer) for layer in table.tables(9)),
        chip=table.text(10),
        estimated_cycles=table.integer(11),
        used_narrow_memory_bytes_per_tile=_size(buffer, table, 12),
        parameter_caching_token=table.integer(14, "Q"),
        use_tpu_dram=table.integer(15, "B") != 0,
        estimated_cycles_64bit=table.integer(16, "q"),
    )


def _layer(buffer: Buffer, table: Table) -> Layer:
    numerics, dtype = table.table(5), table.integer(6, "h")
    scale = None if numerics is None else numerics.real(1)
    if scale is not None and not math.isfinite(scale):
        raise buffer.damage(f"a layer has the scale {scale}, which is no number")
    return Layer(
        name=table.text(0),
        shape=_shape(buffer, table),
        dtype=_DTYPES.get(dtype, f"type {dtype}"),
        size_bytes=_size(buffer, table, 1),
        scale=scale,
        zero_point=None if numerics is None else numerics.integer(0),
        executions=_size(buffer, table, 9, default=1),
        cached_in_dram=table.integer(10, "B") != 0,
    )


def _shape(buffer: Buffer, layer: Table) -> tuple[int, ...]:
    """All axes, from the first and the last index of each, where they are stated, else y, x and z."""
    stated = layer.table(11)
    ends = stated.integers(0, each=2) if stated is not None else ()
    shape = tuple(last - first + 1 for first, last in zip(ends[::2], ends[1::2], strict=True))
    if min(shape, default=0) < 0:
        raise buffer.damage(f"a layer has the shape {shape}; lengths below 0 are damage")
    return shape or (_size(buffer, layer, 2), _size(buffer, layer, 3), _size(buffer, layer, 4))


def _dma_hints(buffer: Buffer, table: Table) -> DmaHints:
    kinds = dict.fromkeys(_HINTS, 0)
    moved = dict.fromkeys(_MOVED, 0)
    for hint in table.tables(0):
        kind, content = hint.integer(0, "B"), hint.table(1)
        if kind >= len(_HINTS):
            continue  # of a newer compiler: it counts among all
        kinds[_HINTS[kind]] += 1
        meta = content.table(0) if content is not None and _HINTS[kind] == "dma" else None
        if content is None or meta is None:
            continue
        what = meta.integer(0, "h")
        if 0 <= what < len(_MOVED):
            moved[_MOVED[what]] += _size(buffer, content, 2)
    return DmaHints(
        count=table.count(0),
        input_bytes=moved["input"],
        output_bytes=moved["output"],
        parameter_bytes=moved["parameter"],
        scratch_bytes=moved["scratch"],
        instructions=kinds["instruction"],
        interrupts=kinds["interrupt"],
        fences=kinds["fence"],
        complete=table.integer(1, "B") != 0,
    )


def _size(buffer: Buffer, table: Table, field: int, default: int = 0) -> int:
    """A count or a number of bytes, which is not below 0."""
    found = table.integer(field, default=default)
    if found < 0:
        raise buffer.damage(f"field {field} of a table states a size of {found}")
    return found
