"""Sinks write what they are given, lose no file that was there, and leave whole files whatever happens."""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from converters.calibrate.samples import open_samples
from edge_sdk.contract import Placement
from edge_sdk.draw import annotate, bgr_image, contact_sheet
from edge_sdk.errors import ConfigError, ContractError, OutputError
from edge_sdk.outputs import replacing
from edge_sdk.result import Event, Result, Stages
from edge_sdk.sinks import in_a_later_life, sink_from, sinks_from
from edge_sdk.sinks.console import ConsoleSettings, ConsoleSink, in_short
from edge_sdk.sources import Sample
from edge_sdk.tasks.anomaly import Anomaly
from edge_sdk.tasks.classify import ClassScore
from edge_sdk.tasks.detect import Detection
from edge_sdk.tasks.keyword import Keyword, Spotting
from edge_sdk.tasks.pose import Pose
from edge_sdk.tasks.segment import Segmentation

FACE = Detection(
    box=(20.0, 10.0, 60.0, 50.0), label="face", index=0, score=0.947, keypoints=((30.0, 20.0), (45.0, 21.0))
)
FILE_SINKS = ("jsonl:{}/out.jsonl", "video:{}/out.mp4", "video:{}/out.avi")


def result(
    sequence: int = 0,
    value: Any = (FACE,),
    *,
    age_ms: float = 12.3,
    late: bool = False,
    dropped: int = 0,
    data: Any = None,
) -> Result:
    """A result of 30 frames/s over a grey frame of 96x64 pixels."""
    frame = np.full((64, 96, 3), 90, np.uint8) if data is None else data
    captured_ns = sequence * 33_333_333
    sample = Sample(frame, sequence, captured_ns, name=f"clip.mp4#{sequence}")
    return Result(value, sequence, captured_ns, age_ms, late, Stages(0.5, 1, 8, 0.5), "tflite-int8", dropped, sample)


EVENT = Event("hang", "the engine did not come back", at_ns=5, sequence=7, took_ms=120.4)


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def frames_of(path: Path) -> int:
    capture, count = cv2.VideoCapture(str(path)), 0
    while capture.read()[0]:
        count += 1
    capture.release()
    return count


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """Files cannot grow beyond this: writing fails in its middle as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


# Console


def shown(*, every_s: float = 1.0) -> tuple[ConsoleSink, io.StringIO]:
    stream = io.StringIO()
    return ConsoleSink(ConsoleSettings(every_s=every_s), stream=stream), stream


def test_the_console_gives_a_line_a_second_and_sums_up_the_rest() -> None:
    sink, stream = shown()
    with sink:
        for sequence in range(40):
            sink.result(
                result(
                    sequence,
                    age_ms=60 + sequence if sequence in (5, 6) else 12.3,
                    late=sequence in (5, 6),
                    dropped=sequence == 9,
                )
            )
    first, second, last = stream.getvalue().splitlines()
    assert first.split() == ["#0", "12.3", "ms", "face", "0.95", "at", "20,10", "size", "40x40"]
    assert second.startswith("#31 ") and second.endswith("[30 more before: 2 late, oldest 66.0 ms, 1 dropped]")
    assert last.startswith("#39 ") and last.endswith("[7 more before: 0 late, oldest 12.3 ms]")


def test_the_console_gives_a_line_where_an_anomaly_begins_and_where_it_is_over() -> None:
    sink, stream = shown()
    with sink:
        for sequence in range(20):
            score = 0.9 if sequence in (7, 8, 9) else 0.1
            sink.result(result(sequence, Anomaly(score, 0.5, anomalous=score > 0.5)))
    lines = [line.split()[:4] for line in stream.getvalue().splitlines()]
    assert [(line[0], line[3]) for line in lines] == [
        ("#0", "normal"),
        ("#7", "ANOMALY"),
        ("#10", "normal"),
        ("#19", "normal"),
    ]


def test_the_console_marks_late_results_and_gives_every_event_in_full() -> None:
    sink, stream = shown(every_s=0)
    with sink:
        sink.result(result(1))
        sink.event(EVENT)
        sink.result(result(2, age_ms=80, late=True, dropped=3))
    lines = stream.getvalue().splitlines()
    assert lines[1] == "hang at #7, took 120 ms: the engine did not come back"
    assert "LATE" not in lines[0]
    assert lines[2].split()[:4] == ["#2", "80.0", "ms", "LATE"] and lines[2].endswith(", 3 dropped before")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((), "nothing found"),
        ((FACE,) * 5, "face 0.95 at 20,10 size 40x40 and 2 more"),
        ((ClassScore(3, "cat", 0.8), ClassScore(1, "dog", 0.1)), "cat 0.80, dog 0.10"),
        ({"scores": np.zeros((1, 896, 1), np.float32), "sum": np.array([0.5])}, "scores float32 1x896x1, sum [0.5]"),
        ("x" * 200, "x" * 77 + "..."),
    ],
)
def test_the_console_keeps_values_short(value: Any, text: str) -> None:
    sink, stream = shown()
    sink.result(result(0, value))
    assert stream.getvalue().rstrip("\n").endswith(text)


def test_the_console_prints_no_character_that_commands_a_terminal() -> None:
    sink, stream = shown(every_s=0)
    sink.result(result(0, (ClassScore(0, "\x1b]0;title\x07\x1b[31mcat", 0.5),)))
    sink.event(Event("hang", "it said \x1b[2J\nand went", at_ns=5))
    assert all(c.isprintable() or c == "\n" for c in stream.getvalue())
    assert "cat 0.50" in stream.getvalue() and "\nand went" in stream.getvalue()


@pytest.mark.parametrize("print_to", ["stdout", "stderr"])
def test_the_console_is_either_stream(print_to: str, capsys: pytest.CaptureFixture[str]) -> None:
    with sink_from(f"console:?print_to={print_to}") as sink:
        sink.result(result(0))
    assert [name for name, said in capsys.readouterr()._asdict().items() if said] == [print_to[3:]]


@pytest.mark.parametrize("every_s", ["inf", "nan", "1e300", "-1"])
def test_the_console_takes_sensible_intervals_only(every_s: str) -> None:
    with pytest.raises(ConfigError, match="sink console: every_s"):
        sink_from(f"console:?every_s={every_s}")


# JSON lines


def test_json_lines_hold_every_result_and_event(tmp_path: Path) -> None:
    with sink_from({"kind": "jsonl", "path": tmp_path / "out.jsonl"}) as sink:
        sink.result(result(3, dropped=2))
        assert len(records(tmp_path / "out.jsonl")) == 1  # at once, not at the end
        sink.event(EVENT)
    first, second = records(tmp_path / "out.jsonl")
    assert first.pop("utc").endswith("Z") and second.pop("utc").endswith("Z")
    assert first == {
        "type": "result",
        "name": "clip.mp4#3",
        "value": [
            {
                "box": [20, 10, 60, 50],
                "label": "face",
                "index": 0,
                "score": 0.947,
                "keypoints": [[30, 20], [45, 21]],
                "track": None,
            }
        ],
        "sequence": 3,
        "captured_ns": 99_999_999,
        "age_ms": 12.3,
        "late": False,
        "stages": {"queue_ms": 0.5, "encode_ms": 1, "engine_ms": 8, "decode_ms": 0.5, "remote_ms": 0.0},
        "variant": "tflite-int8",
        "dropped_before": 2,
        "by": "",
    }
    assert second == {
        "type": "event", "kind": "hang", "message": "the engine did not come back", "at_ns": 5, "sequence": 7, "took_ms": 120.4,
    }  # fmt: skip


def test_json_lines_take_numpy_values_and_odd_text(tmp_path: Path) -> None:
    value = {
        "a": np.array([[1.5, np.nan]], np.float32),
        "b": np.int8(-3),
        "c": np.float32("inf"),
        "d": "zwei\nZeilen ü",
        "e": np.bool_(True),
    }
    with sink_from(f"jsonl:{tmp_path}/out.jsonl") as sink:
        sink.result(result(0, value))
    (record,) = records(tmp_path / "out.jsonl")
    assert record["value"] == {"a": [[1.5, None]], "b": -3, "c": None, "d": "zwei\nZeilen ü", "e": True}


def test_json_lines_take_a_file_name_that_is_no_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    odd = dataclasses.replace(result(0), sample=Sample(np.zeros((2, 2, 3), np.uint8), 0, 0, name=name))
    with sink_from(f"jsonl:{tmp_path}/out.jsonl") as sink:
        sink.result(odd)
    assert [r["name"] for r in records(tmp_path / "out.jsonl")] == [name]  # in UTF-8, and it finds the file again


def test_json_lines_without_a_record_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    sink_from(f"jsonl:{path}").close()
    assert not path.exists()
    path.write_text("precious")
    sink = sink_from(f"jsonl:{path}?overwrite=1")
    assert path.read_text() == "precious"
    sink.close()
    assert path.read_text() == "precious"


def test_json_lines_keep_a_file_that_came_after_them(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with sink_from(f"jsonl:{path}") as sink:
        path.write_text("precious")
        with pytest.raises(OutputError, match=r"cannot write .*: File exists"):
            sink.result(result(0))
    assert path.read_text() == "precious"


def test_json_lines_are_written_no_more_after_the_end(tmp_path: Path) -> None:
    sink = sink_from(f"jsonl:{tmp_path}/out.jsonl?overwrite=1")
    sink.result(result(0))
    sink.close()
    with pytest.raises(OutputError, match="this sink was closed"):
        sink.event(EVENT)
    assert len(records(tmp_path / "out.jsonl")) == 1


def test_json_lines_stay_whole_when_the_file_is_emptied_meanwhile(tmp_path: Path) -> None:
    """As by logrotate's copytruncate."""
    path = tmp_path / "out.jsonl"
    with sink_from(f"jsonl:{path}") as sink:
        for sequence in range(5):
            sink.result(result(sequence))
        os.truncate(path, 0)
        sink.result(result(5))
        with largest_file(path.stat().st_size + 50), pytest.raises(OutputError):
            sink.result(result(6))
    assert [r["sequence"] for r in records(path)] == [5]
    with sink_from(f"jsonl:{path}?overwrite=1") as sink:
        sink.result(result(7))
        os.truncate(path, 0)
    assert path.read_bytes() == b""  # not filled up with zeros


def test_json_lines_refuse_a_value_without_a_form_and_go_on(tmp_path: Path) -> None:
    with sink_from(f"jsonl:{tmp_path}/out.jsonl") as sink:
        sink.result(result(0))
        with pytest.raises(OutputError, match="a value of type complex has no form in JSON"):
            sink.result(result(1, 1j))
        sink.result(result(2))
    assert [r["sequence"] for r in records(tmp_path / "out.jsonl")] == [0, 2]


def test_json_lines_end_in_a_whole_line_on_a_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with sink_from(f"jsonl:{path}") as sink:
        with (
            largest_file(1000),
            pytest.raises(OutputError, match=f"{os.strerror(errno.EFBIG)}; it ends after its last whole line"),
        ):
            for sequence in range(10):
                sink.result(result(sequence))
        whole = [r["sequence"] for r in records(path)]
        assert 0 < len(whole) < 10 and path.stat().st_size > 500
        sink.event(EVENT)  # there is space again
    assert [r.get("sequence") for r in records(path)] == [*whole, 7]


def test_json_lines_are_whole_after_an_interrupt_in_the_middle_of_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def interrupted(file: int, content: bytes) -> int:
        write(file, content[:20])
        raise KeyboardInterrupt

    with sink_from(f"jsonl:{tmp_path}/out.jsonl") as sink:
        sink.result(result(0))
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", interrupted)
            with pytest.raises(KeyboardInterrupt):
                sink.result(result(1))
        sink.event(EVENT)
    assert [r["type"] for r in records(tmp_path / "out.jsonl")] == ["result", "event"]


# What was there before


@pytest.mark.parametrize("text", FILE_SINKS)
def test_a_file_that_exists_is_kept_without_overwrite(tmp_path: Path, text: str) -> None:
    text = text.format(tmp_path)
    path = Path(text.partition(":")[2])
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match=r"exists already; give another name, or --overwrite"):
        sink_from(text)
    assert path.read_bytes() == b"precious"
    with sink_from(f"{text}?overwrite=1") as sink:
        sink.result(result(0))
    with sink_from(text, overwrite=True) as sink:
        sink.result(result(0))
    assert path.read_bytes() != b"precious"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("text", FILE_SINKS)
def test_a_missing_folder_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(OutputError, match="none does not exist; create it first"):
        sink_from(text.format(tmp_path / "none"))


def test_json_lines_go_to_plain_files_only(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="pipe is not a plain file"):
        sink_from(f"jsonl:{tmp_path}/pipe?overwrite=1")


@pytest.mark.parametrize("text", [*FILE_SINKS, "pictures:{}/out", "capture:{}/out"])
@pytest.mark.parametrize(("name", "why"), [("n" * 300, "File name too long"), ("a\0b", "embedded null")])
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, text: str, name: str, why: str) -> None:
    text = text.format(tmp_path).replace("out", name)
    with pytest.raises(OutputError, match=f"cannot (write|make the folder) .*: {why}"):
        sink_from(text)


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_the_longest_name_that_a_file_can_have_is_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / ("n" * (255 - len(suffix)) + suffix)
    with sink_from(f"video:{path}") as sink:
        sink.result(result(0))
    assert list(tmp_path.iterdir()) == [path]


def test_a_temporary_name_that_is_too_long_does_not_hide_what_failed(tmp_path: Path) -> None:
    path = tmp_path / ("a." + "s" * 250)
    said = r"cannot write .*: File name too long; nothing was changed"
    with pytest.raises(OutputError, match=said), replacing(path, overwrite=False) as beside:
        beside.write_bytes(b"x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("other", ["out.jsonl", "./out.jsonl", "folder/../out.jsonl", "link.jsonl"])
def test_two_sinks_never_write_to_one_file(tmp_path: Path, other: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "out.jsonl").write_text("precious")
    (tmp_path / "link.jsonl").symlink_to("out.jsonl")
    with pytest.raises(ConfigError, match=r"two sinks write to .*/out\.jsonl"):
        sinks_from([f"jsonl:{tmp_path}/out.jsonl", "console", f"jsonl:{tmp_path}/{other}"], overwrite=True)
    assert (tmp_path / "out.jsonl").read_text() == "precious"
    assert len(sinks_from(["console", "console", f"jsonl:{tmp_path}/a", f"jsonl:{tmp_path}/b"])) == 4


# Pictures


def test_pictures_are_written_of_every_nth_result(tmp_path: Path) -> None:
    with sink_from(f"pictures:{tmp_path}/out?every=3", deadline_ms=50) as sink:
        for sequence in range(10, 18):
            sink.result(result(sequence))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["00000010.png", "00000013.png", "00000016.png"]
    picture = cv2.imread(str(tmp_path / "out" / "00000013.png"))
    np.testing.assert_array_equal(picture, annotate(result(13).sample.data, result(13), 50))
    with pytest.raises(OutputError, match="holds pictures already"):
        sink_from(f"pictures:{tmp_path}/out")


def test_no_half_picture_is_left_on_a_full_disk(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (64, 96, 3), np.uint8)
    sink = sink_from(f"pictures:{tmp_path}/out?every=1")
    with largest_file(5000), pytest.raises(OutputError, match=r"00000004\.png: .*; nothing was changed"):
        sink.result(result(4, data=noise))
    assert list((tmp_path / "out").iterdir()) == []


# Capture


def test_raw_samples_are_captured_as_they_came_and_read_for_calibration(tmp_path: Path) -> None:
    folder, rng = tmp_path / "captured", np.random.default_rng(0)
    frames = [rng.integers(0, 256, (20, 30, 3), np.uint8) for _ in range(7)]
    with sink_from(f"capture:{folder}?every=3") as sink:
        for sequence, frame in enumerate(frames):
            given = result(sequence)
            colour = "rgb" if sequence == 3 else "bgr"
            sink.result(dataclasses.replace(given, sample=dataclasses.replace(given.sample, data=frame, colour=colour)))
    assert sorted(p.name for p in folder.iterdir()) == ["00000000.npz", "00000001.npz", "00000002.npz"]
    with np.load(folder / "00000001.npz") as stored:
        assert int(stored["captured_ns"]) == 99_999_999
    samples = list(open_samples(folder, shape=(1, 20, 30, 3)))
    assert [s.colour for s in samples] == ["bgr", "rgb", "bgr"]
    for sample, frame in zip(samples, frames[::3], strict=True):
        np.testing.assert_array_equal(sample.data, frame)


def test_captured_numbers_keep_their_type(tmp_path: Path) -> None:
    window = np.arange(12, dtype=np.int16).reshape(4, 3)
    with sink_from(f"capture:{tmp_path}/captured") as sink:
        sink.result(result(0, data=window))
    (sample,) = open_samples(tmp_path / "captured", shape=(1, 4, 3))
    assert sample.data.dtype == np.int16
    np.testing.assert_array_equal(sample.data, window)


def test_capturing_goes_on_where_it_ended_and_stops_at_its_bounds(tmp_path: Path) -> None:
    folder = tmp_path / "captured"
    for _ in range(3):
        with sink_from(f"capture:{folder}?every=1&most=5") as sink:
            for sequence in range(2):
                sink.result(result(sequence))
    assert sorted(p.stem for p in folder.iterdir()) == [f"{n:08d}" for n in range(5)]
    (folder / "00000001.npz").unlink()
    before = (folder / "00000004.npz").stat().st_mtime_ns
    with sink_from(f"capture:{folder}?every=1&most=5") as sink:
        sink.result(result(0))
        assert sink.full is False
        sink.result(result(1))
        assert sink.full is True
    assert (folder / "00000005.npz").exists() and (folder / "00000004.npz").stat().st_mtime_ns == before
    one_mb = (folder / "00000000.npz").stat().st_size / 1e6
    with sink_from(f"capture:{tmp_path}/small?every=1&most_mb={2.5 * one_mb}") as sink:
        for sequence in range(9):
            sink.result(result(sequence))
    assert len(list((tmp_path / "small").iterdir())) == 2


def test_no_half_sample_is_left_on_a_full_disk(tmp_path: Path) -> None:
    with (
        sink_from(f"capture:{tmp_path}/captured") as sink,
        largest_file(5000),
        pytest.raises(OutputError, match=r"00000000\.npz: .*; nothing was changed"),
    ):
        sink.result(result(0))
    assert list((tmp_path / "captured").iterdir()) == []


# Video


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_a_video_has_a_frame_for_each_result_also_of_other_sizes(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    with sink_from(f"video:{path}?fps=25") as sink:
        for sequence in range(10):
            sink.result(result(sequence, data=np.zeros((80, 65), np.uint8) if sequence == 5 else None))
        assert not path.exists()  # it takes its place when it is whole
    assert frames_of(path) == 10
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(25)
    capture.release()


def test_a_video_without_a_result_is_no_file(tmp_path: Path) -> None:
    sink_from(f"video:{tmp_path}/out.mp4").close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_a_video_that_did_not_become_whole_does_not_replace_one(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    path.write_bytes(b"precious")
    sink = sink_from(f"video:{path}?overwrite=1")
    noise = np.random.default_rng(1).integers(0, 255, (240, 480, 3), np.uint8)
    with largest_file(300_000), pytest.raises(OutputError, match=r"cannot write .*/out\.(mp4|avi)"):
        for sequence in range(40):
            sink.result(result(sequence, data=noise))
        sink.close()
    assert path.read_bytes() == b"precious"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_ctrl_c_leaves_whole_files(tmp_path: Path) -> None:
    program = f"""
        import sys
        from contextlib import ExitStack
        from edge_sdk.sinks import sink_from
        from test_sinks import result
        with ExitStack() as stack:
            sinks = [stack.enter_context(sink_from(text)) for text in {[t.format(tmp_path) for t in FILE_SINKS]!r}]
            sequence = 0
            while True:
                for sink in sinks:
                    sink.result(result(sequence))
                sequence += 1
                if sequence == 20:
                    print("going", flush=True)
        """
    running = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None and running.stdout.readline() == "going\n"
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate()
    assert "KeyboardInterrupt" in errors.splitlines()[-1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.avi", "out.jsonl", "out.mp4"]
    counts = [len(records(tmp_path / "out.jsonl")), frames_of(tmp_path / "out.mp4"), frames_of(tmp_path / "out.avi")]
    assert min(counts) >= 20 and max(counts) - min(counts) <= 1


# Settings


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("out.jsonl", "sink 'out.jsonl' does not begin with a kind; write one such as console, jsonl:results.jsonl"),
        ("console:here", "console has no location; write console or console:"),
        ("console:?often=1", "often: no such key\nsink console takes every_s"),
        ("video:out.gif", r"a video ends in .mp4 or .avi; found 'out.gif'"),
        ({"kind": "mqtt"}, "no sink kind 'mqtt'; there are console, jsonl, pictures, video"),
        ({"kind": "pictures", "path": "x", "every": 0}, "every: Input should be greater than or equal to 1"),
    ],
)
def test_wrong_settings_name_what_is_allowed(wanted: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sink_from(wanted)


def test_the_loop_s_deadline_is_given_only_to_sinks_that_show_it(tmp_path: Path) -> None:
    assert sink_from(f"pictures:{tmp_path}", deadline_ms=50).settings.deadline_ms == 50
    assert (
        sink_from({"kind": "pictures", "path": tmp_path, "deadline_ms": 20}, deadline_ms=50).settings.deadline_ms == 20
    )
    sink_from("console", deadline_ms=50)


# Drawing


def test_a_late_frame_is_seen_to_be_late_and_the_frame_is_not_changed() -> None:
    frame = np.full((144, 176, 3), 90, np.uint8)
    on_time = annotate(frame, result(value=()), 50)
    late = annotate(frame, result(value=(), late=True), 50)
    assert on_time.shape == late.shape == (144 * 3 + 30, 176 * 3, 3)  # enlarged, and a line below
    assert (frame == 90).all()
    assert (on_time[:432] == 90).all()
    red = (late[:, :, 2] > 180) & (late[:, :, :2].max(axis=2) < 80)
    assert red[0].all() and red[:, 0].all() and red[432:].mean() > 0.7


def test_boxes_and_points_are_drawn_where_they_are() -> None:
    frame = np.full((480, 640, 3), 90, np.uint8)
    found = Detection(box=(200.4, 100.0, 300.0, 260.0), label="face", index=0, score=0.9, keypoints=((250.0, 180.0),))
    image = annotate(frame, result(value=(found,)))[:480]
    ys, xs = np.nonzero((image != 90).any(axis=2))
    assert (xs.min(), xs.max(), ys.max()) == (
        pytest.approx(200, abs=2),
        pytest.approx(300, abs=2),
        pytest.approx(260, abs=2),
    )
    assert 100 - 25 <= ys.min() < 100  # the label above it
    assert (image[180, 250] != 90).any() and (image[200:250, 210:240] == 90).all()


def test_what_lies_outside_the_frame_does_not_break_drawing() -> None:
    wild = Detection(box=(-1e30, -5.0, 1e30, 4e9), label="class 9", index=9, score=1.0, keypoints=((1e20, -1e20),))
    annotate(np.zeros((20, 30, 3), np.uint8), result(value=(wild, ClassScore(2, "a" * 300, 1.5))))


def test_samples_are_drawn_in_their_own_colour_order() -> None:
    red = np.zeros((2, 2, 3), np.uint8)
    red[:, :, 0] = 200
    assert bgr_image(Sample(red, 0, 0, "rgb"))[0, 0].tolist() == [0, 0, 200]
    assert bgr_image(Sample(red, 0, 0, "bgr"))[0, 0].tolist() == [200, 0, 0]
    assert bgr_image(Sample(red[:, :, 0], 0, 0)).tolist() == [[[200] * 3] * 2] * 2
    with pytest.raises(ContractError, match=r"only images can be drawn.*float32 of shape \(49, 10\)"):
        bgr_image(Sample(np.zeros((49, 10), np.float32), 0, 0))


def test_a_contact_sheet_has_a_cell_for_each_frame() -> None:
    frames = [np.full((48, 64, 3), 40 * n, np.uint8) for n in range(1, 6)]
    page = contact_sheet(frames, columns=3, captions=[f"frame {n}" for n in range(5)], title="five", cell_width=128)
    assert page.shape == (52 + 14 + 2 * (96 + 26 + 14), 14 + 3 * (128 + 14), 3)
    for index in range(5):
        x, y = 14 + index % 3 * 142 + 64, 66 + index // 3 * 136 + 48
        assert page[y, x].tolist() == [40 * (index + 1)] * 3
    with pytest.raises(ContractError, match="found 5 frames, 3 columns, 1 captions"):
        contact_sheet(frames, columns=3, captions=["one"])


# Values of the tasks

TRACKED = dataclasses.replace(FACE, track=7)
MASKED = np.zeros((4, 6), np.uint8)
MASKED[1:3, 2:5] = 1
VALUES: dict[str, tuple[Any, str, Any]] = {
    "tracked": ((TRACKED,), "#7 face 0.95 at 20,10 size 40x40", None),
    "keyword": (
        Spotting(Keyword(1, "yes", 0.93), {"no": 0.07, "yes": 0.93}),
        "heard 'yes' 0.93",
        {"keyword": {"index": 1, "label": "yes", "score": 0.93}, "scores": {"no": 0.07, "yes": 0.93}},
    ),
    "silence": (Spotting(None, {"no": 0.6, "yes": 0.4}), "listening (no 0.60)", None),
    "anomaly": (
        Anomaly(2.5, 1.0, anomalous=True),
        "ANOMALY 2.5 (threshold 1)",
        {"score": 2.5, "threshold": 1, "anomalous": True},
    ),
    "no number": (
        Anomaly(float("nan"), 1.0, anomalous=True),
        "ANOMALY nan (threshold 1)",
        {"score": None, "threshold": 1, "anomalous": True},
    ),
    "mask": (
        Segmentation(MASKED, ("background", "cat"), {"background": 0.75, "cat": 0.25}, (6, 4), Placement((1 / 16, 1 / 16), (0, 0))),
        "background 75%, cat 25%",
        {
            "shares": {"background": 0.75, "cat": 0.25}, "labels": ["background", "cat"], "width": 6, "height": 4,
            "runs": [0, 8, 1, 3, 0, 3, 1, 3, 0, 7],
        },
    ),
    "pose": (
        Pose(((10.0, 20.0), (50.0, 40.0)), (0.9, 0.2), 0.97, ("nose", "foot"), ((0, 1),)),
        "pose 0.97 of 2 keypoints, 1 of them seen",
        {"points": [[10, 20], [50, 40]], "scores": [0.9, 0.2], "score": 0.97, "labels": ["nose", "foot"]},
    ),
    "nobody": (None, "nothing found", None),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_every_value_is_printed_recorded_and_drawn(name: str, tmp_path: Path) -> None:
    value, said, record = VALUES[name]
    assert in_short(value) == said
    with sink_from(f"jsonl:{tmp_path}/out.jsonl") as sink:
        sink.result(result(0, value))
    (written,) = records(tmp_path / "out.jsonl")
    if record is not None:
        assert written["value"] == record
    frame = np.full((64, 96, 3), 90, np.uint8)
    drawn, plain = annotate(frame, result(0, value)), annotate(frame, result(0, ()))
    assert drawn.shape == plain.shape and (frame == 90).all()
    assert (drawn != plain).any() == (value is not None)


def test_a_mask_is_drawn_on_the_pixels_it_stands_for() -> None:
    value = VALUES["mask"][0]
    changed = (annotate(np.full((64, 96, 3), 90, np.uint8), result(0, value)) != 90).any(axis=2)[: 64 * 3]
    below_the_shares = changed[60:]
    on_frame = value.on_frame((64, 96)).repeat(3, axis=0).repeat(3, axis=1).astype(bool)
    assert np.array_equal(below_the_shares, on_frame[60:])


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1e-300, float("inf")])
@pytest.mark.parametrize("score", [0.0, -5.0, 1e300, float("inf"), float("nan")])
def test_any_score_of_an_anomaly_can_be_drawn(score: float, threshold: float) -> None:
    annotate(np.full((64, 96, 3), 90, np.uint8), result(0, Anomaly(score, threshold, anomalous=True)))


def test_keypoints_far_away_can_be_drawn() -> None:
    nan, inf = float("nan"), float("inf")
    value = Pose(((1e30, -1e30), (inf, 5.0), (nan, 1.0), (inf, -inf)), (), None, (), ((0, 1), (1, 2), (2, 3)))
    annotate(np.full((64, 96, 3), 90, np.uint8), result(0, value))


def test_what_is_no_number_can_be_drawn() -> None:
    nan = float("nan")
    boxes = (Detection((nan, 1.0, 2.0, 3.0), "a", 0, 0.9), Detection((1.0, 1.0, 9.0, 9.0), "b", 0, 0.9, ((nan, 1.0),)))
    for value in (boxes, Spotting(None, {"yes": nan, "no": 0.1}), (ClassScore(0, "a", nan),)):
        annotate(np.full((64, 96, 3), 90, np.uint8), result(0, value))


def test_a_later_life_neither_refuses_nor_replaces(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").touch()
    (tmp_path / "clip-2.mp4").touch()
    clip = {"kind": "video", "path": str(tmp_path / "clip-3.mp4"), "fps": "5"}
    assert in_a_later_life(f"video:{tmp_path}/clip.mp4?fps=5") == clip
    assert in_a_later_life("video:new.mp4") == {"kind": "video", "path": "new.mp4"}
    assert in_a_later_life("jsonl:out.jsonl") == {"kind": "jsonl", "path": "out.jsonl", "append": True}
    assert in_a_later_life("console") == {"kind": "console"}


def test_a_new_run_replaces_what_may_be_overwritten_and_goes_on_with_the_rest() -> None:
    may = {"kind": "jsonl", "path": "out.jsonl", "overwrite": True}
    assert in_a_later_life(may, new_run=True) == may
    assert in_a_later_life(may) == {**may, "append": True}
    assert in_a_later_life("jsonl:out.jsonl", new_run=True) == {"kind": "jsonl", "path": "out.jsonl", "append": True}
