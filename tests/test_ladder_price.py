"""The price of a rung: what the bundle's report says of its variants, and honesty where it says nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from converters.report.accuracy import Agreement, Metric
from converters.report.figures import Figures, OtherVariant
from edge_sdk.bundle import Bundle
from edge_sdk.bundle.manifest import Manifest, Variant
from edge_sdk.bundle.write import stored_files, write_bundle
from edge_sdk.contract import Contract
from edge_sdk.errors import BundleError
from edge_sdk.tasks.settings import RawSettings
from edge_sdk.watchdog.ladder import Rung
from edge_sdk.watchdog.price import price
from tests.small_bundles import INPUT, OUTPUT

BIG, SMALL = "tflite-int8", "tflite-int8-small"


def metric(name: str, value: float) -> dict[str, object]:
    return Metric(name=name, float_value=95, int8_value=value, unit="%").model_dump(mode="json")


def agreement(name: str, value: float) -> dict[str, object]:
    return Agreement(name=name, value=value, unit="%").model_dump(mode="json")


def bundle(folder: Path, report: object) -> Bundle:
    files = {"model": b"nothing"}
    if report is not None:
        files["report.json"] = report if isinstance(report, bytes) else json.dumps(report).encode()
    variants = tuple(
        Variant(id=id_, kind="tflite-int8", file="model", inputs=(INPUT,), outputs=(OUTPUT,)) for id_ in (BIG, SMALL)
    )
    manifest = Manifest(
        name="null",
        created_by="a test",
        contract=Contract(input="tensor"),
        task=RawSettings(),
        variants=variants,
        report=None if report is None else "report.json",
        files=stored_files(files),
    )
    write_bundle(folder / "priced.edge", manifest, files)
    return Bundle(folder / "priced.edge")


MEASURED = {
    "evaluation": {"metrics": [metric("top-1", 94), metric("top-5", 99)]},
    "parity": {"agreement": [agreement("top-1", 97.25)]},
    "variants": [{"kind": "tflite-int8", "metric": metric("top-1", 91), "agreement": [agreement("top-1", 93)]}],
}


@pytest.mark.parametrize(
    ("report", "rung", "said"),
    [
        (MEASURED, Rung(variant=SMALL), f"{SMALL}: top-1 on ground truth 91 % against 94 % of {BIG}"),
        (
            MEASURED,
            Rung(variant=SMALL, run_every=3),
            f"{SMALL}: top-1 on ground truth 91 % against 94 % of {BIG}; 2 of 3 samples are skipped",
        ),
        (MEASURED, Rung(run_every=2), "1 of 2 samples are skipped"),
        (MEASURED, Rung(variant=BIG, engine="tflite"), "no result changes"),
        (
            MEASURED | {"evaluation": None},
            Rung(variant=SMALL),
            f"{SMALL}: agreement with float, top-1 93 % against 97.25 % of {BIG}",
        ),
        (
            {"variants": MEASURED["variants"]},
            Rung(variant=SMALL),
            f"{SMALL}: top-1 on ground truth 91 %; of {BIG} the same was not measured",
        ),
        ({}, Rung(variant=SMALL), f"{SMALL}: what it costs in accuracy against {BIG} was not measured"),
        (None, Rung(variant=SMALL), f"{SMALL}: what it costs in accuracy against {BIG} was not measured"),
        ([1], Rung(variant=SMALL), f"{SMALL}: what it costs in accuracy against {BIG} was not measured"),
        (
            MEASURED | {"variants": [{"kind": "edgetpu", "metric": metric("top-1", 91)}]},  # rows of other variants
            Rung(variant=SMALL),
            f"{SMALL}: what it costs in accuracy against {BIG} was not measured",
        ),
    ],
)
def test_the_price_is_said_in_a_sentence(tmp_path: Path, report: object, rung: Rung, said: str) -> None:
    with bundle(tmp_path, report) as opened:
        assert price(rung, opened, BIG) == said


def test_a_variant_that_is_not_there_and_a_broken_report_are_errors(tmp_path: Path) -> None:
    with bundle(tmp_path, b"[1") as opened:
        with pytest.raises(BundleError, match="no variant 'tiny'"):
            price(Rung(variant="tiny"), opened, BIG)
        with pytest.raises(BundleError, match=r"report\.json is not JSON"):
            price(Rung(variant=SMALL), opened, BIG)


def test_the_names_read_are_those_that_the_converter_writes() -> None:
    assert {"evaluation", "parity", "variants"} <= set(Figures.model_fields)
    assert {"kind", "metric", "agreement"} <= set(OtherVariant.model_fields)
    assert {"name", "int8_value", "unit"} <= set(Metric.model_fields)
    assert {"name", "value", "unit"} <= set(Agreement.model_fields)
