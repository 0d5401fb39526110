"""Operators that only move values, as RESHAPE, SLICE and CONCATENATION: bit for bit the same."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from converters.targets.edgetpu.fixes import Fix
from converters.targets.edgetpu.fixes.editor import Editor

_MOST_PIECES = 16  # of a GATHER; more would cost more than they save


def _reshape(editor: Editor, operator: Any) -> list[Any]:
    return [editor.reshape(int(operator.inputs[0]), int(operator.outputs[0]))]


def _strided_slice(editor: Editor, operator: Any) -> list[Any] | None:
    entry, output = int(operator.inputs[0]), int(operator.outputs[0])
    options, shape = operator.builtinOptions, editor.shape(entry)
    begin, end, strides = (editor.values(int(i)) for i in operator.inputs[1:4])
    if begin is None or end is None or strides is None or options.ellipsisMask or options.newAxisMask:
        return None
    if len(begin) != len(shape) or any(s != 1 for s in strides):
        return None
    starts, sizes = [], []
    for axis, length in enumerate(shape):
        first = 0 if options.beginMask >> axis & 1 else int(begin[axis])
        first += length if first < 0 else 0
        last = length if options.endMask >> axis & 1 else int(end[axis])
        last += length if last < 0 else 0
        if options.shrinkAxisMask >> axis & 1:
            last = first + 1
        starts.append(min(max(first, 0), length))
        sizes.append(min(last, length) - starts[-1])
    if min(sizes) < 1 or prod(sizes) != prod(editor.shape(output)):
        return None
    return _cut(editor, entry, output, starts, tuple(sizes))


def _cut(editor: Editor, entry: int, output: int, begin: list[int], size: tuple[int, ...]) -> list[Any]:
    """A SLICE, and a RESHAPE where the output has other axes."""
    if size == editor.shape(output):
        return [editor.slice(entry, output, begin)]
    part = editor.tensor(output, size)
    return [editor.slice(entry, part, begin), editor.reshape(part, output)]


def _split(editor: Editor, operator: Any) -> list[Any] | None:
    """SPLIT has its axis in front, SPLIT_V behind."""
    places = sorted((int(i) for i in operator.inputs), key=lambda i: editor.values(i) is not None)
    entry = places[0]
    axes = [v for i in places[1:] if (v := editor.values(i)) is not None and v.size == 1]
    if not axes:
        return None
    axis = int(axes[-1].reshape(-1)[0]) % len(editor.shape(entry))
    made, start = [], 0
    for output in map(int, operator.outputs):
        begin = [0] * len(editor.shape(entry))
        begin[axis] = start
        start += editor.shape(output)[axis]
        made.append(editor.slice(entry, output, begin))
    return made if start == editor.shape(entry)[axis] else None


def _unpack(editor: Editor, operator: Any) -> list[Any]:
    entry = int(operator.inputs[0])
    shape = editor.shape(entry)
    axis = operator.builtinOptions.axis % len(shape)
    made = []
    for number, output in enumerate(map(int, operator.outputs)):
        begin = [0] * len(shape)
        begin[axis] = number
        made += _cut(editor, entry, output, begin, (*shape[:axis], 1, *shape[axis + 1 :]))
    return made


def _pack(editor: Editor, operator: Any) -> list[Any] | None:
    output = int(operator.outputs[0])
    shape = editor.shape(output)
    axis = operator.builtinOptions.axis % len(shape)
    inputs = [int(i) for i in operator.inputs]
    if not editor.alike(*inputs, output) or any(editor.values(i) is not None for i in inputs):
        return None
    parts = [editor.tensor(output, (*shape[:axis], 1, *shape[axis + 1 :])) for _ in inputs]
    made = [editor.reshape(entry, part) for entry, part in zip(inputs, parts, strict=True)]
    return [*made, editor.operator("CONCATENATION", parts, [output], axis=axis)]


def _gather(editor: Editor, operator: Any) -> list[Any] | None:
    entry, output = int(operator.inputs[0]), int(operator.outputs[0])
    wanted, shape = editor.values(int(operator.inputs[1])), editor.shape(entry)
    if wanted is None or wanted.ndim > 1 or operator.builtinOptions.batchDims or not editor.alike(entry, output):
        return None
    axis = operator.builtinOptions.axis % len(shape)
    runs = _runs([int(i) for i in wanted.reshape(-1)])
    if len(runs) > _MOST_PIECES or any(not 0 <= start < stop <= shape[axis] for start, stop in runs):
        return None
    made: list[Any] = []
    parts = []
    for start, stop in runs:
        begin, size = [0] * len(shape), (*shape[:axis], stop - start, *shape[axis + 1 :])
        begin[axis] = start
        if len(runs) == 1:
            return _cut(editor, entry, output, begin, size)
        parts.append(editor.tensor(output, size))
        made.append(editor.slice(entry, parts[-1], begin))
    return [*made, editor.operator("CONCATENATION", parts, [output], axis=axis)]


def _runs(indices: list[int]) -> list[tuple[int, int]]:
    """Neighbours that follow each other, as (start, stop)."""
    runs: list[tuple[int, int]] = []
    for index in indices:
        if runs and runs[-1][1] == index:
            runs[-1] = runs[-1][0], index + 1
        else:
            runs.append((index, index + 1))
    return runs


def _pad_channels(editor: Editor, operator: Any) -> list[Any] | None:
    """Zeros before or behind the channels, as a concatenation with a constant of zeros."""
    entry, output = int(operator.inputs[0]), int(operator.outputs[0])
    amounts, quantization = editor.values(int(operator.inputs[1])), editor.quantization(entry)
    if amounts is None or quantization is None or not editor.alike(entry, output) or amounts[-1].sum() == 0:
        return None
    dtype = np.dtype("int8" if editor.graph.tensors[entry].type == 9 else "uint8")
    rest = amounts.copy()
    rest[-1] = 0
    made: list[Any] = []
    if rest.any():
        shape = tuple(n + int(a) + int(b) for n, (a, b) in zip(editor.shape(entry), rest, strict=True))
        part = editor.tensor(entry, shape)
        made.append(editor.operator("PAD", [entry, editor.numbers("paddings", rest)], [part]))
        entry = part
    for side, count in enumerate(int(n) for n in amounts[-1]):
        if count == 0:
            continue
        shape = editor.shape(entry)
        zeros = np.full((*shape[:-1], count), quantization[1], dtype)
        constant = editor.constant("zeros", zeros, like=entry)
        last = side == 1 or amounts[-1][1] == 0
        part = output if last else editor.tensor(entry, (*shape[:-1], shape[-1] + count))
        pair = [constant, entry] if side == 0 else [entry, constant]
        made.append(editor.operator("CONCATENATION", pair, [part], axis=len(shape) - 1))
        entry = part
    return made


FIXES = (
    Fix("reshape", ("SQUEEZE", "EXPAND_DIMS"), "only the shape changes: a RESHAPE does it", 0, _reshape),
    Fix("slice", ("STRIDED_SLICE",), "with a stride of 1 it is a SLICE, and a RESHAPE where an axis falls away", 0, _strided_slice),
    Fix("slices", ("SPLIT", "SPLIT_V"), "each part is a SLICE", 0, _split),
    Fix("unpack", ("UNPACK",), "each part is a SLICE and a RESHAPE", 0, _unpack),
    Fix("pack", ("PACK",), "the parts get an axis by RESHAPE, and are joined by CONCATENATION", 0, _pack),
    Fix("gather", ("GATHER",), "constant indices are SLICEs, joined by CONCATENATION", 0, _gather),
    Fix("pad-channels", ("PAD",), "zeros beside the channels are a CONCATENATION with a constant", 0, _pad_channels),
)  # fmt: skip
