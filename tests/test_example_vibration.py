"""The vibration example: what is anomalous is found, what is normal is not, at 1,000 readings a second and in time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from edge_sdk import Loop
from edge_sdk.bundle import Bundle
from edge_sdk.tasks.settings import AnomalySettings
from edge_sdk.watchdog.state import unpack
from examples.assets.data import heartbeats
from examples.vibration.autoencoder import Autoencoder
from tests.examples_run import run

ROOT = Path(__file__).parents[1]
LENGTH, HOP = 128, 32


@dataclass(frozen=True)
class Judged:
    """One window: the reading after its last one, the share of it that is anomalous, and what was said."""

    end: int
    share: float
    score: float
    anomalous: bool


def windows(results: Iterator[tuple[int, float, bool]], labels: np.ndarray) -> list[Judged]:
    """Windows of results: time of capture in ns, score, anomalous. The first one is that of the first readings."""
    found, first_ns = [], None
    for captured_ns, score, anomalous in results:
        first_ns = captured_ns if first_ns is None else first_ns
        end = LENGTH + round((captured_ns - first_ns) / 1e6)
        found.append(Judged(end, float(labels[end - LENGTH : end].mean()), score, anomalous))
    return found


def stretches(labels: np.ndarray) -> list[tuple[int, int]]:
    """First and last reading of each anomaly."""
    groups = [(odd, [number for number, _ in group]) for odd, group in groupby(enumerate(labels), key=lambda p: p[1])]
    return [(numbers[0], numbers[-1]) for odd, numbers in groups if odd]


def threshold_of(bundle: Path) -> float:
    with Bundle(bundle) as opened:
        task = opened.task_of(opened.variant())
    assert isinstance(task, AnomalySettings) and isinstance(task.threshold, float)
    return task.threshold


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """build/vibration in a folder with a copy of the example, where make has run."""
    folder = tmp_path_factory.mktemp("vibration")
    shutil.copytree(ROOT / "examples/vibration", folder / "examples/vibration")
    run(folder, "-m", "examples.vibration.make")
    return folder / "build/vibration"


@pytest.mark.slow
def test_the_example_runs_as_written(made: Path) -> None:
    """At the pace at which the readings were taken, supervised."""
    said = run(made.parents[1], "-m", "edge_sdk.cli", "run", "examples/vibration/app.toml")
    records = map(json.loads, (made / "scores.jsonl").read_text().splitlines())
    results = [record for record in records if record["type"] == "result"]
    _, labels = heartbeats("TEST")
    values = ((r["captured_ns"], r["value"]["score"], r["value"]["anomalous"]) for r in results)
    judged = windows(values, labels)
    for first, last in stretches(labels):
        assert any(w.anomalous and first < w.end <= last + LENGTH for w in judged), (first, last)
    assert not [w for w in judged if w.anomalous and w.share == 0]
    assert said.count("ANOMALY") >= 3
    [counts] = unpack((made / "state/state.json").read_bytes())["loops"]
    kinds = ("on_time", "late", "dropped", "skipped", "lost", "in_flight")
    assert counts["captured"] == sum(counts[kind] for kind in kinds) == (len(labels) - LENGTH) // HOP + 1 == 309
    assert counts["on_time"] + counts["late"] == len(results)
    if "climbed" not in said:  # else other programs had the processor
        assert counts["late"] <= 6, counts


@pytest.mark.slow
def test_every_window_is_told_right_with_room_on_both_sides(made: Path) -> None:
    _, labels = heartbeats("TEST")
    source = f"replay:{made}/run.csv?time=t_ms&time_unit=ms&columns=shaking&pace=fast"
    with Loop(made / "vibration.edge", source, deadline_ms=60_000, isolation="none") as loop:
        judged = windows(((r.sample.captured_ns, r.value.score, r.value.anomalous) for r in loop), labels)
    threshold = threshold_of(made / "vibration.edge")
    normal = [w.score for w in judged if w.share == 0]
    odd = [w.score for w in judged if w.share >= 0.25]
    assert (len(normal), len(odd)) == (288, 16)
    assert max(normal) < threshold < min(odd)
    assert min(odd) > 3 * threshold and max(normal) < 0.9 * threshold


@pytest.mark.slow
def test_missing_readings_cost_the_windows_concerned_and_are_no_anomaly(made: Path, tmp_path: Path) -> None:
    lines = (made / "run.csv").read_text().splitlines()
    (tmp_path / "run.csv").write_text("\n".join(lines[:3_001] + lines[3_041:5_001]) + "\n")  # 40 ms are missing
    source = f"replay:{tmp_path}/run.csv?time=t_ms&time_unit=ms&columns=shaking&pace=fast"
    with Loop(made / "vibration.edge", source, deadline_ms=60_000, isolation="none") as loop:
        results = list(loop)
    report = loop.report()
    assert report.event_counts["gap"] == 1
    whole = (5_000 - LENGTH) // HOP + 1
    assert 0 < whole - len(results) <= 6
    assert [r.value.anomalous for r in results].count(True) == 6  # those of the one anomaly before


@pytest.mark.slow
def test_the_bundle_says_how_well_it_does_on_what_nobody_trained_with(made: Path) -> None:
    with Bundle(made / "vibration.edge") as bundle:
        measured = bundle.measured_of(bundle.variant())
    assert "auc" in json.dumps(measured)


def test_what_was_written_computes_what_was_trained(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime comes with the extra onnx")
    random = np.random.default_rng(0)
    inputs = (3 + 2 * random.normal(0, 1, (40, 1)) * np.linspace(-1, 1, 12)).astype(np.float32)
    net = Autoencoder(12)
    before = float(np.square(net.rebuild(inputs) - inputs).mean())
    assert net.train(inputs) < 0.05 * before
    net.write_onnx(tmp_path / "net.onnx", (3, 4))
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    (rebuilt,) = session.run(None, {"window": inputs[:1].reshape(1, 3, 4)})
    np.testing.assert_allclose(rebuilt.reshape(1, 12), net.rebuild(inputs[:1]), rtol=1e-4, atol=1e-4)


def test_its_slopes_are_those_of_the_error() -> None:
    random = np.random.default_rng(1)
    x = random.normal(0, 1, (5, 6)).astype(np.float32)
    net = Autoencoder(6)
    slopes = net._slopes(x)
    for place, parameter in enumerate((*net._weights, *net._biases)):
        index = (0,) * parameter.ndim
        stands, step = parameter[index], 1e-2
        errors = []
        for moved in (stands + step, stands - step):
            parameter[index] = moved
            errors.append(float(np.square(net._layers(x)[-1] - x).mean()))
        parameter[index] = stands
        assert slopes[place][index] == pytest.approx((errors[0] - errors[1]) / (2 * step), rel=0.05, abs=1e-3)
