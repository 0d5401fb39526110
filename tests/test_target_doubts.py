"""What is said of a target's variant that follows the float model worse than the int8 one does, or that golden vectors cannot prove."""

from __future__ import annotations

from dataclasses import replace

import pytest

from converters.report.accuracy import OutputParity
from converters.report.figures import Figures
from converters.report.target_figures import TargetFigures
from converters.targets.doubts import doubts
from converters.targets.made import Targets, TargetVariant
from converters.targets.step import with_targets
from edge_sdk.bundle import Variant
from edge_sdk.tensors import TensorSpec
from tests.target_nets import converted

STEPS, REAL = TensorSpec("scores", (1, 4), "int8", 0.1, 0), TensorSpec("scores", (1, 4), "float32")


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Figures:
    """Of a conversion without targets."""
    return converted(tmp_path_factory.mktemp("plain")).figures


def variant(figures: Figures, lost_db: float, output: TensorSpec, tolerance: float) -> TargetVariant:
    assert figures.parity is not None
    int8_db = min(each.sqnr_db for each in figures.parity.outputs if each.sqnr_db is not None)
    parity = OutputParity.model_validate(figures.parity.outputs[0].model_dump() | {"sqnr_db": int8_db - lost_db})
    made = Variant(
        id="other", kind="other", file="variants/other", inputs=(), outputs=(output,), golden_tolerance=tolerance
    )
    told = TargetFigures(
        target="other", variant="other", kind="other", size_bytes=1, engine="none", outputs=(parity,), notes=()
    )
    return TargetVariant(made, {}, told)


def test_a_variant_as_good_as_the_int8_one_is_not_doubted(figures: Figures) -> None:
    assert doubts(figures, (variant(figures, 5.9, STEPS, 60.0), variant(figures, -3.0, REAL, 0.2))) == ()


@pytest.mark.parametrize(("output", "tolerance"), [(STEPS, 70.0), (REAL, 0.3)])
def test_what_golden_vectors_cannot_prove_is_said(figures: Figures, output: TensorSpec, tolerance: float) -> None:
    (said,) = doubts(figures, (variant(figures, 0.0, output, tolerance),))
    assert "prove little" in said and "--golden" in said


def test_a_worse_variant_is_among_the_warnings(figures: Figures) -> None:
    worse = variant(figures, 6.1, STEPS, 1.0)
    told = with_targets(figures, Targets((worse,)), ())
    (said,) = set(told.warnings) - set(figures.warnings)
    assert said.startswith("Variant other follows the float model worse than tflite-int8 does")


def test_a_model_that_came_full_integer_has_nothing_to_be_compared_with(figures: Figures) -> None:
    ready, worse = figures.model_copy(update={"parity": None}), variant(figures, 40.0, STEPS, 1.0)
    without = replace(worse, figures=worse.figures.model_copy(update={"outputs": ()}))
    assert doubts(ready, (without,)) == ()
