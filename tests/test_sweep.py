"""A sweep: every point is a row, nothing is done twice, and no death of a worker or of the sweep itself loses what was done."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from converters.sweep import run as run_module
from converters.sweep import workers
from converters.sweep.commands import Told
from converters.sweep.figures import Accuracy, PointFigures, Setting, SweepFigures
from converters.sweep.labels import titles
from converters.sweep.page import render_html
from converters.sweep.rank import Measured, ranked
from converters.sweep.run import SweepResult, sweep
from converters.sweep.workers import Died, Failed, LocalPool, do_all
from edge_sdk.errors import BoardError, ConfigError, OutputError
from tests.processes import descendants, is_alive
from tests.sweep_settings import ROOT, Small, make_small, unquantizable

pytest.importorskip("joblib", reason="a sweep runs through joblib: pip install 'edge-device-sdk[sweep]'")


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return make_small(tmp_path, 3)


def told_of(small: Small, **more: object) -> Told:
    folder = small.folder
    told = Told(
        models=small.nets, config=folder / "model.toml", calibrate=str(folder / "photos"), holdout=str(folder / "more")
    )
    return replace(told, **more)


def in_threads(small: Small, **more: object) -> SweepResult:
    return sweep(told_of(small, **more), output=small.folder / "sweep", backend="threading", jobs=2)


def essence(figures: SweepFigures) -> list[tuple[object, ...]]:
    """What must be the same wherever and whenever it is computed: all but times, and what stands in their order."""
    rows = []
    for row in figures.rows:
        found = row.figures
        same = None if found is None else (found.kind, found.accuracy, found.size_bytes, found.shape)
        rows.append((str(row.setting), same, row.failure))
    return sorted(rows, key=str)


def test_every_point_is_a_row_and_a_model_in_the_folder(small: Small) -> None:
    result = in_threads(small)
    figures = result.figures
    assert len(figures.rows) == 3
    assert all(row.figures is not None and row.figures.full_integer and row.latency_ms for row in figures.rows)
    assert {row.figures.shape for row in figures.rows if row.figures} == {
        (1, 16, 16, 3),
        (1, 24, 24, 3),
        (1, 32, 32, 3),
    }
    assert any(row.front for row in figures.rows)
    assert len(figures.references) == 3
    assert SweepFigures.model_validate_json(result.json.read_text()) == figures
    assert len(list((small.folder / "sweep" / "points").glob("*.tflite"))) == 6  # each net's float and int8


def test_what_is_there_is_not_done_again(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    first = in_threads(replace(small, nets=small.nets[:2])).figures
    assert (first.done, first.kept) == (2, 0)
    loaded = []
    prepare = run_module.prepare
    monkeypatch.setattr(run_module, "prepare", lambda path, *more: loaded.append(path.name) or prepare(path, *more))
    second = in_threads(small).figures
    assert (second.done, second.kept) == (1, 2)
    assert loaded == ["net2.tflite"]
    assert essence(first) == [row for row in essence(second) if "net2" not in str(row)]


@pytest.mark.parametrize("changed", ["model", "data", "contract", "samples"])
def test_whatever_decides_a_point_makes_it_another_point(small: Small, changed: str) -> None:
    one = replace(small, nets=small.nets[:1])
    in_threads(one)
    more: dict[str, object] = {}
    if changed == "model":
        one.nets[0].write_bytes(one.nets[0].read_bytes() + bytes(16))
    elif changed == "data":
        os.utime(small.folder / "photos" / "000.png", ns=(1, 1))
    elif changed == "contract":
        (small.folder / "model.toml").write_text((small.folder / "model.toml").read_text().replace("rgb", "bgr"))
    else:
        more["max_samples"] = 5
    figures = in_threads(one, **more).figures
    assert (figures.done, figures.kept) == (1, 0)


def test_a_point_that_fails_is_a_row_with_its_reason(small: Small) -> None:
    small.nets[1].write_bytes(unquantizable())
    (small.folder / "model.toml").write_text((small.folder / "model.toml").read_text().replace("classify", "raw"))
    figures = in_threads(small).figures
    failed = figures.rows[-1]
    assert failed.figures is None
    assert failed.failure is not None
    assert "CUMSUM" in failed.failure
    assert all(row.figures is not None for row in figures.rows[:-1])
    again = in_threads(small).figures
    assert (again.done, again.kept) == (0, 3)
    assert again.rows[-1].failure == failed.failure


def test_a_model_that_cannot_be_loaded_is_a_row_too(small: Small) -> None:
    small.nets[0].write_bytes(b"no model at all")
    figures = in_threads(small).figures
    assert [row.setting.model for row in figures.rows if row.failure] == [str(small.nets[0])]
    assert "not a .tflite" in str(figures.rows[-1].failure)


def test_a_size_for_a_model_of_fixed_shape_is_said(small: Small) -> None:
    figures = in_threads(replace(small, nets=small.nets[:1]), sizes=(16, 20)).figures
    assert [row.failure is None for row in figures.rows] == [True, False]
    assert "fixed input shape (1, 16, 16, 3), and (1, 20, 20, 3) was asked for" in str(figures.rows[1].failure)


def test_with_right_answers_accuracy_is_the_tasks_own_metric_with_its_interval(small: Small) -> None:
    truth = small.folder / "truth"
    for number, picture in enumerate(sorted((small.folder / "more").glob("*.png"))):
        folder = truth / f"class{number % 4}"
        folder.mkdir(parents=True, exist_ok=True)
        picture.rename(folder / picture.name)
    (small.folder / "labels.txt").write_text("class0\nclass1\nclass2\nclass3\n")
    config = (small.folder / "model.toml").read_text()
    (small.folder / "model.toml").write_text(f'labels = "labels.txt"\n{config}')
    figures = in_threads(small, holdout=None, evaluate=str(truth)).figures
    assert figures.labelled
    for row in figures.rows:
        assert row.figures is not None
        found = row.figures.accuracy
        assert (found.name, found.unit) == ("top-1", "%")
        assert found.float_value is not None
        assert found.interval is not None
        assert found.interval[0] <= found.value <= found.interval[1]
        assert f"--evaluate {truth}" in row.command
    assert "95 % interval" in render_html(figures)


def test_recipes_are_named_ones_and_files_of_ones_own(small: Small) -> None:
    mixed = small.folder / "mixed.toml"
    mixed.write_text('scheme = "int8"\nallow_float = true\n[[override]]\noperator = "SOFTMAX"\nscheme = "float"\n')
    one = replace(small, nets=small.nets[:1])
    figures = in_threads(one, recipes=("int8", "float16", str(mixed)), ranges=("minmax", "mse")).figures
    made = {(Path(row.setting.recipe).stem, row.setting.ranges): row.figures for row in figures.rows}
    kinds = {key: None if found is None else (found.kind, found.full_integer) for key, found in made.items()}
    assert kinds == {
        ("int8", "minmax"): ("tflite-int8", True),
        ("int8", "mse"): ("tflite-int8", True),
        ("float16", "none"): ("tflite-float16", False),  # needs no ranges: one point
        ("mixed", "minmax"): ("tflite-mixed", False),
        ("mixed", "mse"): ("tflite-mixed", False),
    }
    mixed.write_text(mixed.read_text().replace("SOFTMAX", "MEAN"))
    again = in_threads(one, recipes=("int8", "float16", str(mixed)), ranges=("minmax", "mse")).figures
    assert (again.done, again.kept) == (2, 3)


def test_the_same_model_twice_is_one(small: Small) -> None:
    small.nets[1].write_bytes(small.nets[0].read_bytes())
    figures = in_threads(small).figures
    assert len(figures.rows) == 2
    assert any("net1.tflite is the same model as" in warning for warning in figures.warnings)


def test_boards_leave_out_what_none_of_them_runs(small: Small) -> None:
    figures = in_threads(small, boards=("coral-usb", "raspberry-pi-5")).figures
    everywhere, coral, pi = figures.best
    assert (coral.board, coral.knee) == ("coral-usb", None)
    assert pi.knee == everywhere.knee
    assert all(row.boards == ("raspberry-pi-5",) for row in figures.rows)
    with pytest.raises(BoardError, match="int8 makes tflite-int8; coral-usb runs edgetpu"):
        in_threads(small, boards=("coral-usb",))


@pytest.mark.parametrize(
    ("more", "error", "said"),
    [
        ({"recipes": ("int7",)}, ConfigError, "int7.*int8"),
        ({"ranges": ("median",)}, ConfigError, "median.*minmax"),
        ({"boards": ("raspberry-pi-6",)}, BoardError, "raspberry-pi-5"),
    ],
)
def test_unknown_settings_are_said_before_any_work(
    small: Small, more: dict[str, object], error: type[Exception], said: str
) -> None:
    small.nets[0].unlink()  # the first thing that the work would need
    with pytest.raises(error, match=said):
        in_threads(small, **more)


def test_a_damaged_point_is_named(small: Small) -> None:
    in_threads(small)
    point = sorted((small.folder / "sweep" / "points").glob("*.json"))[0]
    point.write_text("{}")
    with pytest.raises(OutputError, match=rf"{point.name} is not a point of a sweep, or damaged; remove it"):
        in_threads(small)


def test_the_page_needs_nothing_else_and_escapes_names(small: Small) -> None:
    odd = small.folder / "<script>alert(1)<|script>.tflite"
    small.nets[0].rename(odd)
    result = in_threads(replace(small, nets=(odd, *small.nets[1:])))
    page = result.html.read_text()
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert "on this machine" in page
    assert render_html(result.figures) == page


def point(recipe: str, accuracy: float, latency_ms: float, size: int) -> Measured:
    figures = PointFigures(
        kind="tflite-int8" if recipe == "int8" else "tflite-float16",
        full_integer=True,
        accuracy=Accuracy(name="top-1", unit="%", value=accuracy),
        size_bytes=size,
        float_bytes=1000,
        shape=(1, 8, 8, 3),
        seconds=1,
    )
    return Measured(Setting(model="net.onnx", recipe=recipe, ranges="minmax"), figures, None, latency_ms)


def test_each_board_has_the_best_of_what_it_runs() -> None:
    points = [
        point("int8", 70, 2, 250),
        point("int8", 69, 1.95, 250),  # as fast within what is noise, and worse
        point("float16", 72, 4, 500),
        point("float16", 50, 8, 900),
        Measured(Setting(model="net.onnx", recipe="int8", ranges="mse"), None, "no kernel", None),
    ]
    boards = {"a": ("tflite-int8",), "b": ("tflite-float16",), "c": ("edgetpu",)}
    ranking = ranked(points, [], boards, Told((Path("net.onnx"),)))
    assert [(row.number, row.figures.accuracy.value if row.figures else None, row.front) for row in ranking.rows] == [
        (1, 72, True),
        (2, 70, True),
        (3, 69, False),
        (4, 50, False),
        (5, None, False),
    ]
    everywhere, a, b, c = ranking.best
    assert (everywhere.accurate, everywhere.fast, everywhere.small) == (1, 2, 2)
    assert titles(a) == {2: ["the best compromise", "the most accurate", "the fastest", "the smallest"]}
    assert (b.knee, c.knee) == (1, None)


def test_a_metric_that_is_better_when_lower_is_ranked_so() -> None:
    rows = [point("int8", 3, 1, 250), point("int8", 2, 1, 250)]
    lower = [
        replace(
            one,
            figures=one.figures.model_copy(update={"accuracy": Accuracy(name="mse", value=v, higher_is_better=False)}),
        )
        for one, v in zip(rows, (3.0, 2.0), strict=True)
        if one.figures
    ]
    ranking = ranked(lower, [], {}, Told((Path("net.onnx"),)))
    assert [(row.figures.accuracy.value, row.front) for row in ranking.rows if row.figures] == [
        (2.0, True),
        (3.0, False),
    ]


class Unlucky:
    """A pool that dies at some points, each so often."""

    def __init__(self, deaths: dict[str, int]) -> None:
        self.deaths, self.alone = deaths, []

    def results(self, work: workers.Work, *, alone: bool = False) -> Iterator[tuple[str, object]]:
        if alone:
            self.alone.append(list(work))
        for key in work:
            self.deaths[key] = self.deaths.get(key, 0) - 1
            if self.deaths[key] >= 0:
                yield key, Died("SIGKILL")
                return  # as a broken pool does: the rest is not done
            yield key, Failed(f"done {key}", settled=True)


def test_after_a_death_the_rest_goes_on_and_the_suspect_runs_alone() -> None:
    pool = Unlucky({"b": 1, "d": 2})
    work = dict.fromkeys("abcde")
    outcomes = {key: outcome.reason for key, outcome in do_all(work, pool) if isinstance(outcome, Failed)}  # type: ignore[arg-type]
    assert pool.alone == [["b"], ["d"]]
    assert [outcomes[key] for key in "abce"] == [f"done {key}" for key in "abce"]
    assert outcomes["d"] == "killed its worker, twice, the second time alone there (SIGKILL)"


def kills(key: str, content: object, job: object, marks: str) -> tuple[str, Failed]:
    """Stands in for ``attempt``: some keys kill their process, one of them only the first time."""
    Path(marks, key).touch()
    once = Path(str(job)) / key
    if key.startswith("always") or (key.startswith("once") and not once.exists()):
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return key, Failed(f"done {key}", settled=True)


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_processes_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int) -> None:
    monkeypatch.setattr(workers, "attempt", kills)
    keys = ["a", "b", "always", "c", "once", "d", "e"]
    work = {key: (np.zeros(4, np.uint8), str(tmp_path)) for key in keys}
    outcomes = dict(do_all(work, LocalPool("loky", jobs)))  # type: ignore[arg-type]
    assert sorted(outcomes) == sorted(keys)
    reasons = {key: outcome.reason for key, outcome in outcomes.items() if isinstance(outcome, Failed)}
    assert reasons.pop("always").startswith("killed its worker, twice")
    assert reasons == {key: f"done {key}" for key in keys if key != "always"}


@pytest.mark.slow
def test_processes_and_threads_give_the_same(small: Small) -> None:
    threads = in_threads(small).figures
    processes = sweep(told_of(small), output=small.folder / "other", jobs=2).figures
    assert essence(threads) == essence(processes)


def done_points(points: Path) -> list[Path]:
    """Those that are whole: one that was being written when the sweep was killed has a name with a dot before it."""
    return sorted(points.glob("[!.]*.json"))


def wait_for_a_point(process: subprocess.Popen[str], points: Path) -> None:
    while not done_points(points):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.mark.slow
def test_a_killed_sweep_goes_on_where_it_was(tmp_path: Path) -> None:
    small = make_small(tmp_path, 8, photos=60)
    points = tmp_path / "sweep" / "points"
    process = small.start("--jobs", 1)
    wait_for_a_point(process, points)
    below = descendants(process.pid)
    process.kill()
    process.communicate()
    for pid in below:
        while is_alive(pid):  # nothing works on for a sweep that is gone: they end by themselves
            time.sleep(0.02)
    kept = len(done_points(points))
    assert 1 <= kept < 8
    done = small.run("--jobs", 2, "--json")
    assert done.returncode == 0, done.stderr
    figures = SweepFigures.model_validate_json(done.stdout)
    assert (figures.kept, figures.done) == (kept, 8 - kept)
    fresh = sweep(told_of(small), output=tmp_path / "fresh", backend="threading", jobs=2).figures
    assert [row[1:] for row in essence(figures)] == [row[1:] for row in essence(fresh)]


@pytest.mark.slow
def test_ctrl_c_says_that_it_goes_on(tmp_path: Path) -> None:
    small = make_small(tmp_path, 8, photos=60)
    process = small.start("--jobs", 1)
    wait_for_a_point(process, tmp_path / "sweep" / "points")
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode == 130
    assert "what is done is kept in sweep: the same command goes on from there" in stderr
    assert "Traceback" not in stderr


def test_the_command_of_the_best_point_runs(small: Small) -> None:
    folder = small.folder
    told = Told(
        models=(Path("net0.tflite"),),
        config=Path("model.toml"),
        calibrate="photos",
        holdout="more",
        boards=("raspberry-pi-5",),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        figures = sweep(told, output="sweep", backend="threading").figures
    words = shlex.split(figures.rows[0].command)
    assert words[:2] == ["edge-sdk", "convert"]
    done = subprocess.run(
        [sys.executable, "-m", "edge_sdk.cli", *words[1:]],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "net0-int8.edge").is_file()


def test_the_command_line_prints_the_table_and_the_commands(small: Small) -> None:
    done = small.run("--backend", "threading", "--jobs", 2, "--board", "raspberry-pi-5")
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 points, " in done.stdout
    assert "top-1 agreement" in done.stdout
    assert "\n  edge-sdk convert net" in done.stdout
    assert "\nraspberry-pi-5\n" in done.stdout
    assert json.loads((small.folder / "sweep" / "sweep.json").read_text())["done"] == 3


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--backend", "dask"], "--backend dask --scheduler tcp://HOST:8786"),
        (["--scheduler", "tcp://127.0.0.1:9"], "go together"),
        (["--backend", "dask", "--scheduler", "tcp://127.0.0.1:9", "--jobs", "2"], "--jobs is of this machine"),
        (["--recipe", "int7"], "no recipe 'int7'"),
        (["--input-shape", "1,x"], "--input-shape takes whole numbers"),
        (["--size", "0"], "0 is not in the range"),
    ],
)
def test_bad_flags_are_usage_errors(small: Small, flags: list[str], said: str) -> None:
    done = small.run(*flags)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_sweep_without_any_good_point_fails(small: Small) -> None:
    for net in small.nets:
        net.write_bytes(f"no model: {net.name}".encode())
    done = small.run("--backend", "threading")
    assert done.returncode == 1
    assert "3 points, 0 on the front, 3 failed" in done.stdout
    assert "No point could be made" in (small.folder / "sweep" / "sweep.html").read_text()
