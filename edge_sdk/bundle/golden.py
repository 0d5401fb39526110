"""Golden vectors: a few raw inputs with the outputs that the converter saw, replayed on the device to prove that it computes the same.

Entries are ``.npz``: the inputs by number ("0", "1", ...), a variant's outputs by input and output number ("0.0", "0.1", ...).
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_sdk.bundle.manifest import Variant
from edge_sdk.bundle.read import Bundle
from edge_sdk.encoder import Encoder
from edge_sdk.engines import Engine
from edge_sdk.errors import BundleError
from edge_sdk.tensors import Array, TensorSpec


@dataclass(frozen=True)
class GoldenCheck:
    """What replaying showed.

    Attributes:
        inputs: how many inputs were replayed.
        worst: the largest difference, in steps of a quantized output, or relative to the largest value of a float one.
        tolerance: what is still right, in the same unit.
    """

    inputs: int
    worst: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether every output was within the tolerance."""
        return self.worst <= self.tolerance


def pack_arrays(arrays: dict[str, Array]) -> bytes:
    """An ``.npz`` entry, the same bytes for the same arrays."""
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    return content.getvalue()


def golden_inputs(samples: Sequence[Array]) -> bytes:
    """The entry with the raw inputs."""
    return pack_arrays({str(index): sample for index, sample in enumerate(samples)})


def first_golden_input(bundle: Bundle, variant: Variant) -> Array | None:
    """The first raw input for the variant, or None if the bundle has none.

    Raises:
        BundleError: if its golden vectors are damaged.
    """
    name = bundle.golden_inputs_of(variant)
    return None if name is None else _entry(bundle.arrays(name), "0")


def golden_outputs(outputs: Sequence[Sequence[Array]]) -> bytes:
    """The entry with one variant's outputs, by input, then by output."""
    return pack_arrays({f"{i}.{o}": array for i, of_input in enumerate(outputs) for o, array in enumerate(of_input)})


def check_golden(bundle: Bundle, variant: Variant, engine: Engine) -> GoldenCheck | None:
    """Replay the golden vectors of ``variant`` on an engine that runs it; None if the bundle has none.

    Raises:
        BundleError: if they do not fit the variant.
    """
    name = bundle.golden_inputs_of(variant)
    if name is None or variant.golden is None:
        return None
    inputs, expected = bundle.arrays(name), bundle.arrays(variant.golden)
    encoder = Encoder(bundle.contract_of(variant), variant.inputs[0])
    worst = 0.0
    for index in range(len(inputs)):
        engine.reset()  # each is computed as the first of a stream
        encoder.reset()
        encoder.encode(_entry(inputs, str(index)), engine.input_arrays[0])
        for number, (spec, output) in enumerate(zip(variant.outputs, engine.run(), strict=True)):
            worst = max(worst, difference(spec, output, _entry(expected, f"{index}.{number}")))
    return GoldenCheck(len(inputs), worst, variant.golden_tolerance)


def difference(spec: TensorSpec, found: Array, expected: Array) -> float:
    """The largest difference of two outputs: in steps if quantized, else relative to the largest expected value.

    NaN and infinity differ from everything but themselves, without measure: the difference is then infinity.

    Raises:
        BundleError: if ``expected`` has another shape.
    """
    if found.shape != expected.shape:
        raise BundleError(f"golden output {spec.name!r} has shape {expected.shape}, the engine gives {found.shape}")
    wanted = expected.astype(np.float64)
    real = np.isfinite(wanted)
    if not np.array_equal(np.where(real, 0, wanted), np.where(np.isfinite(found), 0, found), equal_nan=True):
        return math.inf
    gap = float(np.abs(found[real].astype(np.float64) - wanted[real]).max(initial=0.0))
    return gap if spec.quantized else gap / max(float(np.abs(wanted[real]).max(initial=0.0)), 1e-9)


def _entry(arrays: dict[str, Array], key: str) -> Array:
    if key not in arrays:
        raise BundleError(f"the golden vectors lack entry {key!r}; they have {', '.join(arrays) or 'none'}")
    return arrays[key]
