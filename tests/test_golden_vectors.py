"""Golden vectors pass when the device computes the same, and never when it gives no numbers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.bundle import Bundle, Manifest, Variant, write_bundle
from edge_sdk.bundle.golden import check_golden, difference, first_golden_input, golden_inputs, golden_outputs
from edge_sdk.bundle.write import stored_files
from edge_sdk.contract import Contract
from edge_sdk.engines import Engine
from edge_sdk.errors import BundleError
from edge_sdk.tasks.settings import RawSettings
from edge_sdk.tensors import Array, TensorSpec

FLOAT = TensorSpec("output", (1, 3), "float32")
STEPS = TensorSpec("output", (1, 3), "int8", 0.5, 0)
NAN, INF = math.nan, math.inf


class Fixed(Engine):
    """Gives one output, whatever comes in."""

    def __init__(self, output: Array) -> None:
        self.inputs, self.outputs = (FLOAT,), (FLOAT,)
        self.input_arrays = (np.zeros((1, 3), np.float32),)
        self.output = output

    def run(self) -> tuple[Array, ...]:
        return (self.output,)


def golden_bundle(path: Path, inputs: bytes, outputs: bytes) -> Path:
    files = {"model": b"x", "inputs.npz": inputs, "outputs.npz": outputs}
    variant = Variant(id="v", kind="v", file="model", inputs=(FLOAT,), outputs=(FLOAT,), golden="outputs.npz")
    manifest = Manifest(
        name="golden",
        created_by="a test",
        contract=Contract(input="tensor"),
        task=RawSettings(),
        variants=(variant,),
        golden_inputs="inputs.npz",
        files=stored_files(files),
    )
    write_bundle(path, manifest, files)
    return path


@pytest.mark.parametrize(
    ("output", "passed"),
    [([1, 2, 3], True), ([1, 2, 4], True), ([9, 2, 3], False), ([1, 2, NAN], False), ([NAN] * 3, False)],
)
def test_an_engine_passes_only_with_numbers_close_to_those_proved(
    output: list[float], passed: bool, tmp_path: Path
) -> None:
    sample = np.zeros(3, np.float32)
    expected = golden_outputs([[np.array([[1, 2, 3]], np.float32)]])
    with Bundle(golden_bundle(tmp_path / "g.edge", golden_inputs([sample]), expected)) as bundle:
        check = check_golden(bundle, bundle.variant(), Fixed(np.array([output], np.float32)))
    assert check is not None
    assert (check.inputs, check.passed) == (1, passed)


@pytest.mark.parametrize(
    ("spec", "found", "expected", "gap"),
    [
        (FLOAT, [1, 2, 5], [1, 2, 4], 0.25),
        (FLOAT, [0, 0, 0], [0, 0, 0], 0),
        (FLOAT, [NAN, 1, 2], [3, 1, 2], INF),
        (FLOAT, [3, 1, 2], [NAN, 1, 2], INF),
        (FLOAT, [INF, 1, 2], [-INF, 1, 2], INF),
        (FLOAT, [NAN, INF, 2], [NAN, INF, 2], 0),
        (FLOAT, [NAN, INF, 3], [NAN, INF, 2], 0.5),
        (STEPS, [-128, 0, 4], [127, 0, 4], 255),
    ],
)
def test_the_difference_is_infinite_where_a_number_is_missing(
    spec: TensorSpec, found: list[float], expected: list[float], gap: float
) -> None:
    assert difference(spec, np.array(found, spec.dtype), np.array(expected, spec.dtype)) == gap


def test_golden_vectors_that_are_damaged_are_refused(tmp_path: Path) -> None:
    sample = np.zeros(3, np.float32)
    empty = golden_bundle(tmp_path / "empty.edge", golden_inputs([]), golden_outputs([]))
    with Bundle(empty) as bundle, pytest.raises(BundleError, match="lack entry '0'; they have none"):
        first_golden_input(bundle, bundle.variant())
    text = golden_bundle(tmp_path / "text.edge", golden_inputs([sample]), golden_outputs([[np.array(["1"])]]))
    with Bundle(text) as bundle, pytest.raises(BundleError, match=r"array '0\.0' of .* holds <U1; numbers are needed"):
        check_golden(bundle, bundle.variant(), Fixed(sample))
