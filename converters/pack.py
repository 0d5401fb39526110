"""Packing: the variant, contract, labels, golden vectors and figures become one bundle. The same content gives the same bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from converters.calibrate.samples import RawSample, Samples, open_samples
from converters.interpreter import open_interpreter
from converters.quantize.quantize import QuantizedModel
from converters.report.figures import Figures, Proof
from converters.targets.edgetpu.add import compiled_variant, plan_entry
from converters.targets.made import TargetVariant
from converters.variant import Assessed
from converters.verify.sides import Side
from edge_sdk import __version__
from edge_sdk.bundle import Manifest, Variant
from edge_sdk.bundle.golden import difference, golden_inputs, golden_outputs
from edge_sdk.bundle.manifest import ON_GROUND_TRUTH, Head, schema_version_for
from edge_sdk.bundle.write import stored_files, writing_bundle
from edge_sdk.contract import Contract
from edge_sdk.edgetpu.plan import Plan
from edge_sdk.tasks import TaskSettings
from edge_sdk.tensors import Array, TensorSpec
from edge_sdk.window_settings import FULL_SCALE, WindowSettings

_SYNTHETIC, _CHOSEN = 2, 4
_LOOKED_AT = 20  # windows
_LOUD = 3_000  # of made-up sound, of 32,768
_SEED = 0
_LEAST_STEPS, _LEAST_SHARE = 1.0, 1e-3  # kernels that round alike still differ by so much


@dataclass(frozen=True)
class RawInputs:
    """Raw samples for golden vectors, and where they come from."""

    inputs: tuple[Array, ...]
    origin: str


@dataclass(frozen=True)
class GoldenVectors:
    """What one variant made of the raw inputs.

    Attributes:
        outputs: the output tensors of each, as stored.
        said: how far kernels differ, in words.
        tolerance: what another device's kernels may differ by, in steps of an output, or relative where outputs are float. Kernels round
            differently, by one step a layer, which adds up: the optimised ones and TensorFlow Lite's own are both run here, and twice
            their difference is allowed.
    """

    outputs: tuple[tuple[Array, ...], ...]
    said: str
    tolerance: float


@dataclass(frozen=True)
class Packed:
    """A variant for the bundle: the model, the name of what made it so, and what is known of it.

    ``task`` may be its own, not the bundle's: its scores have another threshold. ``plan`` and ``compiled`` are for the Edge TPU.
    """

    model: QuantizedModel
    recipe: str
    heads: tuple[Head, ...]
    proof: Proof
    golden: GoldenVectors
    task: TaskSettings
    plan: Plan | None = None
    compiled: bytes | None = None

    @staticmethod
    def of(assessed: Assessed, inputs: Sequence[Array], task: TaskSettings) -> Packed:
        """Of a variant that was made here; ``inputs`` are raw ones for its golden vectors."""
        made = assessed.made
        golden = make_golden(inputs, made.model.content, made.side)
        return Packed(made.model, made.recipe.name, made.heads, assessed.proof, golden, task)


def raw_inputs(
    chosen: str | None, before: Side, real_range: tuple[float, float], samples: Samples | None = None
) -> RawInputs:
    """Raw inputs for golden vectors: made up from a fixed seed, or the first samples of ``chosen``.

    Args:
        chosen: data of the user's choice, or None.
        before: the float model, or one that came quantized.
        real_range: of its input's numbers; made-up ones lie in it.
        samples: the calibration data, if there is any; made-up windows lie between the smallest and the largest reading of its first.

    Raises:
        DataError: if ``chosen`` cannot be read.
    """
    window = before.contract.window
    if chosen is None and window is not None:
        seen = None if samples is None else [sample.data for sample in samples.first(_LOOKED_AT)]
        return RawInputs(synthetic_windows(window, seen), f"made up, seed {_SEED}")
    if chosen is None:
        return RawInputs(synthetic_inputs(before.contract, before.inputs[0], real_range), f"made up, seed {_SEED}")
    first = open_samples(chosen, shape=before.inputs[0].shape, window=window).first(_CHOSEN)
    return RawInputs(tuple(_blue_first(sample) for sample in first), first.description)


def make_golden(inputs: Sequence[Array], content: bytes, side: Side) -> GoldenVectors:
    """Run a variant on the raw inputs, on the optimised kernels and on TensorFlow Lite's own; one with variables from their first values.

    Raises:
        DataError: if an input does not fit the contract.
    """
    other = open_interpreter(content, optimised=False)
    outputs, gap = [], 0.0
    for number, data in enumerate(inputs):
        if side.stateful:
            side.reset()
            other = open_interpreter(content, optimised=False)
        side.run(RawSample(data, "bgr", f"golden vector {number}"))
        stored = tuple(array.copy() for array in side.outputs_now)
        outputs.append(stored)
        other.reset_all_variables()  # of layers over a sequence, as the engine does
        other.set_tensor(other.get_input_details()[0]["index"], side.input_now)
        other.invoke()
        for details, spec, array in zip(other.get_output_details(), side.stored, stored, strict=True):
            gap = max(gap, difference(spec, other.get_tensor(details["index"]), array))
    steps = any(spec.quantized for spec in side.stored)
    said = (
        f"kernels differ by {gap:g} step{'' if gap == 1 else 's'}"
        if steps
        else f"kernels differ by {gap:.1e} of the largest value"
    )
    return GoldenVectors(tuple(outputs), said, max(_LEAST_STEPS if steps else _LEAST_SHARE, 2 * gap))


def synthetic_inputs(contract: Contract, spec: TensorSpec, real_range: tuple[float, float]) -> tuple[Array, ...]:
    """Noise in the form of a raw sample: bytes of the input tensor's own size, so that no resize takes part, or numbers in its range."""
    rng = np.random.default_rng(_SEED)
    shape = (_SYNTHETIC, *spec.shape[1:])
    if contract.input == "image":
        return tuple(rng.integers(0, 256, shape, np.uint8))
    real = rng.uniform(*real_range, shape)
    if contract.mean is not None and contract.std is not None:
        real = real * np.array(contract.std) + np.array(contract.mean)
    return tuple(real.astype(np.float32))


def synthetic_windows(window: WindowSettings, seen: Sequence[Array] | None) -> tuple[Array, ...]:
    """Noise like raw windows: of the form and type of those ``seen``, each channel between its smallest and its largest reading.

    Where none was, it is sound of 16 bits if the units are full scale, else floats from -1 to 1.
    """
    ends = np.array([[-_LOUD], [_LOUD]], np.int16) if window.units == FULL_SCALE else np.array([[-1], [1]], np.float32)
    windows = ends[None] if seen is None else np.array(seen)
    low, high = windows.min(axis=(0, 1)), windows.max(axis=(0, 1))
    shape = window.shape if seen is None else windows.shape[1:]
    noise = np.random.default_rng(_SEED).uniform(low, high, (_SYNTHETIC, *shape))
    return tuple((np.rint(noise) if windows.dtype.kind in "iu" else noise).astype(windows.dtype))


@contextlib.contextmanager
def packing(
    path: Path,
    figures: Figures,
    packed: Sequence[Packed],
    inputs: Sequence[Array],
    boards: Sequence[str],
    targets: Sequence[TargetVariant] = (),
    *,
    overwrite: bool,
) -> Iterator[None]:
    """Write the bundle, which takes its place when the block ends well.

    Raises:
        OutputError: if ``path`` exists without ``overwrite``, or cannot be written.
    """
    files = {
        "golden/inputs.npz": golden_inputs(inputs),
        "report.json": (figures.for_bundle().model_dump_json(indent=1) + "\n").encode(),
    }
    if figures.labels:
        files["labels.txt"] = ("\n".join(figures.labels) + "\n").encode()
    variants: list[Variant] = []
    compiled: list[tuple[Variant, dict[str, bytes]]] = []
    for id_, each in zip(variant_ids(packed), packed, strict=True):
        variant = _variant(id_, each, None if each.task == figures.task else each.task)
        files[variant.file] = each.model.content
        files[f"golden/{id_}.npz"] = golden_outputs(each.golden.outputs)
        if each.plan is not None:
            variant = variant.model_copy(update={"plan": f"plans/{id_}.json"})
            files[f"plans/{id_}.json"] = plan_entry(each.plan)
        variants.append(variant)
        if each.compiled is not None:
            compiled.append(compiled_variant(variant, (each.compiled,)))
    for variant, entries in compiled:  # behind the others: they run anywhere
        files |= entries
        variants.append(variant)
    for made in targets:
        files |= made.entries
        variants.append(made.variant)
    manifest = Manifest(
        schema_version=schema_version_for(variants, figures.task, figures.contract),
        name=figures.name,
        created_by=f"edge-sdk {__version__}",
        contract=figures.contract,
        task=figures.task,
        labels="labels.txt" if figures.labels else None,
        variants=tuple(variants),
        boards=tuple(boards),
        golden_inputs="golden/inputs.npz",
        report="report.json",
        measured=_measured(figures),
        files=stored_files(files),
    )
    with writing_bundle(path, manifest, files, overwrite=overwrite):
        yield


def _measured(figures: Figures) -> dict[str, JsonValue]:
    """What the first variant is worth: on ground truth where there was any, and by agreement with float."""
    metrics = figures.evaluation.metrics if figures.evaluation else ()
    agreement = figures.parity.agreement if figures.parity else ()
    worth: dict[str, JsonValue] = {metric.name + ON_GROUND_TRUTH: metric.int8_value for metric in metrics}
    return {**worth, **{figure.name: figure.value for figure in agreement}}


def variant_ids(packed: Sequence[Packed]) -> tuple[str, ...]:
    """An id for each: its kind; where the kind is there already, the recipe's name behind it, such as ``tflite-int8-uint8-io``."""
    kinds = [each.model.kind for each in packed]
    return tuple(
        kind
        if kind not in kinds[:place]
        else f"{kind}-{each.recipe.removeprefix(kind.removeprefix('tflite-')).lstrip('-')}"
        for place, (kind, each) in enumerate(zip(kinds, packed, strict=True))
    )


def _variant(id_: str, packed: Packed, task: TaskSettings | None) -> Variant:
    return Variant(
        id=id_,
        kind=packed.model.kind,
        file=f"variants/{id_}.tflite",
        inputs=packed.proof.inputs,
        outputs=packed.proof.outputs,
        operators=packed.proof.operators,
        golden=f"golden/{id_}.npz",
        golden_tolerance=packed.golden.tolerance,
        heads=packed.heads,
        task=task,
    )


def _blue_first(sample: RawSample) -> Array:
    """Golden vectors carry no channel order: they are stored as OpenCV gives images."""
    image = sample.data.dtype == np.uint8 and sample.data.ndim == 3 and sample.data.shape[2] == 3
    return np.ascontiguousarray(sample.data[:, :, ::-1]) if image and sample.colour == "rgb" else sample.data
