"""Industrial I/O: a folder in place of sysfs, and a pipe in place of the device file. Real drivers are tested in a virtual machine."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edge_sdk.sources.iio
from edge_sdk.errors import ConfigError, SourceError, SourceLostError
from edge_sdk.sources import KINDS, Source, source_from
from edge_sdk.sources.iio import Iio, IioSettings
from edge_sdk.sources.iio_scan import Scan, ScanElement, ScanType
from tests.source_contract import SourceContract, open_files

MS = 1_000_000
READING = np.dtype([("x", "<i2"), ("y", "<i2"), ("z", "<i2"), ("gap", "V2"), ("time_ns", "<i8")])


class Sensor:
    """An accelerometer with a thermometer, and its buffer."""

    def __init__(self, folder: Path) -> None:
        self.sysfs, self.dev = folder / "sysfs", folder / "dev"
        self.path = self.sysfs / "iio:device0"
        self.dev.mkdir(parents=True)
        self.write("name", "lis3dh")
        for name in ("scan_elements/in_accel_x", "scan_elements/in_accel_y", "scan_elements/in_accel_z"):
            self.element(name.rpartition("/")[2], "le:s12/16>>4", "xyz".index(name[-1]))
        self.element("in_timestamp", "le:s64/64>>0", 4)
        self.element("in_temp", "be:u8/8>>0", 3)
        for name, value in {
            "in_accel_scale": "0.5",
            "in_temp_scale": "1000",
            "in_temp_offset": "-20",
            "in_accel_x_raw": "100",
            "in_accel_y_raw": "-100",
            "in_accel_z_raw": "2047",
            "in_temp_raw": "45",
            "in_light_input": "12.5",
            "sampling_frequency": "10",
            "sampling_frequency_available": "10 100 1000",
            "current_timestamp_clock": "realtime",
            "buffer/enable": "0",
            "buffer/length": "2",
            "buffer/watermark": "1",
            "trigger/current_trigger": "",
        }.items():
            self.write(name, value)
        os.mkfifo(self.dev / "iio:device0")
        self.fifo = os.open(self.dev / "iio:device0", os.O_RDWR)

    def write(self, name: str, value: str) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(value + "\n")

    def read(self, name: str) -> str:
        return (self.path / name).read_text().strip()

    def element(self, name: str, type_: str, index: int) -> None:
        for what, value in (("type", type_), ("index", str(index)), ("en", "0")):
            self.write(f"scan_elements/{name}_{what}", value)

    def trigger(self, name: str) -> Path:
        folder = self.sysfs / f"trigger{len(list(self.sysfs.glob('trigger*')))}"
        folder.mkdir()
        (folder / "name").write_text(name + "\n")
        return folder

    def source(self, text: str = "device0/accel?rate_hz=100") -> Source:
        _, given = KINDS.parse(f"iio:{text}")
        return Iio(self.sysfs, self.dev)(IioSettings.model_validate(given))

    def send(self, *rows: tuple[int, int, int], times_ns: list[int] | None = None) -> None:
        readings = np.zeros(len(rows), READING)
        for axis, values in zip("xyz", np.array(rows).T, strict=True):
            readings[axis] = values << 4
        readings["time_ns"] = times_ns or time.monotonic_ns()
        os.write(self.fifo, readings.tobytes())


@pytest.fixture
def sensor(tmp_path: Path) -> Iterator[Sensor]:
    sensor = Sensor(tmp_path)
    yield sensor
    if sensor.fifo >= 0:
        os.close(sensor.fifo)


class TestBuffered(SourceContract):
    count = None

    @pytest.fixture
    def make(self, sensor: Sensor) -> Iterator[Callable[[], Source]]:
        ends = threading.Event()

        def send() -> None:
            number = 0
            while not ends.wait(0.005):
                if sensor.read("buffer/enable") == "1":
                    sensor.send((number % 2048, 0, -1))
                    number += 1

        thread = threading.Thread(target=send)
        thread.start()
        yield sensor.source
        ends.set()
        thread.join()


class TestPolled(SourceContract):
    count = None

    @pytest.fixture
    def make(self, sensor: Sensor) -> Callable[[], Source]:
        return lambda: sensor.source("lis3dh/accel,temp,light?mode=polled&rate_hz=200")

    def test_readings_are_in_units_and_even(self, make: Callable[[], Source]) -> None:
        with make() as source:
            samples = [source.read() for _ in range(5)]
        assert source.channels == ("accel_x", "accel_y", "accel_z", "temp", "light")
        assert [s.data.shape for s in samples] == [(4, 5)] * 5 and source.period_s == 0.02
        assert samples[0].data[0].tolist() == [50, -50, 1023.5, 25_000, 12.5]
        times_ns = np.concatenate([sample.times_ns for sample in samples])
        assert round((times_ns[-1] - times_ns[0]) / 5 / MS) >= 19  # a busy machine leaves moments out


def test_the_device_is_set_up_and_its_buffer_switched_off_again(sensor: Sensor) -> None:
    sensor.write("buffer/enable", "1")  # left on
    sensor.write("scan_elements/in_temp_en", "1")
    before = open_files()
    source = sensor.source("lis3dh/accel_x,accel_z?rate_hz=1000")
    with source:
        assert sensor.read("buffer/enable") == "1"
        enabled = {path.name: path.read_text().strip() for path in (sensor.path / "scan_elements").glob("*_en")}
        assert sorted(name for name, value in enabled.items() if value == "1") == [
            "in_accel_x_en",
            "in_accel_z_en",
            "in_timestamp_en",
        ]
        settings = ("sampling_frequency", "current_timestamp_clock", "buffer/length", "buffer/watermark")
        assert [sensor.read(name) for name in settings] == ["1000", "monotonic", "1000", "20"]
        assert (source.channels, source.rate_hz, source.period_s) == (("accel_x", "accel_z"), 1000, 0.02)
    assert sensor.read("buffer/enable") == "0" and open_files() == before


def test_readings_are_in_units_and_have_the_times_of_the_driver(sensor: Sensor) -> None:
    with sensor.source() as source:
        sensor.send((1, -1, 2047), (2, -2, -2048), times_ns=[1_000, 900])
        sample = source.read()
    assert sample.data.tolist() == [[0.5, -0.5, 1023.5], [1, -1, -1024]]
    assert sample.times_ns.tolist() == [1_000, 900]  # backwards: passed on
    with sensor.source("device0/accel?raw=1") as source:
        sensor.send((1, -1, 2047))
        assert source.read().data.tolist() == [[1, -1, 2047]]


def test_times_by_another_clock_are_put_on_ours(sensor: Sensor) -> None:
    (sensor.path / "current_timestamp_clock").unlink()
    with sensor.source() as source:
        before = time.monotonic_ns()
        sensor.send((1, 1, 1), (2, 2, 2), times_ns=[10**18, 10**18 + 10 * MS])
        sample = source.read()
    assert np.diff(sample.times_ns).tolist() == [10 * MS] and before <= sample.captured_ns <= time.monotonic_ns()


def test_without_time_stamps_readings_are_evenly_spaced(sensor: Sensor) -> None:
    for path in sensor.path.glob("scan_elements/in_timestamp*"):
        path.unlink()
    with sensor.source() as source:
        os.write(sensor.fifo, np.array([[16, 32, 48]] * 3, "<i2").tobytes())
        sample = source.read()
    assert sample.data.tolist() == [[0.5, 1, 1.5]] * 3 and np.diff(sample.times_ns).tolist() == [10 * MS] * 2


def test_a_reading_may_come_in_parts(sensor: Sensor) -> None:
    reading = np.zeros(1, READING)
    reading["x"], reading["time_ns"] = 7 << 4, 5
    with sensor.source() as source:
        os.write(sensor.fifo, reading.tobytes()[:9])
        threading.Timer(0.05, os.write, [sensor.fifo, reading.tobytes()[9:]]).start()
        assert source.read().data.tolist() == [[3.5, 0, 0]]


def test_a_device_that_goes_away_is_lost(sensor: Sensor) -> None:
    source = sensor.source()
    source.open()
    os.close(sensor.fifo)
    sensor.fifo = -1
    with pytest.raises(SourceLostError, match=r"iio:device0 is gone: .*unplugged, or its driver unloaded"):
        source.read()
    source.close()


def test_a_device_that_goes_away_in_silence_is_lost(sensor: Sensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kernel does it: no event for those who poll, and an error for those who read."""
    with closing(sensor.source()) as source:
        source.open()
        monkeypatch.setattr(edge_sdk.sources.iio, "_LOOK_S", 0.05)
        read = os.read

        def gone(number: int, most: int) -> bytes:
            if os.fstat(number).st_ino == (sensor.dev / "iio:device0").stat().st_ino:
                raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
            return read(number, most)

        monkeypatch.setattr(os, "read", gone)
        with pytest.raises(SourceLostError, match="is gone: No such device"):
            source.read()


def test_closing_ends_a_wait(sensor: Sensor) -> None:
    source = sensor.source()
    source.open()
    got: list[object] = []
    waiting = threading.Thread(target=lambda: got.append(source.read()))
    waiting.start()
    source.close()
    waiting.join(5)
    assert got == [None] and sensor.read("buffer/enable") == "0"


def test_a_polled_device_breaks_and_is_lost(sensor: Sensor) -> None:
    with closing(sensor.source("device0/temp?mode=polled&rate_hz=20")) as source:
        source.open()
        assert source.read().data.tolist() == [[25_000]]
        sensor.write("in_temp_raw", "what")
        for _ in range(2):
            with pytest.raises(
                SourceError, match=r"iio:device0 \(lis3dh\) gave no reading: could not convert"
            ) as caught:
                source.read()
            assert not isinstance(caught.value, SourceLostError)
        with pytest.raises(SourceLostError, match="does not answer any more"):
            source.read()
        sensor.write("in_temp_raw", "46")
        assert source.read().data.tolist() == [[26_000]]


def test_the_trigger_is_the_one_that_is_wanted_or_the_device_s_own(sensor: Sensor) -> None:
    own, timer = sensor.trigger("lis3dh-dev0"), sensor.trigger("timer")
    with sensor.source():
        assert sensor.read("trigger/current_trigger") == "lis3dh-dev0"
    (timer / "sampling_frequency").write_text("100\n")
    with sensor.source("device0/accel?trigger=timer&rate_hz=250"):
        assert sensor.read("trigger/current_trigger") == "timer"
        assert (timer / "sampling_frequency").read_text() == "250"
    assert own.is_dir()


@pytest.mark.parametrize(
    ("change", "text", "message"),
    [
        ({}, "device1", r"no IIO device 'device1'. There are device0 \(lis3dh\)"),
        ({}, "device0/gyro", "has no channel 'gyro'; there are accel_x, accel_y, accel_z, temp"),
        (
            {},
            "device0/accel_w?mode=polled&rate_hz=1",
            "has no channel 'accel_w'; there are accel_x, accel_y, accel_z, light, temp",
        ),
        (
            {"scan_elements/in_temp_type": "le:s12"},
            "device0",
            "in_temp has a form that is not known: 'le:s12' is no type",
        ),
        ({"scan_elements/in_temp_type": "le:s12/24>>4"}, "device0", "bits must fit into 8, 16, 32 or 64"),
        ({"scan_elements/in_temp_index": ""}, "device0", "in_temp has a form that is not known"),
        ({"in_accel_scale": "big"}, "device0", "in_accel_scale is 'big', no number"),
        ({"in_temp_raw": "hot"}, "device0/temp?mode=polled&rate_hz=1", "cannot be read: could not convert"),
    ],
)
def test_what_cannot_be_opened_says_why(sensor: Sensor, change: dict[str, str], text: str, message: str) -> None:
    for name, value in change.items():
        sensor.write(name, value)
    before = open_files()
    with pytest.raises(SourceError, match=message):
        sensor.source(text).open()
    assert open_files() == before


def test_a_device_without_a_buffer_can_be_polled(sensor: Sensor, tmp_path: Path) -> None:
    for path in (sensor.path / "scan_elements").iterdir():
        path.unlink()
    (sensor.path / "scan_elements").rmdir()
    with pytest.raises(SourceError, match=r"has no buffer: .*use mode=polled"):
        sensor.source().open()
    with pytest.raises(SourceError, match=r"There is none in .*: no sensor's driver is loaded"):
        Iio(tmp_path / "nothing")(IioSettings(device="device0")).open()


def test_a_rate_that_the_device_does_not_take_is_an_error(sensor: Sensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "write_text", lambda path, text: None)  # a driver that rounds to what it has
    with pytest.raises(SourceError, match=r"gives rate_hz=10, not 77. There are 10 100 1000"):
        sensor.source("device0?rate_hz=77").open()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("iio:device0?mode=polled", "polling needs rate_hz"),
        ("iio:device0?mode=polled&rate_hz=1&buffer=4", "are of mode=buffered"),
        ("iio:device0?rate_hz=0", "rate_hz"),
        ("iio:", "lacks its device"),
    ],
)
def test_settings_that_do_not_fit(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        source_from(text)


TYPES = st.builds(
    lambda big, signed, width, bits, shift, repeat: ScanType(
        big, signed, min(bits, width), width, min(shift, width - min(bits, width)), repeat
    ),
    st.booleans(),
    st.booleans(),
    st.sampled_from([8, 16, 32, 64]),
    st.integers(1, 64),
    st.integers(0, 63),
    st.sampled_from([1, 2, 4]),
)


@given(st.lists(TYPES, min_size=1, max_size=6), st.integers(1, 4), st.data())
def test_numbers_are_what_was_stored(types: list[ScanType], count: int, data: st.DataObject) -> None:
    """Against a second implementation, number by number; what is not valid in an element is noise."""
    scan = Scan([ScanElement(f"in_x{place}", place, type_) for place, type_ in enumerate(types)])
    stored = data.draw(st.binary(min_size=scan.size * count, max_size=scan.size * count))
    got, times_ns = scan.numbers(stored)
    assert times_ns is None
    for row in range(count):
        position, expected = 0, []
        for type_ in types:
            width = type_.storage_bits // 8
            position += -position % (width * type_.repeat)
            for _ in range(type_.repeat):
                number = stored[row * scan.size + position : row * scan.size + position + width]
                value = int.from_bytes(number, "big" if type_.big_endian else "little") >> type_.shift
                value &= (1 << type_.bits) - 1
                if type_.signed and value >> (type_.bits - 1):
                    value -= 1 << type_.bits
                expected.append(float(value))
                position += width
        assert got[row].tolist() == expected


@given(TYPES)
def test_a_type_is_read_as_the_kernel_writes_it(type_: ScanType) -> None:
    repeat = f"X{type_.repeat}" if type_.repeat > 1 else ""
    order, sign = "be" if type_.big_endian else "le", "s" if type_.signed else "u"
    assert ScanType.parse(f"{order}:{sign}{type_.bits}/{type_.storage_bits}{repeat}>>{type_.shift}\n") == type_


@given(st.text() | st.from_regex(r"(le|be):[su]\d{1,3}/\d{1,4}(X\d{1,3})?(>>\d{1,3})?", fullmatch=True))
def test_any_text_is_a_type_or_none(text: str) -> None:
    try:
        assert ScanType.parse(text).size > 0
    except ValueError as exc:
        assert "no type" in str(exc) or "must fit" in str(exc) or "repeated" in str(exc)


@pytest.mark.parametrize("left", [(), ("in_timestamp",)])
def test_a_buffer_without_a_channel_is_refused(sensor: Sensor, left: tuple[str, ...]) -> None:
    for path in (sensor.path / "scan_elements").iterdir():
        if not path.name.startswith(left or "none"):
            path.unlink()
    with pytest.raises(SourceError, match="has no channel that its buffer can hold; try mode=polled"):
        sensor.source("device0").open()
