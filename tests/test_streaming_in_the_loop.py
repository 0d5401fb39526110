"""A model with variables in the loop: its state runs on over samples that follow each other, and begins anew where they do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from converters import convert
from edge_sdk import Loop
from edge_sdk.bundle import Bundle
from edge_sdk.engines.faulty import order_fault
from edge_sdk.engines.isolation import Isolation
from edge_sdk.sources import Sample, Source
from tests.streaming_model import FIRST, sum_model


class Ones(Source):
    """Samples of ones, some of them after a gap."""

    live = False

    def __init__(self, count: int, gaps: tuple[int, ...] = ()) -> None:
        self._count, self._gaps, self._given = count, gaps, 0

    def _open(self) -> None:
        self._given = 0

    def _read(self) -> tuple[np.ndarray, str, str, None] | None:  # type: ignore[override]
        self._given += 1
        return None if self._given > self._count else (np.ones(4, np.float32), "bgr", "", None)

    def read(self) -> Sample | None:
        sample = super().read()
        return None if sample is None else replace(sample, after_gap=sample.sequence in self._gaps)

    def _close(self) -> None:
        self._given = self._count


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sum")
    (folder / "sum.tflite").write_bytes(sum_model())
    return convert(folder / "sum.tflite", output=folder / "sum.edge", contract={"input": "tensor"}).bundle


def totals(loop: Loop) -> list[int]:
    """What the variable holds after each sample, less what it holds at first."""
    with loop:
        return [int(result.value["after"].reshape(-1)[0]) - FIRST for result in loop]


@pytest.mark.parametrize("isolation", ["process", "none"])
def test_state_runs_on_and_the_warm_up_leaves_no_trace(isolation: Isolation, bundle: Path) -> None:
    assert totals(Loop(bundle, source=Ones(5), deadline_ms=1_000, isolation=isolation)) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("isolation", ["process", "none"])
def test_it_begins_anew_after_a_gap(isolation: Isolation, bundle: Path) -> None:
    loop = Loop(bundle, source=Ones(7, gaps=(3, 4)), deadline_ms=1_000, isolation=isolation)
    assert totals(loop) == [1, 2, 3, 1, 1, 2, 3]


@pytest.mark.parametrize("order", ["hang", "crash", "error 1"])
def test_it_begins_anew_after_a_lost_sample(order: str, bundle: Path, tmp_path: Path) -> None:
    options = {"orders": str(tmp_path / "orders")}
    loop = Loop(
        bundle,
        source=Ones(6),
        deadline_ms=300,
        hang_ms=300,
        engine="faulty",
        engine_options=options,
        isolation="process",
    )
    seen = []
    with loop:
        for result in loop:
            seen.append(int(result.value["after"].reshape(-1)[0]) - FIRST)
            if result.sequence == 2:
                order_fault(tmp_path / "orders", order)
    assert seen == [1, 2, 3, 1, 2]
    assert loop.report().counts.lost == 1


def test_a_sample_that_cannot_be_used_makes_it_begin_anew(bundle: Path) -> None:
    class Odd(Ones):
        def _read(self) -> tuple[np.ndarray, str, str, None] | None:  # type: ignore[override]
            got = super()._read()
            return (np.ones(5, np.float32), *got[1:]) if got is not None and self._given == 4 else got

    assert totals(Loop(bundle, source=Odd(6), deadline_ms=1_000)) == [1, 2, 3, 1, 2]


@pytest.mark.parametrize(
    ("order", "kind"), [("error 1", "retried"), ("error 2", "standby_on"), ("crash", "standby_on")]
)
def test_it_begins_anew_where_a_stand_by_serves_or_a_sample_is_tried_again(
    order: str, kind: str, bundle: Path, tmp_path: Path
) -> None:
    with Bundle(bundle) as opened:
        variant = opened.variant().id
    options = {"orders": str(tmp_path / "orders")}
    loop = Loop(bundle, Ones(6), deadline_ms=5_000, engine="faulty", engine_options=options, standby=variant)
    seen = []
    with loop:
        for result in loop:
            seen.append(int(result.value["after"].reshape(-1)[0]) - FIRST)
            if result.sequence == 2:
                order_fault(tmp_path / "orders", order)
    assert seen[:4] == [1, 2, 3, 1]
    told = next(event for event in loop.report().events if event.kind == kind)
    assert "the model begins anew" in told.message
    assert loop.report().counts.lost == 0
