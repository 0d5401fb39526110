"""Packing: the variant, contract, labels, golden vectors and figures become one bundle. The same content gives the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.calibrate.ranges import Ranges
from converters.calibrate.samples import RawSample, open_samples
from converters.interpreter import open_interpreter
from converters.report.figures import Figures
from converters.verify.sides import Side
from edge_sdk import __version__
from edge_sdk.bundle import Manifest, Variant, write_bundle
from edge_sdk.bundle.golden import difference, golden_inputs, golden_outputs
from edge_sdk.bundle.write import stored_files
from edge_sdk.contract import Contract
from edge_sdk.tensors import Array, TensorSpec

KIND = "tflite-int8"
_SYNTHETIC, _CHOSEN = 2, 4
_SEED = 0


@dataclass(frozen=True)
class GoldenVectors:
    """Raw inputs, and what the int8 model made of them.

    Attributes:
        inputs: raw samples.
        outputs: the output tensors of each, as stored.
        origin: where the inputs come from.
        tolerance: what another device's kernels may differ by, in steps of an output. Kernels round differently, by one step a layer,
            which adds up: the optimised ones and TensorFlow Lite's own are both run here, and twice their difference is allowed.
    """

    inputs: tuple[Array, ...]
    outputs: tuple[tuple[Array, ...], ...]
    origin: str
    tolerance: float


def make_golden(chosen: str | None, int8: bytes, side: Side, ranges: Ranges) -> GoldenVectors:
    """Golden vectors: made up from a fixed seed, or the first samples of ``chosen``.

    Args:
        chosen: data of the user's choice, or None.
        int8, side: the int8 model, and the same with its encoder.
        ranges: of the float model; made-up numbers lie in the range of its input.

    Raises:
        DataError: if ``chosen`` cannot be read or does not fit.
    """
    if chosen is None:
        inputs = synthetic_inputs(side.contract, side.inputs[0], ranges)
        origin = f"made up, seed {_SEED}"
    else:
        samples = open_samples(chosen, shape=side.inputs[0].shape).first(_CHOSEN)
        inputs = tuple(_blue_first(sample) for sample in samples)
        origin = samples.description
    other = open_interpreter(int8, optimised=False)
    outputs, gap = [], 0.0
    for number, data in enumerate(inputs):
        side.run(RawSample(data, "bgr", f"golden vector {number}"))
        stored = tuple(array.copy() for array in side.outputs_now)
        outputs.append(stored)
        other.set_tensor(other.get_input_details()[0]["index"], side.input_now)
        other.invoke()
        for details, spec, array in zip(other.get_output_details(), side.stored, stored, strict=True):
            gap = max(gap, difference(spec, other.get_tensor(details["index"]), array))
    return GoldenVectors(inputs, tuple(outputs), f"{origin}; kernels differ by {gap:g} steps", max(1.0, 2 * gap))


def synthetic_inputs(contract: Contract, spec: TensorSpec, ranges: Ranges) -> tuple[Array, ...]:
    """Noise in the form of a raw sample: bytes of the input tensor's own size, so that no resize takes part, or numbers in its range."""
    rng = np.random.default_rng(_SEED)
    shape = (_SYNTHETIC, *spec.shape[1:])
    if contract.input == "image":
        return tuple(rng.integers(0, 256, shape, np.uint8))
    real = rng.uniform(ranges.minima[spec.name], ranges.maxima[spec.name], shape)
    if contract.mean is not None and contract.std is not None:
        real = real * np.array(contract.std) + np.array(contract.mean)
    return tuple(real.astype(np.float32))


def pack(
    path: Path,
    *,
    figures: Figures,
    int8: bytes,
    golden: GoldenVectors,
    boards: Sequence[str],
    overwrite: bool,
) -> None:
    """Write the bundle.

    Raises:
        OutputError: if ``path`` exists without ``overwrite``, or cannot be written.
    """
    model_file = f"variants/{KIND}.tflite"
    golden_file = f"golden/{KIND}.npz"
    files = {
        model_file: int8,
        "golden/inputs.npz": golden_inputs(golden.inputs),
        golden_file: golden_outputs(golden.outputs),
        "report.json": (figures.for_bundle().model_dump_json(indent=1) + "\n").encode(),
    }
    if figures.labels:
        files["labels.txt"] = ("\n".join(figures.labels) + "\n").encode()
    variant = Variant(
        id=KIND,
        kind=KIND,
        file=model_file,
        inputs=figures.proof.inputs,
        outputs=figures.proof.outputs,
        operators=figures.proof.operators,
        golden=golden_file,
        golden_tolerance=golden.tolerance,
    )
    manifest = Manifest(
        name=figures.name,
        created_by=f"edge-sdk {__version__}",
        contract=figures.contract,
        task=figures.task,
        labels="labels.txt" if figures.labels else None,
        variants=(variant,),
        boards=tuple(boards),
        golden_inputs="golden/inputs.npz",
        report="report.json",
        measured={figure.name: figure.value for figure in figures.parity.agreement},
        files=stored_files(files),
    )
    write_bundle(path, manifest, files, overwrite=overwrite)


def _blue_first(sample: RawSample) -> Array:
    """Golden vectors carry no channel order: they are stored as OpenCV gives images."""
    image = sample.data.dtype == np.uint8 and sample.data.ndim == 3 and sample.data.shape[2] == 3
    return np.ascontiguousarray(sample.data[:, :, ::-1]) if image and sample.colour == "rgb" else sample.data
