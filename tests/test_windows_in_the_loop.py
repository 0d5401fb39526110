"""A signal through the loop: windows become results, those that lack readings are counted as lost, a wrong rate ends it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk.bundle import Manifest, Variant, write_bundle
from edge_sdk.bundle.manifest import schema_version_for
from edge_sdk.bundle.write import stored_files
from edge_sdk.contract import Contract
from edge_sdk.errors import ContractError
from edge_sdk.loop import Loop
from edge_sdk.sources import SignalSource
from edge_sdk.tasks.settings import RawSettings
from edge_sdk.tensors import Array, TensorSpec
from edge_sdk.window_settings import WindowSettings

WINDOW = WindowSettings(
    length=100, rate_hz=1_000, hop=25, channels=tuple("abcdef"), units="g", gap="linear", longest_fill=3
)
PERIOD_NS = 1_000_000
ENGINE: dict[str, Any] = {
    "engine": "null",
    "isolation": "none",
    "engine_options": {"input": "1,100,6 float32", "output": "1,2 int8"},
}


class Recording(SignalSource):
    """Readings in pieces, as fast as they are asked for."""

    live = False
    channels = WINDOW.channels

    def __init__(self, times: Sequence[int] | Array, piece: int = 10) -> None:
        self._piece = piece
        self._times = np.asarray(times, np.int64)
        self._data = np.random.default_rng(0).normal(size=(len(self._times), 6)).astype(np.float32)
        self._at = 0

    def _open(self) -> None:
        self._at = 0

    def _readings(self) -> tuple[Array, Array] | None:
        start, self._at = self._at, self._at + self._piece
        return (self._data[start : self._at], self._times[start : self._at]) if start < len(self._times) else None

    def _close(self) -> None:
        pass


def bundle(path: Path) -> Path:
    tensor, output = TensorSpec("window", (1, 100, 6), "float32"), TensorSpec("score", (1, 2), "int8")
    variant = Variant(id="null", kind="null", file="model", inputs=(tensor,), outputs=(output,))
    contract, files = Contract(input="window", window=WINDOW), {"model": b"nothing"}
    manifest = Manifest(
        schema_version=schema_version_for([variant], contract),
        name="vibration",
        created_by="a test",
        contract=contract,
        task=RawSettings(),
        variants=(variant,),
        files=stored_files(files),
    )
    assert manifest.schema_version == 3
    write_bundle(path, manifest, files)
    return path


@pytest.mark.parametrize("piece", [1, 10, 2_000])
def test_windows_become_results_and_those_that_lack_readings_are_lost(tmp_path: Path, piece: int) -> None:
    """Whether a piece completes no window or more than a mailbox holds."""
    places = [*range(500), *range(502, 1_000), *range(1_010, 2_000)]  # two are filled, ten are not
    source = Recording((np.array(places) + 1) * PERIOD_NS, piece)
    path = bundle(tmp_path / "v.edge")
    with Loop(path, source, deadline_ms=1e7, **ENGINE) as loop:
        results = list(loop)
        counts, events = loop.report().counts, loop.report().events
    assert [r.captured_ns for r in results] == [
        (first + 100) * PERIOD_NS for first in range(0, 1_901, 25) if first + 100 <= 1_000 or first >= 1_010
    ]
    assert [r.sample.after_gap for r in results].count(True) == 1
    assert counts.captured == 77 and counts.lost == 77 - len(results) == 4 and counts.in_flight == 0
    assert [e.kind for e in events].count("gap") == 2


def test_a_source_of_another_rate_ends_the_loop_with_both_rates(tmp_path: Path) -> None:
    source = Recording(np.arange(1, 2_000) * 2 * PERIOD_NS)
    loop = Loop(bundle(tmp_path / "v.edge"), source, deadline_ms=1e7, **ENGINE)
    with pytest.raises(ContractError, match="gives 500 readings a second, the contract states 1000"), loop:
        list(loop)
