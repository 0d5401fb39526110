"""Serial lines on pseudo-terminals: what is read, what is broken, and what is unplugged."""

from __future__ import annotations

import os
import struct
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.errors import ConfigError, SourceError, SourceLostError
from edge_sdk.sources import Source, source_from
from edge_sdk.sources.lines import LONGEST_LINE_BYTES
from edge_sdk.sources.packets import Layout, PacketDecoder
from tests.source_contract import SourceContract, open_files

MS = 1_000_000


class Device:
    """A serial device at ``path``, which sends what it is told to, and can be unplugged and plugged in again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._master: int | None = None
        self.plug_in()

    def plug_in(self) -> None:
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(slave))
        self.settings = termios.tcgetattr(slave)
        os.close(slave)

    def send(self, data: bytes) -> None:
        os.write(self._master, data)

    def unplug(self) -> None:
        if self._master is not None:
            os.close(self._master)
            self._master = None
            self.path.unlink()


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    device = Device(tmp_path / "ttyUSB0")
    yield device
    device.unplug()


@pytest.fixture
def sending(device: Device) -> Iterator[Device]:
    """It sends a reading every 5 ms, whether anybody listens or not."""
    ends = threading.Event()

    def send() -> None:
        number = 0
        while not ends.wait(0.005):
            device.send(b"%d,%d\r\n" % (number, -number))
            number += 1

    thread = threading.Thread(target=send)
    thread.start()
    yield device
    ends.set()
    thread.join()


class TestSerial(SourceContract):
    count = None

    @pytest.fixture
    def make(self, sending: Device) -> Callable[[], Source]:
        return lambda: source_from(f"serial:{sending.path}")

    def test_readings_lie_in_the_time_in_which_they_came(self, make: Callable[[], Source]) -> None:
        with make() as source:
            before = time.monotonic_ns()
            samples = [source.read() for _ in range(4)]
            after = time.monotonic_ns()
        data = np.concatenate([sample.data for sample in samples])
        times = np.concatenate([sample.times_ns for sample in samples])
        assert source.channels == ("0", "1") and data.dtype == np.float64
        np.testing.assert_array_equal(data[:, 0], data[0, 0] + np.arange(len(data)))
        np.testing.assert_array_equal(data[:, 1], -data[:, 0])
        assert before < times[0] and np.all(np.diff(times) >= 0) and times[-1] < after


def opened(device: Device, settings: str = "") -> Source:
    source = source_from(f"serial:{device.path}?baud=9600{settings}")
    source.open()
    device.send(b"rest of a line\n")
    return source


def test_the_line_is_set_up(device: Device) -> None:
    with source_from(f"serial:{device.path}?baud=9600&parity=even&stop_bits=2"):
        fd = os.open(device.path, os.O_RDONLY | os.O_NOCTTY)
        _, out, flags, local, speed, _, _ = termios.tcgetattr(fd)
        os.close(fd)
    assert (out, local, speed) == (0, 0, termios.B9600)
    assert flags & termios.CSTOPB and flags & termios.CSIZE == termios.CS8  # a pseudo-terminal has no parity


def test_readings_at_a_rate_are_evenly_spaced(device: Device) -> None:
    with closing(opened(device, "&rate_hz=1000")) as source:
        device.send(b"".join(b"%d\n" % n for n in range(50)))
        sample = source.read()
    assert sample.data[:, 0].tolist() == list(range(50))
    assert set(np.diff(sample.times_ns)) == {MS}
    assert sample.captured_ns <= time.monotonic_ns()


def test_the_device_times_are_put_on_our_clock(device: Device) -> None:
    with closing(opened(device, "&time=0&time_unit=us&channels=x")) as source:
        device.send(b"1000,1\n3500,2\n3000,3\n")
        sample = source.read()
    assert source.channels == ("x",) and sample.data.tolist() == [[1], [2], [3]]
    assert np.diff(sample.times_ns).tolist() == [2_500_000, -500_000]  # also where they run backwards


@pytest.mark.parametrize(
    ("settings", "sent", "data", "message", "again"),
    [
        (
            "",
            b"1,2\n3\n4,x\n5,6\n",
            [[1, 2], [5, 6]],
            "2 of 4 lines hold no reading, such as '3': it has 1 columns, not 2",
            b"7,8\n",
        ),
        ("&channels=a,b", b"7\n1,2\n", [[1, 2]], "it has 1 channels, not 2", b"7,8\n"),
        ("&columns=1", b"$A,1,p\n$A,2,q\n$A,,r\n", [[1], [2]], r"1 of 3 lines .* '' is no number", b"x,7,x\n"),
        (
            "&separator=space",
            b"1  2\t3\r\n\n# hello\nnan 1e9 -0\n\xff\xfe\x00\n",
            [[1, 2, 3], [np.nan, 1e9, 0]],
            "1 of 3 lines",
            b"1 2 3\n",
        ),
        ("", b"9" * (LONGEST_LINE_BYTES // 32) + b"\n2\n1,1\n", [[np.inf], [2]], "it has 2 columns, not 1", b"7\n"),
        ("&time=0", b"nan,1\n1,2\n1e300,3\n", [[2]], "2 of 3 lines .* its time is nan", b"7,8\n"),
    ],
)
def test_broken_lines_are_told_and_the_other_ones_read(
    device: Device, settings: str, sent: bytes, data: list[object], message: str, again: bytes
) -> None:
    with closing(opened(device, settings)) as source:
        device.send(sent)
        np.testing.assert_array_equal(source.read().data, data)
        with pytest.raises(SourceError, match=message):
            source.read()
        device.send(again)
        assert source.read().data.shape == (1, len(data[0]))


def test_packets(device: Device) -> None:
    with closing(opened(device, "&format=<Ihh&sync=a55a&time=0&time_unit=us&channels=x,y")) as source:
        packets = [b"\xa5\x5a" + struct.pack("<Ihh", 1000 * n, n, -n) for n in range(8)]
        device.send(b"\x5a\x01" + packets[0] + packets[1] + packets[2][3:] + b"".join(packets[3:6]))
        sample = source.read()
        assert sample.data.tolist() == [
            [0, 0],
            [3, -3],
            [4, -4],
            [5, -5],
        ]  # 1 may have lost bytes, as far as one can see
        assert np.diff(sample.times_ns).tolist() == [3 * MS, MS, MS]
        with pytest.raises(SourceError, match="17 bytes are in no packet that begins with a55a"):
            source.read()
        device.send(packets[6][:4])
        threading.Timer(0.05, device.send, [packets[6][4:]]).start()
        assert source.read().data.tolist() == [[6, -6]]


def test_an_unplugged_device_is_lost_and_found_again(device: Device) -> None:
    source = opened(device)
    device.send(b"1\n")
    assert source.read().data.tolist() == [[1]]
    device.unplug()
    with pytest.raises(SourceLostError, match=r"ttyUSB0 is gone: .*unplugged"):
        source.read()
    source.close()
    with pytest.raises(SourceError, match=r"no serial line at .*ttyUSB0\. (Serial lines here|There is no /dev/ttyUSB)"):
        source.open()
    device.plug_in()
    source.open()
    device.send(b"\n2\n")
    assert source.read().data.tolist() == [[2]]
    source.close()


def test_closing_ends_a_wait_and_lets_go_of_the_line(device: Device) -> None:
    before = open_files()
    source = opened(device)
    got: list[object] = []
    waiting = threading.Thread(target=lambda: got.append(source.read()))
    waiting.start()
    source.close()
    waiting.join(5)
    assert got == [None] and open_files() == before


def test_a_line_is_read_by_one_only(device: Device) -> None:
    with closing(opened(device)), pytest.raises(SourceError, match=r"is in use by another program.*fuser -v"):
        source_from(f"serial:{device.path}").open()
    source_from(f"serial:{device.path}").open()


def test_what_is_no_serial_line_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, message in ((tmp_path / "file", "is no serial line"), (tmp_path, "is no serial line: |cannot be opened")):
        with pytest.raises(SourceError, match=message):
            source_from(f"serial:{path}").open()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("baud=115201", "115201 is no rate of a serial line; allowed are 50, .*115200"),
        ("format=<3h", "packets need format and sync"),
        ("sync=aa", "packets need format and sync"),
        ("sync=aaa&format=<h", "sync"),
        ("format=<3s&sync=aa", "has more than numbers"),
        ("format=<3&sync=aa", "is no format of Python's struct"),
        ("format=4x&sync=aa", "holds no number"),
        ("format=9999h&sync=aa", "is 19998 bytes long; allowed are 1 to 4096"),
        ("format=<3h&sync=aa&time=3", "there is no number 3; a reading has 3"),
        ("columns=1,2&channels=x", "1 names of channels are given for 2 columns"),
        ("columns=-1", "greater than or equal to 0"),
        ("time=0&rate_hz=10", "give the time or rate_hz"),
        ("separator=|", "'comma', 'semicolon', 'tab' or 'space'"),
    ],
)
def test_settings_that_do_not_fit(settings: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        source_from(f"serial:/dev/ttyUSB0?{settings}")


@given(
    st.lists(st.tuples(st.integers(-(2**15), 2**15 - 1), st.floats(width=32)), min_size=2),
    st.binary(max_size=30),
    st.lists(st.integers(1, 40)),
)
def test_packets_are_what_was_sent_however_the_bytes_come(
    rows: list[tuple[int, float]], rest: bytes, cuts: list[int]
) -> None:
    sync, layout = b"\xfa\xce\xb0\x0c\x5e\xed", ">hxf"
    decoder = PacketDecoder(Layout(layout), sync)
    stream = rest + b"".join(sync + struct.pack(layout, *row) for row in rows)
    got = []
    for cut in [*cuts, len(stream)]:
        got += decoder.feed(stream[:cut]).data.tolist()
        stream = stream[cut:]
    np.testing.assert_array_equal(np.array(got).reshape(-1, 2), np.array(rows, np.float64))


@given(st.lists(st.binary(max_size=60)), st.sampled_from([b"\x00", b"\x00\x01", b"aaa"]))
def test_any_bytes_are_packets_or_left_out(pieces: list[bytes], sync: bytes) -> None:
    decoder = PacketDecoder(Layout("<hd"), sync, time=1, time_ns=10**9)
    for piece in pieces:
        parsed = decoder.feed(piece)
        assert len(parsed.data) == len(parsed.times_ns) == len(parsed.places) <= parsed.count
        assert (parsed.count > len(parsed.data)) == bool(parsed.broken)
        assert len(decoder._buffer) < 2 * (len(sync) + 10)
