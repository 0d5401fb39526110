"""What ``edge-sdk inspect`` says of a model compiled for the Edge TPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from edge_sdk.cli.table import WIDTH, facts, heading, paragraph, shorten, size, table
from edge_sdk.edgetpu.executable import DmaHints, Executable, Layer
from edge_sdk.edgetpu.package import CompiledModel, EdgeTpuOperator, Package

_SHOWN = 16  # operators, names; --json lists all
_LAYERS = 64
_COLUMNS = 3  # executables: no runtime takes more
_TOKENS = (
    "One file cannot tell whether it was compiled together with others: the compiler gives every model a token, a common one to those "
    "compiled together. Compare: edge-sdk inspect THIS --beside OTHER"
)
_FIELDS: tuple[tuple[str, Callable[[Executable], str]], ...] = (
    ("format version", lambda x: str(x.version)),
    ("name", lambda x: shorten(x.name, WIDTH) or "none"),
    ("type", lambda x: x.kind),
    ("chip", lambda x: shorten(x.chip, WIDTH) or "not stated"),
    ("batch size", lambda x: f"{x.batch_size:,}"),
    ("parameter bytes", lambda x: f"{x.parameter_bytes:,}"),
    ("instruction bytes", lambda x: f"{x.instruction_bytes:,} in {x.instruction_chunks:,}"),
    ("scratch bytes", lambda x: f"{x.scratch_bytes:,}"),
    ("narrow memory, bytes per tile", lambda x: f"{x.used_narrow_memory_bytes_per_tile:,}"),
    ("caching token", lambda x: token_text(x.parameter_caching_token)),
    ("estimated cycles, 32 bits", lambda x: _cycles(x.estimated_cycles)),
    ("estimated cycles, 64 bits", lambda x: _cycles(x.estimated_cycles_64bit)),
    ("parameters in TPU DRAM", lambda x: "yes" if x.use_tpu_dram else "no"),
    ("serialized model bytes", lambda x: f"{x.model_bytes:,}"),
    ("DMA hints", lambda x: _hints(x.dma_hints)),
    ("inputs, outputs", lambda x: f"{len(x.input_layers)}, {len(x.output_layers)}"),
)


def compiled_facts(model: CompiledModel) -> dict[str, Any]:
    """The description for ``--json``: every field, and what follows from them. Tokens stand in hexadecimal too: they exceed 53 bits."""
    return {
        "partitions": model.partitions,
        "cached_bytes": model.cached_bytes,
        "streamed_bytes": model.streamed_bytes,
        "instruction_bytes": model.instruction_bytes,
        "input_bytes": model.input_bytes,
        "output_bytes": model.output_bytes,
        "min_runtime_version": model.min_runtime_version,
        "caching_tokens": [token_text(token) for token in sorted(model.tokens)],
        "refusal": model.refusal,
        "cpu_operator_counts": dict(Counter(operator.name for operator in model.cpu_operators).most_common()),
        **asdict(model),
    }


def compiled_lines(model: CompiledModel) -> Iterator[str]:
    """The description for people."""
    yield from heading("Edge TPU")
    yield from facts(_summary(model))
    if model.tokens:
        yield paragraph(_TOKENS)
    for operator in model.operators[:_SHOWN]:
        yield from _operator_lines(operator)
    if len(model.operators) > _SHOWN:
        yield f"  and {len(model.operators) - _SHOWN:,} operators for the Edge TPU more (--json lists all)"


def compiled_text(model: CompiledModel) -> str:
    """The description in a sentence, as of a bundle's variant."""
    partitions = f"{model.partitions:,} partition{'' if model.partitions == 1 else 's'}"
    refused = f". libedgetpu will not load it: {model.refusal}" if model.refusal else ""
    return (
        f"Compiled for the Edge TPU: {partitions}, {model.cached_bytes:,} bytes cached on the chip, {model.streamed_bytes:,} streamed; "
        f"runtime version {model.min_runtime_version} or newer; on the processor: {_on_the_processor(model)}{refused}."
    )


def beside_text(model: CompiledModel, other: CompiledModel | None) -> str:
    """Whether two models have the chip's memory in common, in a sentence."""
    if other is None:
        return "The other is not compiled for the Edge TPU."
    if model.compiled_together_with(other):
        both = model.cached_bytes + other.cached_bytes
        return f"Compiled together: both have one token, and their {size(both)} of parameters stay on the chip side by side."
    if not model.tokens or not other.tokens:
        return "Not compiled together: one of them keeps no parameters on the chip."
    return (
        "Not compiled together: their tokens differ, so each time one follows the other on the same Edge TPU its "
        f"{size(model.cached_bytes)} or {size(other.cached_bytes)} of parameters are loaded again."
    )


def token_text(token: int) -> str:
    """A caching token as it is written elsewhere."""
    return f"0x{token:016x}" if token else "none"


def _summary(model: CompiledModel) -> Iterator[tuple[str, str]]:
    yield "partitions", f"{model.partitions:,}: an inference goes to the Edge TPU as many times"
    yield "cached", f"{model.cached_bytes:,} bytes of parameters stay on the chip"
    yield "streamed", f"{model.streamed_bytes:,} bytes of parameters are sent at every inference"
    yield "instructions", f"{model.instruction_bytes:,} bytes are sent at every inference"
    yield "activations", f"{model.input_bytes:,} bytes in, {model.output_bytes:,} bytes out, padding included"
    yield "runtime", f"libedgetpu of runtime version {model.min_runtime_version} or newer"
    yield (
        "token",
        ", ".join(token_text(token) for token in sorted(model.tokens)) or "none: no parameters stay on the chip",
    )
    yield "on the processor", _on_the_processor(model)
    if model.refusal:
        yield "refused", f"libedgetpu will not load it: {model.refusal}"


def _on_the_processor(model: CompiledModel) -> str:
    counts = Counter(operator.name for operator in model.cpu_operators)
    if not counts:
        return "nothing"
    before = sum(not operator.after_tpu for operator in model.cpu_operators)
    where = f", {before:,} of them before the Edge TPU" if before else ""
    named = _names(tuple(f"{count} {name}" if count > 1 else name for name, count in counts.most_common()))
    return f"{len(model.cpu_operators):,} operator{'s' if len(model.cpu_operators) > 1 else ''}{where}: {named}"


def _operator_lines(operator: EdgeTpuOperator) -> Iterator[str]:
    yield from heading(f"Operator {operator.index}: edgetpu-custom-op")
    rows = [("takes", _names(operator.inputs)), ("makes", _names(operator.outputs))]
    if operator.deprecated_bytes:
        rows.append(("old cache", f"{operator.deprecated_bytes:,} bytes in a form that the runtime ignores"))
    yield from facts([*rows, ("options", _options_text(operator))])
    for number, package in enumerate((operator.package, *operator.further_packages)):
        yield from _package_lines(package, "package" if number == 0 else f"further package {number}")


def _names(names: tuple[str, ...]) -> str:
    more = f", and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(shorten(name, WIDTH) for name in names[:_SHOWN]) + more


def _options_text(operator: EdgeTpuOperator) -> str:
    chips = _names(tuple(map(str, operator.chips))) or "not stated"
    preference = "not stated" if operator.execution_preference is None else operator.execution_preference
    return f"version {operator.version}, execution preference {preference}, chips {chips}"


def _package_lines(package: Package, title: str) -> Iterator[str]:
    signed = f"signed ({package.signature_bytes:,} bytes)" if package.signature_bytes else "not signed"
    stated = f", identifier {shorten(package.model_identifier, WIDTH)}" if package.model_identifier else ""
    chips = f", for {package.chip_packages} chips" if package.chip_packages else ""
    text = (
        f"runtime {package.min_runtime_version}, compiler {shorten(package.compiler_version, WIDTH) or 'not stated'}, {signed}, key pair "
        f"{package.keypair_version}, virtual chip {package.virtual_chip_id}{chips}{stated}"
    )
    yield from facts([(title, text)])
    if not package.executables:
        return
    yield ""
    shown = package.executables[:_COLUMNS]
    titles = ("executable", *map(str, range(len(shown))))
    yield from table(titles, [(name, *map(field, shown)) for name, field in _FIELDS], right=titles[1:])
    for number, executable in enumerate(shown):
        if executable.input_layers or executable.output_layers:
            yield ""
            yield from _layer_lines(executable, f"of {number}" if len(shown) > 1 else "")
    if len(package.executables) > len(shown):
        yield f"  and {len(package.executables) - len(shown):,} executables more (--json lists all)"


def _layer_lines(executable: Executable, which: str) -> Iterator[str]:
    sides = (("input", executable.input_layers), ("output", executable.output_layers))
    rows = [(side, layer) for side, layers in sides for layer in layers]
    yield from table(
        (which, "layer", "shape", "dtype", "bytes", "scale", "zero point"),
        [(side, *_layer_row(layer)) for side, layer in rows[:_LAYERS]],
        right=("bytes", "scale", "zero point"),
    )
    if len(rows) > _LAYERS:
        yield f"  and {len(rows) - _LAYERS:,} layers more (--json lists all)"


def _layer_row(layer: Layer) -> tuple[str, ...]:
    times = f" x {layer.executions}" if layer.executions != 1 else ""
    dram = ", in DRAM" if layer.cached_in_dram else ""
    scale = "" if layer.scale is None else f"{layer.scale:.6g}"
    point = "" if layer.zero_point is None else str(layer.zero_point)
    shape = "x".join(map(str, layer.shape[:_SHOWN]))
    return shorten(layer.name, WIDTH), shape, layer.dtype + dram, f"{layer.size_bytes:,}{times}", scale, point


def _cycles(count: int) -> str:
    return f"{count:,}" if count else "not stated"


def _hints(hints: DmaHints | None) -> str:
    if hints is None:
        return "none"
    return f"{hints.count:,}, {'all transfers' if hints.complete else 'not all transfers'}"
