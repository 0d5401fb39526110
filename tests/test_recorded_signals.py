"""Recorded and made-up signals: at their pace, with their times, and broken places named."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.errors import ConfigError, SourceError
from edge_sdk.sources import SignalSource, Source, source_from
from edge_sdk.sources.lines import LONGEST_LINE_BYTES, Columns, LineSplitter, parse
from edge_sdk.sources.recording import RecordingSource
from edge_sdk.sources.stamps import ClockOffset, EvenTimes
from tests.source_contract import SourceContract, read_all

MS = 1_000_000


def joined(source: Source) -> tuple[np.ndarray, np.ndarray]:
    """All readings of a source, and their times in ms since the first one."""
    with source:
        samples = read_all(source)
    times_ns = np.concatenate([sample.times_ns for sample in samples])
    return np.concatenate([sample.data for sample in samples]), (times_ns - times_ns[0]) / MS


class TestTable(SourceContract):
    count = 5

    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Source]:
        rows = "".join(f"{t},{t / 8},{-t}\n" for t in range(0, 150, 30))
        (tmp_path / "log.csv").write_text("t_ms,ax,ay\n" + rows)
        return lambda: source_from(f"replay:{tmp_path / 'log.csv'}?time=t_ms&time_unit=ms")

    def test_readings_come_when_they_are_due(self, make: Callable[[], Source]) -> None:
        with make() as source:
            read = [(source.read(), time.monotonic_ns()) for _ in range(5)]
        assert source.live and source.channels == ("ax", "ay") and source.period_s == 0.03
        assert all(now - sample.captured_ns >= 0 for sample, now in read)
        assert [b[0].captured_ns - a[0].captured_ns for a, b in pairwise(read)] == [30 * MS] * 4
        assert read[2][0].data.tolist() == [[7.5, -60.0]]
        assert read[2][0].times_ns.tolist() == [read[2][0].captured_ns]


class TestArraysWithTimes(SourceContract):
    count = 7

    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Source]:
        data = np.arange(280, dtype=np.float32).reshape(140, 2)
        np.savez(tmp_path / "log.npz", x=data, t=np.arange(140) * 1_000)
        return lambda: source_from(f"replay:{tmp_path / 'log.npz'}?time=t&time_unit=us")

    def test_a_piece_is_what_comes_within_20_ms(self, make: Callable[[], Source]) -> None:
        with make() as source:
            samples = read_all(source)
        assert [s.data.shape for s in samples] == [(20, 2)] * 7
        np.testing.assert_array_equal(np.concatenate([s.data for s in samples]), np.arange(280).reshape(140, 2))
        assert all(np.all(np.diff(s.times_ns) == MS) and s.captured_ns == s.times_ns[-1] for s in samples)


class TestSyntheticSignal(SourceContract):
    count = 6

    @pytest.fixture
    def make(self) -> Callable[[], Source]:
        return lambda: source_from("synthetic:sine?rate_hz=1000&channels=2&frequency_hz=50&count=120")

    def test_a_sine_has_its_frequency(self, make: Callable[[], Source]) -> None:
        data, times_ms = joined(make())
        assert data.shape == (120, 2) and times_ms.tolist() == list(range(120))
        np.testing.assert_allclose(data[:, 0], np.sin(2 * np.pi * times_ms / 20), atol=1e-9)
        np.testing.assert_allclose(data[:, 1], np.sin(2 * np.pi * times_ms / 10), atol=1e-9)


class TestSyntheticFrames(SourceContract):
    count = 5

    @pytest.fixture
    def make(self) -> Callable[[], Source]:
        return lambda: source_from("synthetic:shapes?rate_hz=100&count=5&width=64&height=48&shapes=1&seed=3")

    def test_a_disc_stands_where_it_is_said_to(self, make: Callable[[], Source]) -> None:
        with make() as source:
            samples = read_all(source)
            centres = [source.centres(number)[0] for number in range(5)]
        assert [s.name for s in samples] == [f"shapes#{n}" for n in range(5)]
        for sample, (x, y) in zip(samples, centres, strict=True):
            assert sample.data.shape == (48, 64, 3) and sample.data[int(y), int(x)].min() >= 128
            assert (sample.data.max(axis=2) > 32).mean() < 0.2


@pytest.mark.parametrize("what", ["sine", "noise", "steps"])
def test_made_up_signals_are_the_same_for_the_same_seed(what: str) -> None:
    text = f"synthetic:{what}?rate_hz=1000&count=1000&noise=0.5&pace=fast&seed="
    first, again, other = (joined(source_from(f"{text}{seed}"))[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_fast_signal_keeps_its_times() -> None:
    began = time.monotonic()
    data, times_ms = joined(source_from("synthetic:steps?rate_hz=100&count=1000&pace=fast&frequency_hz=5"))
    assert time.monotonic() - began < 2  # of ten
    assert times_ms.tolist() == list(range(0, 10_000, 10))
    assert all(len(set(step)) == 1 for step in data[:, 0].reshape(100, 10).tolist())


def csv(folder: Path, content: str | bytes, settings: str = "time=0&time_unit=ms") -> RecordingSource:
    (folder / "log.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    return source_from(f"replay:{folder / 'log.csv'}?{settings}&pace=fast")


@pytest.mark.parametrize(
    ("content", "settings", "channels", "data", "times_ms"),
    [
        ("0,1\n10,2\n", "time=0&time_unit=ms", ("1",), [[1], [2]], [0, 10]),
        ("1,2\n3,4", "rate_hz=50", ("0", "1"), [[1, 2], [3, 4]], [0, 20]),
        (
            "\ufeff# log\n\nt;x;y\r\n0;1;2\r\n1;3;4\r\n",
            "time=t&separator=semicolon&columns=y",
            ("y",),
            [[2], [4]],
            [0, 1000],
        ),
        ("t x\n0  1e3\n\n2\tnan\n", "time=t&separator=space", ("x",), [[1000], [np.nan]], [0, 2000]),
        ("x\n1\n2\n", "rate_hz=10", ("x",), [[1], [2]], [0, 100]),
        ("a,b,c\n1,text,3\n", "rate_hz=10&columns=c,0", ("c", "a"), [[3, 1]], [0]),
        ("t,x\n30,1\n10,2\n", "time=t&time_unit=ms", ("x",), [[1], [2]], [0, -20]),  # passed on
        ("t,x\n5000,1\n5010,2\n0,3\n10,4\n", "time=t&time_unit=ms", ("x",), [[1], [2], [3], [4]], [0, 10, 20, 30]),
    ],
)
def test_tables_of_every_form(
    tmp_path: Path, content: str, settings: str, channels: tuple[str, ...], data: list[object], times_ms: list[int]
) -> None:
    source = csv(tmp_path, content, settings)
    got, times = joined(source)
    np.testing.assert_array_equal(got, data)
    assert times.tolist() == times_ms and source.channels == channels
    assert isinstance(source, SignalSource) and not source.live


def test_broken_lines_are_named_and_leave_their_place_empty(tmp_path: Path) -> None:
    source = csv(tmp_path, "x,y\n1,2\n3\n\n4,five\n5,6,7\n8,9\n", "rate_hz=1000")
    with source:
        good = source.read()
        with pytest.raises(
            SourceError, match=r"log\.csv: 3 of 5 lines hold no reading, such as line 3: '3': it has 1 col"
        ):
            source.read()
        assert source.read() is None
    assert good.data.tolist() == [[1, 2], [8, 9]] and np.diff(good.times_ns).tolist() == [4 * MS]


def test_a_recording_that_loops_goes_on_evenly(tmp_path: Path) -> None:
    with csv(tmp_path, "t,x\n0,1\n10,2\n20,3\n", "time=t&time_unit=ms&loop=1") as source:
        samples = [source.read() for _ in range(6)]
    times = np.concatenate([sample.times_ns for sample in samples])
    assert set(np.diff(times)) == {10 * MS}
    assert np.concatenate([s.data for s in samples])[:7, 0].tolist() == [1, 2, 3, 1, 2, 3, 1]


def test_silence_in_a_recording_is_announced(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("0,1\n3600,2\n")
    with source_from(f"replay:{tmp_path / 'log.csv'}?time=0") as source:
        source.read()
        assert source.period_s == 3600


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        ("", "rate_hz=1", "log.csv holds no reading"),
        ("\n\n# nothing\n", "rate_hz=1", "log.csv holds no reading"),
        ("t,x\n", "time=t", "log.csv holds no reading"),
        ("a;b\n1;2\n", "time=a", "no column 'a'; with separator=comma there are a;b"),
        ("a,b\n1,2\n", "time=a&columns=b,c", "no column 'c'; with separator=comma there are a, b"),
    ],
)
def test_a_table_that_cannot_be_played_says_why(tmp_path: Path, content: str, settings: str, message: str) -> None:
    source = csv(tmp_path, content, settings)
    with pytest.raises(SourceError, match=message):
        source.open()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("signal=1&rate_hz=5&key=cube", r"shape \(2, 2, 2\); the readings of a signal are \(count,\) or"),
        ("time=short&key=x", r"short has the shape \(2,\); for 3 readings it must be \(3,\)"),
        ("time=odd&key=x", "odd holds times that are no numbers of s"),
        ("time=none&key=x", "found none, there are"),
    ],
)
def test_arrays_that_are_no_signal_say_why(tmp_path: Path, settings: str, message: str) -> None:
    path = tmp_path / "log.npz"
    np.savez(path, x=np.zeros((3, 2)), short=np.zeros(2), odd=np.array([0, np.nan, 1e300]), cube=np.zeros((2, 2, 2)))
    with pytest.raises(SourceError, match=message):
        source_from(f"replay:{path}?{settings}").open()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("replay:log.csv", "need either time=NAME, which says when each was taken, or rate_hz"),
        ("replay:log.npz?time=t&rate_hz=4", "need either time=NAME"),
        ("replay:log.npy?pace=fast", "pace=fast is of signals"),
        ("replay:log.npy?columns=1", "columns are of a .csv"),
        ("replay:log.npz?time=t&colour=rgb", "colour is of images"),
        ("synthetic:square", "'sine', 'noise', 'steps' or 'shapes'"),
    ],
)
def test_settings_that_do_not_fit(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        source_from(text)


NUMBER = st.floats(width=32) | st.integers(-(2**31), 2**31)


@given(
    st.lists(st.lists(NUMBER, min_size=3, max_size=3)), st.lists(st.integers(1, 20)), st.sampled_from(["\n", "\r\n"])
)
def test_numbers_are_what_was_written_however_the_bytes_come(
    rows: list[list[float]], cuts: list[int], end: str
) -> None:
    content = "".join(",".join(map(repr, row)) + end for row in rows).encode()
    splitter, lines = LineSplitter(), []
    for cut in cuts:
        lines += splitter.feed(content[:cut])
        content = content[cut:]
    lines += splitter.feed(content)
    parsed = parse(lines, Columns(b",", 3, (2, 0)).numbers, timed=False)
    np.testing.assert_array_equal(
        parsed.data, np.array([[row[2], row[0]] for row in rows], np.float64).reshape(parsed.data.shape)
    )
    assert len(parsed.data) == len(rows)
    assert parsed.broken == "" and splitter.rest() == b""


@given(st.binary(max_size=300))
def test_any_bytes_are_readings_or_broken(content: bytes) -> None:
    lines = LineSplitter().feed(content + b"\n")
    parsed = parse(lines, Columns(None, 2, (0,), time=1, time_ns=10**9).numbers, timed=True, first=1)
    assert len(parsed.data) == len(parsed.times_ns) == len(parsed.places) and parsed.data.size == len(parsed.data)
    assert (parsed.count > len(parsed.data)) == bool(parsed.broken) and parsed.broken.isprintable()


def test_a_line_without_an_end_needs_bounded_memory() -> None:
    splitter = LineSplitter()
    for _ in range(100):
        assert splitter.feed(b"7" * 10_000) == []
    assert len(splitter._begun) == LONGEST_LINE_BYTES + 1
    parsed = parse(splitter.feed(b"\n8\n"), Columns(b",", 1, (0,)).numbers, timed=False)
    assert parsed.data.tolist() == [[8]] and "longer than 65536 bytes" in parsed.broken


def test_another_clock_is_followed_by_its_shortest_delay() -> None:
    offset = ClockOffset()
    delays = [5, 30, 2, 9, 40]
    times = [
        offset(np.array([i * 100 * MS]), (10_000 + i * 100 + delay) * MS)[0] / MS for i, delay in enumerate(delays)
    ]
    late = [t - 10_000 - i * 100 for i, t in enumerate(times)]  # the true time is i * 100 + 10 s
    assert late[0] == 5 and late[2] < 3 and all(2 <= each <= 6 for each in late)


def test_a_clock_that_falls_back_far_has_begun_anew_and_one_that_falls_back_little_is_believed() -> None:
    offset = ClockOffset()
    assert offset(np.array([5_000, 5_010]) * MS, 100 * MS).tolist() == [90 * MS, 100 * MS]
    assert offset(np.array([5_020, 4_990]) * MS, 110 * MS)[0] > offset(np.array([4_990]) * MS, 111 * MS)[0]
    wrapped = offset(np.array([5_030, 5_040, 0, 10]) * MS, 150 * MS)
    assert np.all(np.diff(wrapped) >= 0) and wrapped[-1] == 150 * MS


def test_readings_at_a_rate_are_even_though_they_come_in_jerks_and_what_is_missing_shows() -> None:
    even, times, read_ns, place = EvenTimes(1000), [], 0, 0
    random = np.random.default_rng(5)
    for piece in range(50):
        lost = 200 if piece == 30 else 0
        place += 20 + lost
        read_ns = place * MS + int(random.uniform(0, 15 * MS))
        times += even(np.arange(20), 20, read_ns).tolist()
    steps = np.diff(times) / MS
    assert np.sum(steps > 20) == 1 and 150 < steps[30 * 20 - 1] < 250
    others = np.delete(steps, [*range(20), 30 * 20 - 1])
    assert np.all((others > -16) & (others < 17))


def test_a_broken_reading_leaves_its_place_empty() -> None:
    assert EvenTimes(100)(np.array([0, 2]), 4, 1_000 * MS).tolist() == [970 * MS, 990 * MS]


def test_a_clock_that_begins_anew_with_every_reading_is_no_harm() -> None:
    """A message may hold thousands of readings, and whoever sends it what he likes."""
    times = ClockOffset()(np.tile([5_000, 0], 5_000) * MS, 100 * MS)
    assert len(times) == 10_000 and times.max() == times[-1] == 100 * MS


def test_even_times_need_64_bits_where_numpy_s_own_integer_has_32(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on armv7l; NumPy 2 does not widen an array for a Python integer."""
    array = np.array

    def of_32_bits(content: object, dtype: object = None) -> np.ndarray:
        made = array(content, dtype)
        return made.astype(np.int32) if dtype is None and made.dtype == np.int64 and abs(made).max() < 2**31 else made

    monkeypatch.setattr(np, "array", of_32_bits)
    even = EvenTimes(1000)
    assert even(np.arange(20, dtype=np.int32), 20, 10**13)[-1] == 10**13
    even._count = 2**31  # after 25 days
    assert len(even(np.arange(20, dtype=np.int32), 20, 10**13 + 2**31 * MS)) == 20


def npz_of_method(method: int) -> bytes:
    """An .npz whose entry states this method of compression."""
    content = io.BytesIO()
    np.savez(content, x=np.arange(3))
    stated = bytearray(content.getvalue())
    for name, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = stated.index(name) + place
        stated[at : at + 2] = method.to_bytes(2, "little")
    return bytes(stated)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.npy", b"\x93NUMPY\x01\x00\x06\x00{'a':("),
        ("a.npz", npz_of_method(77)),
        ("a.wav", b"RIFF\x24\x00\x00\x00WAVEfmt \xff\xff\xff\x7f" + bytes(24)),
        ("b.wav", b"RIFF\x08\x00\x00\x00WAVELIST\xff\xff\x00\x00" + bytes(4)),
    ],
)
def test_a_damaged_file_is_an_error_of_the_source(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    kind = "wav" if name.endswith("wav") else "replay"
    with pytest.raises(SourceError, match="is not a "):
        source_from(f"{kind}:{tmp_path / name}").open()
