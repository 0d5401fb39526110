"""What ``edge-sdk inspect`` says of a bundle."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from edge_sdk.bundle import Bundle, Variant
from edge_sdk.bundle.manifest import Part
from edge_sdk.cli.inspect_edgetpu import compiled_text
from edge_sdk.cli.inspect_model import verdict
from edge_sdk.cli.inspect_plan import plan_facts, plan_lines
from edge_sdk.cli.table import facts, heading, paragraph, size, table
from edge_sdk.contract import Contract
from edge_sdk.edgetpu.package import read_compiled
from edge_sdk.errors import EngineError, MissingPackageError, ModelError
from edge_sdk.onnx.model import model_in
from edge_sdk.openvino.archive import read_archive
from edge_sdk.tasks import TaskSettings
from edge_sdk.tensors import TensorSpec
from edge_sdk.tflite import describe

_SHOWN = 40  # measured figures
_LAYER = re.compile(rb'<layer [^>]*?\btype="(\w{1,64})"')  # of OpenVINO's graph


def bundle_facts(bundle: Bundle) -> dict[str, Any]:
    """The description for ``--json``: the manifest, and what was found in each variant."""
    return {
        "size_bytes": bundle.path.stat().st_size,
        "manifest": bundle.manifest.model_dump(mode="json"),
        "labels": list(bundle.labels()),
        "variants": {variant.id: variant_verdict(bundle, variant) for variant in bundle.manifest.variants},
        "plans": plan_facts(bundle),
        "verdict": _verdict(bundle),
    }


def bundle_lines(bundle: Bundle) -> Iterator[str]:
    """The description for people."""
    manifest = bundle.manifest
    yield from facts([(manifest.name, f"bundle, {size(bundle.path.stat().st_size)}, made by {manifest.created_by}")])
    yield ""
    yield from facts(_facts(bundle))
    yield from heading("Variants")
    yield from _variant_lines(bundle)
    if any(variant.heads for variant in manifest.variants):
        yield from heading("Heads")
        yield from _head_lines(bundle)
    yield from plan_lines(bundle)
    yield from _measured_lines("Measured", manifest.measured)
    for variant in manifest.variants:
        yield from _measured_lines(f"Measured of {variant.id}", variant.measured)
    yield from heading("Files")
    rows = [(name, f"{stored.size_bytes:,}", stored.sha256[:16]) for name, stored in sorted(manifest.files.items())]
    yield from table(("name", "bytes", "SHA-256 begins"), rows, right=("bytes",))
    yield from heading("Verdict")
    yield paragraph(_verdict(bundle))
    yield from facts((variant.id, variant_verdict(bundle, variant)) for variant in manifest.variants)


def _measured_lines(title: str, figures: dict[str, Any]) -> Iterator[str]:
    if not figures:
        return
    yield from heading(title)
    measured = list(_flat("", figures))
    yield from facts(measured[:_SHOWN])
    if len(measured) > _SHOWN:
        yield f"  and {len(measured) - _SHOWN} more (--json lists all)"


def variant_verdict(bundle: Bundle, variant: Variant) -> str:
    """What the variant's file itself tells, whatever the manifest says of it."""
    if variant.file.endswith(".onnx"):
        return onnx_verdict(bundle.read(variant.file))
    if variant.kind.startswith("openvino"):
        return openvino_verdict(bundle.read(variant.file))
    if not variant.file.endswith(".tflite"):
        return f"Not looked into: {variant.file} is no .tflite model."
    content = bundle.read(variant.file)
    try:
        compiled = read_compiled(content)
        made = f" {compiled_text(compiled)}" if compiled is not None else ""
        return verdict(describe(content)) + made
    except ModelError as exc:
        return f"Damaged: {exc}."
    except MissingPackageError as exc:
        return f"Not looked into: {exc}."


def onnx_verdict(content: bytes) -> str:
    """How an ONNX model computes, and its operators."""
    try:
        model = model_in(content)
    except EngineError as exc:
        return f"Damaged: {exc}."
    pairs = ("QuantizeLinear", "DequantizeLinear")
    listed = _listed(model.operators, pairs)
    if model.quantized:
        counts = " and ".join(f"{model.operators[name]:,} {name}" for name in pairs)
        return f"ONNX, quantized (QDQ): {counts} among {listed}."
    return f"ONNX in {'float16' if model.halves else 'floating point'}: {listed}."


def openvino_verdict(content: bytes) -> str:
    """How a model of OpenVINO computes, and its layers."""
    try:
        graph = read_archive(io.BytesIO(content)).graph
    except EngineError as exc:
        return f"Damaged: {exc}."
    layers = Counter(found.decode() for found in _LAYER.findall(graph))
    listed = _listed(layers, ("FakeQuantize", "Const", "Parameter", "Result", "Convert"))
    if layers["FakeQuantize"]:
        return f"OpenVINO, quantized: {layers['FakeQuantize']:,} FakeQuantize among {listed}."
    return f"OpenVINO in floating point: {listed}."


def _listed(operators: Counter[str], without: tuple[str, ...]) -> str:
    """The most frequent one first."""
    return ", ".join(f"{n:,} {name}" for name, n in operators.most_common() if name not in without) or "nothing"


def _verdict(bundle: Bundle) -> str:
    return f"Whole: each of the {len(bundle.manifest.files)} files has the size and the hash that the manifest states."


def _facts(bundle: Bundle) -> Iterator[tuple[str, str]]:
    manifest = bundle.manifest
    yield "contract", contract_text(manifest.contract)
    yield "task", _task_text(manifest.task)
    labels = bundle.labels()
    shown = ", ".join(labels[:8]) + (", ..." if len(labels) > 8 else "")
    yield "labels", f"{len(labels):,}: {shown}" if labels else "none"
    yield "boards", ", ".join(manifest.boards) or "none named"
    yield "golden", f"inputs in {manifest.golden_inputs}" if manifest.golden_inputs else "none"
    yield "report", manifest.report or "none"


def contract_text(contract: Contract) -> str:
    """The contract in one line."""
    scaled = f", (x - {contract.mean}) / {contract.std}" if contract.mean else ", as they are"
    if contract.window is not None:
        w = contract.window
        seen = "" if contract.features is None else f", {contract.features.kind}"
        return (
            f"windows of {w.length} readings at {w.rate_hz:g} Hz, {w.hop} apart, of {', '.join(w.channels)} in units of {w.units}, "
            f"gap {w.gap}{seen}{scaled}"
        )
    if contract.input == "tensor":
        return f"numbers in the shape of the input{scaled}"
    if contract.range is not None:
        scaling = f"bytes 0..255 stand for {contract.range[0]:g}..{contract.range[1]:g}"
    else:
        scaling = f"(byte - {contract.mean}) / {contract.std}"
    pad = f", filled with {contract.pad}" if contract.resize == "letterbox" else ""
    return f"image, {contract.colour}, {scaling}, resize {contract.resize}{pad}"


def _task_text(task: TaskSettings) -> str:
    settings = task.model_dump(mode="json", exclude={"kind"}, exclude_defaults=True)
    return task.kind + "".join(f", {key} {value}" for key, value in _flat("", settings))


def _variant_lines(bundle: Bundle) -> Iterator[str]:
    files = bundle.manifest.files
    rows = [
        (
            v.id,
            size(files[v.file].size_bytes),
            _specs_text(v.inputs),
            _specs_text(v.outputs),
            f"{sum(v.operators.values()):,}",
            _golden_text(v),
        )
        for v in bundle.manifest.variants
    ]
    yield from table(("id", "size", "input", "output", "operators", "golden"), rows, right=("size", "operators"))


def _head_lines(bundle: Bundle) -> Iterator[str]:
    """The outputs that the device puts together from stored ones."""
    rows = [
        (v.id, head.name, "x".join(map(str, head.shape)), " | ".join(map(_part_text, head.parts)))
        for v in bundle.manifest.variants
        for head in v.heads
    ]
    yield from table(("variant", "output", "shape", "made on the device of"), rows)


def _part_text(part: Part) -> str:
    text = part.output if part.activation == "none" else f"{part.activation}({part.output})"
    scaled = set(part.factor) != {1.0} or set(part.offset) != {0.0}
    return f"{text}, scaled" if scaled else text


def _specs_text(specs: tuple[TensorSpec, ...]) -> str:
    return ", ".join(f"{spec.dtype} {'x'.join(map(str, spec.shape))}" for spec in specs)


def _golden_text(variant: Variant) -> str:
    return f"within {variant.golden_tolerance:g}" if variant.golden else "none"


def _flat(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """Leaves of nested figures, their keys joined by dots; long lists by their length."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(f"{key}.{name}" if key else str(name), inner)
    elif isinstance(value, list) and len(value) > 12:
        yield key, f"{len(value):,} entries"
    elif isinstance(value, float):
        yield key, f"{value:.6g}"
    else:
        yield key, str(value)
