"""Windows: cut alike from whatever pieces, gaps filled or dropped as declared, and everything odd said and counted."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_sdk.contract import Contract
from edge_sdk.encoder import Encoder
from edge_sdk.errors import ContractError, SourceError
from edge_sdk.sources import Sample
from edge_sdk.sources.stamps import ClockOffset, EvenTimes
from edge_sdk.tensors import TensorSpec
from edge_sdk.window_settings import WindowSettings
from edge_sdk.windows import Windows

PERIOD_NS = 10_000_000  # 100 Hz


def spec(length: int = 8, hop: int = 4, channels: str = "xy", **more: object) -> WindowSettings:
    told = {"length": length, "hop": hop, "rate_hz": 100, "channels": tuple(channels), "units": "g", "gap": "drop"}
    return WindowSettings.model_validate(told | more)


def signal(count: int, channels: int = 2, dtype: str = "float32") -> np.ndarray:
    """Readings that tell their place."""
    return (np.arange(count)[:, None] * 10 + np.arange(channels)).astype(dtype)


def times(count: int, start: int = 0) -> np.ndarray:
    return (np.arange(start, start + count, dtype=np.int64) + 100) * PERIOD_NS


def piece(data: np.ndarray, at: np.ndarray, **more: object) -> Sample:
    return Sample(data, 0, int(at[-1]) if len(at) else 0, times_ns=at, **more)  # type: ignore[arg-type]


class Cutter:
    """Windows, and what they said."""

    def __init__(self, wanted: WindowSettings, **more: int) -> None:
        self.said: list[str] = []
        self.dropped = 0
        self.windows = Windows(wanted, self._on_gap, **more)

    def _on_gap(self, sentence: str | None, dropped: int) -> None:
        self.dropped += dropped
        if sentence is not None:
            self.said.append(sentence)

    def add(self, data: np.ndarray, at: np.ndarray, sizes: list[int] | None = None) -> list[Sample]:
        """In pieces of these sizes, again and again."""
        found, start, turn = [], 0, 0
        while start < len(data):
            stop = start + (sizes[turn % len(sizes)] if sizes else len(data))
            found += self.windows.add(piece(data[start:stop], at[start:stop]))
            start, turn = stop, turn + 1
        return found


def firsts(windows: list[Sample]) -> list[int]:
    """The place of each window's first reading, after its data and times were checked against it."""
    for window in windows:
        assert window.times_ns is not None and window.captured_ns == window.times_ns[-1]
    return [round(float(window.data[0, 0]) / 10) for window in windows]


@given(
    st.integers(0, 200),
    st.integers(1, 30),
    st.integers(1, 40),
    st.lists(st.integers(1, 50), min_size=1, max_size=5),
    st.sampled_from(["float32", "int16", "float64"]),
)
def test_windows_are_those_of_the_whole_signal_whatever_the_pieces(
    count: int, length: int, hop: int, sizes: list[int], dtype: str
) -> None:
    data, at = signal(count, dtype=dtype), times(count)
    cutter = Cutter(spec(length, hop))
    found = cutter.add(data, at, sizes)
    expected = range(0, count - length + 1, hop)
    assert len(found) == len(expected) and not cutter.said
    for window, first in zip(found, expected, strict=True):
        np.testing.assert_array_equal(window.data, data[first : first + length])
        np.testing.assert_array_equal(window.times_ns, at[first : first + length])
        assert window.data.dtype == dtype and window.captured_ns == at[first + length - 1] and not window.after_gap


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 20)), min_size=1, max_size=6),
    st.sampled_from(["drop", "hold", "linear"]),
    st.lists(st.integers(1, 50), min_size=1, max_size=5),
    st.integers(1, 12),
)
def test_with_gaps_too_the_pieces_make_no_difference_and_every_place_is_accounted_for(
    runs: list[tuple[int, int]], gap: str, sizes: list[int], hop: int
) -> None:
    """Runs of readings, each followed by so many that are missing."""
    places: list[int] = []
    for run, missing in runs:
        start = places[-1] + 1 + missing if places else 0
        places += range(start, start + run)
    whole = signal(places[-1] + 1, dtype="float64")
    fill = {} if gap == "drop" else {"longest_fill": 3}
    wanted = spec(8, hop, gap=gap, **fill)
    results = []
    for chosen in (sizes, [len(places)]):
        cutter = Cutter(wanted)
        try:
            found = cutter.add(whole[places], times(len(whole))[places], chosen)
        except ContractError as exc:  # more is missing than there
            assert "nothing is resampled" in str(exc)
            return
        results.append((firsts(found), [w.after_gap for w in found], cutter.dropped))
        for window in found:
            first = round(window.data[0, 0] / 10) if gap == "linear" else None
            if first is not None:
                np.testing.assert_allclose(window.data, whole[first : first + 8])
    assert results[0] == results[1]
    if all(missing < 8 for _, missing in runs):
        assert len(results[0][0]) + results[0][2] == max(0, (len(whole) - 8) // hop + 1)


@settings(deadline=None)
@given(
    st.sets(st.integers(0, 99), max_size=12),
    st.sets(st.integers(1, 98), max_size=6),
    st.lists(st.integers(1, 50), min_size=1, max_size=5),
    st.integers(1, 12),
    st.sampled_from([0, 5, 4_096]),
)
def test_exactly_the_windows_without_a_missing_or_broken_reading_are_given(
    broken: set[int], missing: set[int], sizes: list[int], hop: int, room: int
) -> None:
    """However often the buffer is full."""
    data = signal(100)
    data[sorted(broken), 1] = np.nan
    keep = [place for place in range(100) if place not in missing]
    with patch("edge_sdk.windows._ROOM", room):
        cutter = Cutter(spec(8, hop))
    found = cutter.add(data[keep], times(100)[keep], sizes)
    places = range(0, 93, hop)
    whole = [p for p in places if not (broken | missing) & set(range(p, p + 8))]
    assert firsts(found) == whole and cutter.dropped == len(places) - len(whole)
    assert [w.after_gap for w in found] == [p != 0 and p - hop not in whole for p in whole]


@settings(deadline=None)
@given(
    st.lists(st.integers(-300, 2_000), min_size=1, max_size=150),
    st.lists(st.integers(1, 40), min_size=1, max_size=4),
    st.sampled_from(["drop", "hold", "linear"]),
    st.integers(1, 30),
    st.integers(0, 10),
)
def test_whatever_the_times_are_windows_are_whole_and_nothing_breaks(
    steps: list[int], sizes: list[int], gap: str, hop: int, anew: int
) -> None:
    """Steps in hundredths of a period, some back, some none."""
    at = np.cumsum(np.array(steps, np.int64) * (PERIOD_NS // 100))
    cutter = Cutter(spec(12, hop, gap=gap, longest_fill=0 if gap == "drop" else 4))
    found: list[Sample] = []
    start = turn = 0
    while start < len(at):
        stop = start + sizes[turn % len(sizes)]
        if turn == anew:
            cutter.windows.reset()
        try:
            found += cutter.windows.add(piece(signal(len(at))[start:stop], at[start:stop], after_gap=turn % 7 == 3))
        except ContractError as exc:
            assert "nothing is resampled" in str(exc)
        start, turn = stop, turn + 1
    for window in found:
        assert (
            window.data.shape == (12, 2) and window.times_ns is not None and window.captured_ns == window.times_ns[-1]
        )
        between = np.diff(window.times_ns)
        assert (between > -PERIOD_NS).all() and (between <= 2 * PERIOD_NS).all()


def test_a_short_gap_is_filled_as_declared_and_said() -> None:
    keep = [*range(5), *range(7, 20)]
    for gap, filled in (("hold", [40, 40]), ("linear", [50, 60])):
        cutter = Cutter(spec(gap=gap, longest_fill=2))
        windows = cutter.add(signal(20)[keep], times(20)[keep], [3])
        np.testing.assert_array_equal(windows[0].data[5:7, 0], filled)
        np.testing.assert_array_equal(windows[0].times_ns, times(8))
        assert len(windows) == 4 and not any(w.after_gap for w in windows) and cutter.dropped == 0
        assert cutter.said == [f"2 readings are missing, 30 ms; they are filled (gap = {gap})"]


@pytest.mark.parametrize(("channels", "shape"), [("xy", (8, 2)), ("x", (8, 1)), ("x", (8,))])
def test_a_recorded_window_is_given_as_it_is(channels: str, shape: tuple[int, ...]) -> None:
    sample = Sample(np.ones(shape, np.float32), 7, 5)
    assert Cutter(spec(channels=channels)).windows.add(sample) == [sample]


def test_integers_are_filled_by_integers() -> None:
    keep = [*range(5), *range(7, 8)]
    data = np.array([[0], [0], [0], [0], [0], [0], [0], [-10]], np.int16)[keep]
    (window,) = Cutter(spec(channels="x", gap="linear", longest_fill=2)).add(data, times(8)[keep])
    assert window.data.dtype == np.int16 and window.data[4:, 0].tolist() == [0, -3, -7, -10]


def test_a_longer_gap_drops_exactly_the_windows_that_lack_readings_and_the_next_says_so() -> None:
    keep = [*range(21), *range(24, 60)]
    cutter = Cutter(spec(gap="linear", longest_fill=2))
    windows = cutter.add(signal(60)[keep], times(60)[keep], [1])
    assert firsts(windows) == [0, 4, 8, 12, 24, 28, 32, 36, 40, 44, 48, 52]  # 16 and 20 lack 21, 22, 23
    assert [w.after_gap for w in windows] == [False] * 4 + [True] + [False] * 7
    assert cutter.dropped == 2 and len(cutter.said) == 1
    assert "3 readings are missing, 40 ms; filled are up to 2 (gap = linear)" in cutter.said[0]


def test_after_a_gap_of_more_than_a_window_a_new_one_begins_at_once() -> None:
    keep = [*range(19), *range(119, 140)]
    cutter = Cutter(spec())
    windows = cutter.add(signal(140)[keep], times(140)[keep], [7])
    assert firsts(windows) == [0, 4, 8, 119, 123, 127, 131]
    assert [w.after_gap for w in windows] == [False] * 3 + [True] + [False] * 3
    assert cutter.said == ["100 readings are missing, 1010 ms; 2 windows begun are dropped"] and cutter.dropped == 2


def test_what_a_source_says_is_a_gap() -> None:
    cutter = Cutter(spec())
    assert len(cutter.windows.add(piece(signal(9), times(9)))) == 1
    windows = cutter.windows.add(piece(signal(8), times(8, 9), after_gap=True))
    assert [w.after_gap for w in windows] == [True] and cutter.dropped == 2


def test_reset_drops_what_was_begun() -> None:
    cutter = Cutter(spec())
    cutter.add(signal(9), times(9))
    cutter.windows.reset()
    assert [w.after_gap for w in cutter.add(signal(8, dtype="int16"), times(8, 500))] == [True]
    assert cutter.said == ["the source was opened again; 2 windows begun are dropped"] and cutter.dropped == 2


def test_time_that_runs_backwards_begins_anew() -> None:
    cutter = Cutter(spec())
    at = np.concatenate([times(10), times(10, -50)])
    windows = cutter.add(signal(20), at, [4])
    assert firsts(windows) == [0, 10] and windows[1].after_gap
    assert cutter.said == ["time runs backwards by 590 ms; 2 windows begun are dropped"]


def test_readings_of_a_time_that_was_there_are_passed_over() -> None:
    twice = np.repeat(np.arange(16), 2)
    cutter = Cutter(spec())
    windows = cutter.add(signal(16)[twice], times(16)[twice], [3])
    assert firsts(windows) == [0, 4, 8] and cutter.dropped == 0
    assert cutter.said == ["readings with the time of the one before are passed over"]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("size", [1, 5, 60])
def test_windows_with_numbers_that_are_none_are_dropped_and_counted(bad: float, size: int) -> None:
    data = signal(60)
    data[20, 1] = bad
    cutter = Cutter(spec())
    windows = cutter.add(data, times(60), [size])
    assert firsts(windows) == [0, 4, 8, 12, 24, 28, 32, 36, 40, 44, 48, 52]  # 16 and 20 hold it
    assert [w.after_gap for w in windows] == [False] * 4 + [True] + [False] * 7 and cutter.dropped == 2


def test_a_channel_that_is_never_a_number_is_said_once_and_counted_on() -> None:
    data = signal(400)
    data[:, 1] = np.nan
    cutter = Cutter(spec())
    assert cutter.add(data, times(400), [5]) == []
    assert cutter.said == ["readings of y are NaN or infinite: the windows that hold them are dropped"]
    assert cutter.dropped == (400 - 8) // 4 + 1


def test_a_channel_that_stands_still_is_said_once_a_spell_and_not_dropped() -> None:
    data = signal(200)
    data[50:100, 1] = data[150:, 1] = 7
    cutter = Cutter(spec(20, 10))
    assert len(cutter.add(data, times(200), [3])) == 19
    assert cutter.said == ["channel y stands still: every reading of a window is 7"] * 2 and cutter.dropped == 0


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (
            np.zeros((4, 3)),
            r"takes readings of 2 channels \(x, y\), here shape \(4, 2\); the source gives float64 of shape \(4, 3\)",
        ),
        (np.zeros(4), r"of shape \(4,\)"),
        (np.zeros((5, 2)), r"of shape \(5, 2\)"),
        (np.zeros((4, 2), "U1"), "gives <U1"),
    ],
)
def test_pieces_of_another_form_are_refused(data: np.ndarray, match: str) -> None:
    cutter = Cutter(spec())
    with pytest.raises(SourceError, match=match):
        cutter.windows.add(piece(data, times(4)))
    assert len(cutter.add(signal(8), times(8))) == 1  # and go on


def test_a_source_without_times_or_of_changing_numbers_is_refused() -> None:
    cutter = Cutter(spec())
    with pytest.raises(ContractError, match="without times"):
        cutter.windows.add(Sample(signal(4), 0, 0))
    cutter.add(signal(4), times(4))
    with pytest.raises(SourceError, match="gave float32 before and gives int16 now"):
        cutter.add(signal(4, dtype="int16"), times(4, 4))


@pytest.mark.parametrize("gap", ["drop", "hold"])
@pytest.mark.parametrize("rate_hz", [50, 90, 110, 200])
def test_a_wrong_rate_is_an_error_that_names_both_and_is_never_filled_up(rate_hz: int, gap: str) -> None:
    at = (np.arange(400) * 1e9 / rate_hz).astype(np.int64)
    cutter = Cutter(spec(60, 30, gap=gap, longest_fill=0 if gap == "drop" else 5))
    with pytest.raises(ContractError, match=rf"source gives {rate_hz} readings a second, the contract states 100"):
        cutter.add(signal(400), at, [7])
    assert len(cutter.said) <= 1  # the missing half is said once, not for every reading


@pytest.mark.parametrize("rate_hz", [97, 100, 103])
def test_a_rate_that_is_nearly_right_is(rate_hz: int) -> None:
    at = (np.arange(400) * 1e9 / rate_hz).astype(np.int64)
    cutter = Cutter(spec(60, 30))
    assert len(cutter.add(signal(400), at, [7])) == 12 and not cutter.said


def test_times_in_coarse_steps_are_no_wrong_rate() -> None:
    """700 Hz stamped in whole milliseconds: steps of 1 and 2 ms."""
    at = (np.arange(3_000) * 1000 // 700) * 1_000_000
    cutter = Cutter(spec(300, 100, rate_hz=700))
    assert len(cutter.add(signal(3_000), at, [11])) == 28 and not cutter.said


def test_a_rate_that_goes_wrong_later_drops_and_comes_back() -> None:
    steps = np.concatenate([np.full(400, 1.0), np.full(400, 0.8), np.full(400, 1.0)]) * PERIOD_NS
    at = np.cumsum(steps).astype(np.int64)
    cutter = Cutter(spec(60, 30))
    windows = cutter.add(signal(1_200), at, [10])
    assert len(cutter.said) == 1 and "gives 125 readings a second, the contract states 100" in cutter.said[0]
    assert sum(w.after_gap for w in windows) == 1 and len(windows) + cutter.dropped == (1_200 - 60) // 30 + 1
    assert 10 <= cutter.dropped <= 16


def test_jitter_is_no_gap() -> None:
    rng = np.random.default_rng(0)
    at = times(1_000) + rng.integers(-2_400_000, 2_400_000, 1_000)
    cutter = Cutter(spec())
    assert len(cutter.add(signal(1_000), at, [1, 5])) == 249 and not cutter.said
    late = times(1_000) + (np.arange(1_000) // 10 % 2) * 30_000_000  # every other piece of ten, by three periods
    cutter = Cutter(spec(jitter=4))
    assert len(cutter.add(signal(1_000), late, [10])) == 249 and not cutter.said


@pytest.mark.parametrize(("rate_hz", "count"), [(4_000, 40), (1_000, 1), (1_000, 5), (1_000, 20), (200, 4)])
def test_readings_at_an_even_rate_that_come_late_by_chance_make_no_gaps(rate_hz: int, count: int) -> None:
    """As over a serial line that is read by a busy machine."""
    rng = np.random.default_rng(0)
    even, cutter = EvenTimes(rate_hz), Cutter(spec(rate_hz, rate_hz // 4, "x", rate_hz=rate_hz))
    windows = 0
    for number in range(1, 10 * rate_hz // count + 1):
        read_ns = round(number * count * 1e9 / rate_hz * 1.0002 + rng.exponential(5e6))
        at = even(np.arange(count), count, read_ns)
        windows += len(cutter.windows.add(piece(rng.normal(size=(count, 1)), at)))
    assert windows == 37 and not cutter.said


@pytest.mark.parametrize(("rate_hz", "count"), [(4_000, 40), (1_000, 1), (1_000, 20), (200, 4)])
def test_readings_with_times_of_their_own_that_come_late_make_no_gaps(rate_hz: int, count: int) -> None:
    """As above, and once the machine does not get to reading for 0.8 s."""
    rng = np.random.default_rng(0)
    offset, cutter = ClockOffset(), Cutter(spec(rate_hz, rate_hz // 4, "x", rate_hz=rate_hz))
    windows, awake_ns = 0, 0
    for number in range(10 * rate_hz // count):
        clock_ns = np.rint(np.arange(number * count, (number + 1) * count) * 1e9 / rate_hz).astype(np.int64)
        if 5.0e9 <= clock_ns[-1] < 5.8e9:
            awake_ns = 5_800_000_000
        read_ns = max(round(clock_ns[-1] * 1.0002 + rng.exponential(5e6)), awake_ns)
        windows += len(cutter.windows.add(piece(rng.normal(size=(count, 1)), offset(clock_ns, read_ns))))
    assert windows == 37 and not cutter.said


def test_another_hop() -> None:
    assert firsts(Cutter(spec(), hop=2).add(signal(13), times(13))) == [0, 2, 4]
    with pytest.raises(ContractError, match="hop is 1 reading or more; found 0"):
        Cutter(spec(), hop=0)


@pytest.mark.parametrize(
    ("told", "match"),
    [
        ({"length": 0}, "length"),
        ({"lenght": 3}, "Extra"),
        ({"rate_hz": 0}, "rate_hz"),
        ({"channels": ("x", "x")}, "same name"),
        ({"channels": ()}, "channels"),
        ({"units": ""}, "units"),
        ({"gap": "spline"}, "'drop', 'hold' or 'linear'"),
        ({"gap": "hold"}, "gap = hold with longest_fill = 0: hold and linear need 1 or more"),
        ({"longest_fill": 2}, "drop fills nothing"),
        ({"gap": "hold", "longest_fill": 8}, "longest_fill is below length, 8; found 8"),
        ({"length_s": 1}, "give length or length_s, not both"),
        ({"jitter": 0}, "jitter"),
    ],
)
def test_settings_that_make_no_sense_are_refused(told: dict[str, object], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        spec(**told)


def test_seconds_become_readings() -> None:
    told = {"rate_hz": 16_000, "channels": ("mono",), "units": "full-scale", "gap": "drop"}
    made = WindowSettings.model_validate(told | {"length_s": 1, "hop_s": 0.02})
    assert (made.length, made.hop, made.shape) == (16_000, 320, (16_000, 1))
    assert "length_s" not in made.model_dump()
    with pytest.raises(ValidationError, match=r"length_s = 0.1 is 4.41 readings at 44.1 Hz; give length in readings"):
        WindowSettings.model_validate(told | {"rate_hz": 44.1, "length_s": 0.1, "hop": 1})


def test_a_contract_without_a_window_is_stored_as_before() -> None:
    assert "window" not in Contract(input="tensor").model_dump_json()
    contract = Contract(input="window", window=spec())
    assert Contract.model_validate_json(contract.model_dump_json()) == contract


@pytest.mark.parametrize(
    ("told", "match"),
    [
        ({"input": "window"}, r"missing: \[contract.window\] with length, rate_hz"),
        ({"input": "tensor", "window": spec()}, r"\[contract.window\] .* for input = window; found input = tensor"),
        ({"input": "window", "window": spec(), "range": (0, 1)}, "a window takes mean and std at most"),
        ({"input": "window", "window": spec(), "mean": (0,)}, "both or neither"),
    ],
)
def test_contracts_that_do_not_hold_together_are_refused(told: dict[str, object], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        Contract.model_validate(told)


@pytest.mark.parametrize("shape", [(1, 8, 2), (1, 8, 2, 1), (1, 16), (8, 2)])
def test_a_raw_window_becomes_the_tensor(shape: tuple[int, ...]) -> None:
    contract = Contract(input="window", window=spec(), mean=(10, 20), std=(2,))
    tensor = TensorSpec("in", shape, "int8", 0.5, 3)
    out = np.empty(shape, np.int8)
    Encoder(contract, tensor).encode(signal(8), out)
    np.testing.assert_array_equal(out.ravel(), tensor.quantize((signal(8) - [10, 20]) / 2).ravel())


def test_integers_of_full_scale_are_minus_1_to_1() -> None:
    encoder = Encoder(
        Contract(input="window", window=spec(4, channels="x", units="full-scale")), TensorSpec("in", (1, 4), "float32")
    )
    for data in (np.array([-32768, 0, 1, 16384], np.int16), np.array([[-1], [0], [1 / 32768], [0.5]], np.float32)):
        out = np.empty((1, 4), np.float32)
        encoder.encode(data, out)
        assert out.tolist() == [[-1, 0, 1 / 32768, 0.5]]
    with pytest.raises(ContractError, match="units of full-scale takes signed integers or floats; found uint8"):
        encoder.encode(np.zeros(4, np.uint8), np.empty((1, 4), np.float32))
    with pytest.raises(ContractError, match=r"takes windows \(length, channels\) \(4, 1\); found \(5, 1\)"):
        encoder.encode(np.zeros((5, 1), np.int16), np.empty((1, 4), np.float32))
    with pytest.raises(ContractError, match="NaN"):
        encoder.encode(np.full(4, np.nan), np.empty((1, 4), np.float32))


def test_a_model_of_another_shape_is_refused_with_both_shapes() -> None:
    contract = Contract(input="window", window=spec())
    for shape in ((1, 2, 8), (1, 9, 2), (1, 17)):
        with pytest.raises(ContractError, match=r"windows of 8 readings of 2 channels, shape \(8, 2\); input 'in' has"):
            contract.check(TensorSpec("in", shape, "float32"))
    with pytest.raises(ContractError, match="mean has 3 numbers; input 'in' has 2 channels"):
        Contract(input="window", window=spec(), mean=(1, 2, 3), std=(1,)).check(TensorSpec("in", (1, 8, 2), "float32"))
