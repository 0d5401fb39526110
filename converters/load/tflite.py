"""Reading a float .tflite, and normalising one, so that every later step and every tool meets the same form of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.graph import builtin_code, compact, drop_unread, main_graph, read_graph, schema, text, write_graph
from converters.load.fold import fold
from converters.load.fuse import fuse_activations
from converters.load.loaded import Loaded, LoadOptions
from converters.load.options import fill_options
from converters.load.probe import probe
from converters.load.refuse import refuse_computed_shapes, refuse_unusable
from converters.load.rewrite import rewrite_operators
from converters.load.transpose_conv import replace_transpose_conv
from converters.load.untranspose import untranspose_means
from edge_sdk.errors import ModelError
from edge_sdk.inputs import read_plain_file
from edge_sdk.tflite import ModelDescription, describe

_SIGNATURE = "serving_default"
_MAX_BYTES = 2 << 30  # a flatbuffer's offsets reach no further


def read(path: Path, options: LoadOptions) -> Loaded:
    """See ``Reader``; a .tflite needs no translation."""
    content = read_plain_file(path, ModelError, give="a float .tflite model", most_bytes=_MAX_BYTES)
    return Loaded(content, "float .tflite", "none", None)


@dataclass(frozen=True)
class Normalised:
    """The normalised file, the same before its operators were changed, and what was changed."""

    content: bytes
    runnable: bytes
    float16_weights_folded: int
    notes: tuple[str, ...]


def normalise(content: bytes, where: str, *, signature: str | None = None) -> Normalised:
    """Check and normalise a .tflite file; it is run for the first time in a process of its own.

    Args:
        content: the file.
        where: what to call it in messages.
        signature: the one to keep of several; default ``serving_default``.

    Raises:
        ModelError: if it is damaged, hostile, or cannot be made full-integer; the message names operator or tensor.
    """
    try:
        return _normalise(content, signature)
    except ModelError as exc:
        raise ModelError(f"{where}: {exc}") from exc


def prepare(content: bytes, signature: str | None) -> tuple[Any, list[str]]:
    """The graph that is left to normalise, and notes; nothing of it has run yet.

    Raises:
        ModelError: if it is damaged or of a form that cannot be made integer.
    """
    describe(content)  # refuses what is damaged, before the unchecked reader below meets it
    model = read_graph(content)
    notes = _keep_one_signature(model, signature)
    notes += replace_transpose_conv(model)
    description = describe(write_graph(model))
    refuse_unusable(description)
    notes += _fix_batch(model, description)
    for code in model.operatorCodes:
        code.builtinCode = builtin_code(code)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    if filled := fill_options(model):
        notes.append(f"Operators that came without options of their own, and have the defaults: {filled}.")
    _name_tensors(model)
    model.signatureDefs = [_signature(main_graph(model))]
    return model, notes


def _normalise(content: bytes, signature: str | None) -> Normalised:
    model, notes = prepare(content, signature)
    runnable = write_graph(model)
    probe(runnable)
    before = len(main_graph(model).operators)
    halves = fold(model, runnable)
    folded = before - len(main_graph(model).operators)
    if folded > halves:
        notes.append(f"Operators that do not depend on the input, computed once and stored: {folded - halves}.")
    notes += rewrite_operators(model)
    if fused := fuse_activations(model):
        notes.append(f"Activations fused into the operator before them: {fused}.")
    if means := untranspose_means(model):
        notes.append(f"Means over axes as they lay before a transpose: {means}.")
    drop_unread(model)
    compact(model)
    normalised = write_graph(model)
    refuse_computed_shapes(describe(normalised))
    return Normalised(normalised, runnable, halves, tuple(notes))


def _keep_one_signature(model: Any, wanted: str | None) -> list[str]:
    """Keep the subgraph of one signature. Returns what was left out, in words."""
    signatures = model.signatureDefs or []
    places = {signature.subgraphIndex for signature in signatures}
    chosen = next((s for s in signatures if text(s.signatureKey) == (wanted or _SIGNATURE)), None)
    keys = ", ".join(repr(text(s.signatureKey)) for s in signatures) or "none"
    if chosen is None and wanted is not None:
        raise ModelError(f"the model has no signature {wanted!r}; it has {keys}. Name one of them by --signature")
    if chosen is None and len(places) > 1:
        raise ModelError(
            f"the model has the signatures {keys} and none called {_SIGNATURE!r}; say which one by --signature"
        )
    chosen = chosen or next(iter(signatures), None)
    place = 0 if chosen is None else int(chosen.subgraphIndex)
    key = "" if chosen is None else text(chosen.signatureKey)
    model.subgraphs, model.signatureDefs = [model.subgraphs[place]], []
    return [f"Of {len(signatures)} signatures, {key!r} was converted."] if len(signatures) > 1 else []


def _signature(graph: Any) -> Any:
    """A signature that calls inputs and outputs by their tensors' names."""
    signature = schema().SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = _SIGNATURE, 0
    signature.inputs = [_entry(graph, index) for index in graph.inputs]
    signature.outputs = [_entry(graph, index) for index in graph.outputs]
    return signature


def _entry(graph: Any, index: int) -> Any:
    entry = schema().TensorMapT()
    entry.name, entry.tensorIndex = text(graph.tensors[index].name), int(index)
    return entry


def _fix_batch(model: Any, description: ModelDescription) -> list[str]:
    entry = description.tensors[description.inputs[0]]
    for tensor in main_graph(model).tensors:
        tensor.shapeSignature = None
    return [f"The dynamic batch of input {entry.name!r} was fixed to 1."] if entry.dynamic else []


def _name_tensors(model: Any) -> None:
    """Give every tensor a name of its own: the quantizer and the comparison of layers go by names. Inputs and outputs come first."""
    graph = main_graph(model)
    ends = [int(i) for i in (*graph.inputs, *graph.outputs)]
    order = dict.fromkeys([*ends, *range(len(graph.tensors))])
    taken: set[str] = set()
    for index in order:
        wanted = text(graph.tensors[index].name) or f"tensor_{index}"
        name, number = wanted, 1
        while name in taken:
            name, number = f"{wanted}_{number}", number + 1
        taken.add(name)
        graph.tensors[index].name = name
