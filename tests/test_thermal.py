"""Heat and throttling, from trees of files as boards have them, also broken ones."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from boards.profile import Thermal
from edge_sdk.watchdog.thermal import Heat, HeatReader, HeatWatch

PI = Thermal(
    temperature_files=("/sys/class/thermal/thermal_zone0/temp",),
    throttle_files=("/sys/class/hwmon/hwmon*/in0_lcrit_alarm",),
    throttle_celsius=80,
)
ORIN = Thermal(
    temperature_files=("/sys/class/thermal/thermal_zone*/temp",),
    zone_types=("cpu-thermal", "gpu-thermal"),
    throttle_files=("/sys/class/thermal/cooling_device*/cur_state",),
)
NO_COMMAND = "/nonexistent/vcgencmd"


class Tree:
    """A made-up /sys."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.problems: list[str] = []

    def write(self, path: str, content: object) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")
        return file

    def zone(self, number: int, kind: str, temperature: object) -> Path:
        self.write(f"sys/class/thermal/thermal_zone{number}/type", kind)
        return self.write(f"sys/class/thermal/thermal_zone{number}/temp", temperature)

    def cooling(self, number: int, kind: str, state: int) -> None:
        self.write(f"sys/class/thermal/cooling_device{number}/type", kind)
        self.write(f"sys/class/thermal/cooling_device{number}/cur_state", state)

    def policy(self, number: int, now: object, most: int, governor: str) -> None:
        for name, value in (("cur_freq", now), ("max_freq", most), ("governor", governor)):
            self.write(f"sys/devices/system/cpu/cpufreq/policy{number}/scaling_{name}", value)

    def firmware(self, text: str) -> None:
        self.write("sys/devices/platform/soc/soc:firmware/get_throttled", text)

    def read(self, thermal: Thermal | None = None, vcgencmd: str = NO_COMMAND) -> Heat:
        reader = HeatReader(thermal, root=self.root, vcgencmd=vcgencmd)
        self.problems.clear()
        return reader.read(lambda _, problem: self.problems.append(problem))


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def command(folder: Path, script: str) -> str:
    file = folder / "vcgencmd"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return str(file)


def test_a_raspberry_pi(tree: Tree) -> None:
    tree.zone(0, "cpu-thermal", 61_342)
    tree.zone(1, "rp1_adc", 99_000)  # not the chip that throttles
    tree.write("sys/class/hwmon/hwmon2/in0_lcrit_alarm", 0)
    tree.policy(0, 1_500_000, 2_400_000, "ondemand")
    tree.firmware("0")
    assert tree.read(PI) == Heat(61.342, 80, cpu_mhz=1_500, cpu_max_mhz=2_400, cpu_governor="ondemand")
    assert tree.problems == []


@pytest.mark.parametrize(
    ("bits", "now", "before"),
    [
        ("0", 0, 0),
        ("1", 0b0001, 0),
        ("50005", 0b0101, 0b0101),
        ("e0008", 0b1000, 0b1110),
        ("0xf000f", 0b1111, 0b1111),
        ("ffff0000", 0, 0b1111),
    ],
)
def test_the_firmware_tells_what_is_held_down_now_and_was_since_boot(
    tree: Tree, bits: str, now: int, before: int
) -> None:
    names = ("the supply voltage is too low", "the clock is capped", "the firmware throttles")
    names += ("the soft temperature limit is active",)
    tree.firmware(bits)
    heat = tree.read()
    assert heat.throttled == tuple(name for place, name in enumerate(names) if now >> place & 1)
    assert heat.throttled_before == tuple(name for place, name in enumerate(names) if before >> place & 1)


def test_vcgencmd_is_asked_where_the_kernel_has_no_file_for_it(tree: Tree, tmp_path: Path) -> None:
    tree.zone(0, "cpu-thermal", 50_000)
    heat = tree.read(PI, command(tmp_path, '[ "$1" = get_throttled ] && echo throttled=0x20002'))
    assert (heat.throttled, heat.throttled_before) == (("the clock is capped",), ("the clock is capped",))
    assert tree.problems == []


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exec sleep 60", "timed out"),
        ("exit 255", "non-zero exit status 255"),
        ("echo VCHI initialization failed", "no hexadecimal number"),
        ("printf '\\377'", "throttling is not known"),
    ],
)
def test_a_vcgencmd_that_fails_is_told_and_not_asked_again_at_once(
    tree: Tree, tmp_path: Path, script: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_sdk.watchdog.thermal._VCGENCMD_S", 0.2)
    tree.zone(0, "cpu-thermal", 50_000)
    reader = HeatReader(PI, root=tree.root, vcgencmd=command(tmp_path, f"echo x >> {tmp_path}/asked\n{script}"))
    for _ in range(4):
        heat = reader.read(lambda _, problem: tree.problems.append(problem))
        assert heat.throttled == () and heat.celsius == 50
    assert said in tree.problems[0]
    assert len((tmp_path / "asked").read_text().split()) == (4 if "hexadecimal" in said else 1)


def test_a_jetson_is_read_by_zone_types_and_its_fan_is_no_throttling(tree: Tree) -> None:
    for number, (kind, temperature) in enumerate(
        {"cpu-thermal": 55_000, "gpu-thermal": 57_500, "tj-thermal": 80_000}.items()
    ):
        tree.zone(number, kind, temperature)
    tree.cooling(0, "pwm-fan", 3)
    tree.cooling(1, "cpufreq-cpu0", 0)
    heat = tree.read(ORIN)
    assert (heat.celsius, heat.throttled) == (57.5, ())
    tree.cooling(1, "cpufreq-cpu0", 2)
    assert tree.read(ORIN).throttled == ("cpufreq-cpu0 is held down, state 2",)


def test_without_a_profile_the_hottest_zone_counts_and_the_kernels_trip_point(tree: Tree) -> None:
    tree.zone(0, "soc-thermal", 41_000)
    tree.zone(1, "gpu-thermal", 45_500)
    tree.zone(2, "PMIC-Die", 100_000)
    for number, (kind, temperature) in enumerate([("active", 30_000), ("passive", 0), ("passive", 85_000)]):
        tree.write(f"sys/class/thermal/thermal_zone1/trip_point_{number}_type", kind)
        tree.write(f"sys/class/thermal/thermal_zone1/trip_point_{number}_temp", temperature)
    tree.write("sys/class/thermal/thermal_zone0/trip_point_0_type", "passive")
    tree.write("sys/class/thermal/thermal_zone0/trip_point_0_temp", 95_000)
    tree.cooling(0, "Processor", 0)
    tree.cooling(1, "TCC Offset", 10)
    tree.cooling(2, "intel_powerclamp", -1)
    heat = tree.read()
    assert (heat.celsius, heat.throttle_celsius, heat.throttled) == (45.5, 85, ())


def test_a_supply_below_its_voltage_is_a_reason(tree: Tree) -> None:
    tree.zone(0, "cpu-thermal", 50_000)
    tree.write("sys/class/hwmon/hwmon1/in0_lcrit_alarm", 1)
    assert tree.read(PI).throttled == ("the supply voltage is too low",)


def test_a_board_that_tells_nothing_is_said_to(tree: Tree) -> None:
    assert tree.read() == Heat()
    assert "no temperature can be read: /sys/class/thermal/thermal_zone*/temp is not there" in tree.problems[0]
    tree.zone(0, "soc", 40_000)
    assert tree.read(ORIN).celsius is None
    assert tree.problems[0] == "no thermal zone is one of cpu-thermal, gpu-thermal; there are soc"


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "says b'\\n', which is no number"), ("hot", "no number"), (4_294_967_295, "no temperature of a chip")],
)
def test_garbage_is_told_and_other_zones_still_count(tree: Tree, content: object, said: str) -> None:
    tree.zone(0, "cpu-thermal", content)
    tree.zone(1, "gpu-thermal", 44_000)
    assert tree.read(ORIN).celsius == 44
    assert said in tree.problems[0]


def test_speeds_that_the_kernel_does_not_know_are_left_out(tree: Tree) -> None:
    tree.policy(0, "<unknown>", 1_800_000, "schedutil")
    tree.policy(4, 2_016_000, 2_400_000, "performance")
    heat = tree.read()
    assert (heat.cpu_mhz, heat.cpu_max_mhz, heat.cpu_governor) == (2_016, 2_400, "schedutil")


class Readings:
    """A reader that a test can follow: after each reading it waits for the test."""

    def __init__(self, reader: HeatReader) -> None:
        self.reader, self.done, self.go_on = reader, threading.Semaphore(0), threading.Semaphore(0)

    def read(self, complain: object) -> Heat:
        self.go_on.acquire(timeout=20)
        try:
            return self.reader.read(complain)  # type: ignore[arg-type]
        finally:
            self.done.release()

    def next(self) -> None:
        self.go_on.release()
        assert self.done.acquire(timeout=20)


def test_the_watch_says_a_broken_zone_once_and_goes_on(tree: Tree) -> None:
    file = tree.zone(0, "cpu-thermal", 40_000)
    readings = Readings(HeatReader(ORIN, root=tree.root, vcgencmd=NO_COMMAND))
    said: list[str] = []
    watch = HeatWatch(readings, period_s=0.001, on_problem=said.append)  # type: ignore[arg-type]
    try:
        assert watch.latest == Heat() and watch.age_s < 5
        for content, celsius in ((41_000, 41), ("?", None), ("?", None), (43_000, 43), ("?", None), (44_000, 44)):
            file.write_text(f"{content}\n")
            readings.next()
            readings.go_on.release()  # the one after it begins once the result of this one is there
            assert readings.done.acquire(timeout=20)
            assert watch.latest.celsius == celsius and watch.age_s < 5
        file.unlink()
        readings.next()
        tree.zone(0, "cpu-thermal", 45_000)
        readings.next()
        readings.next()
        assert watch.latest.celsius == 45
    finally:
        readings.go_on.release()
        watch.close()
    assert not watch._thread.is_alive()
    assert [problem.split(" ", 1)[1] for problem in said if "?" in problem] == ["says b'?\\n', which is no number"]
    assert sum("vcgencmd" in problem for problem in said) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_zone_without_permission_is_told(tree: Tree) -> None:
    tree.zone(0, "cpu-thermal", 40_000).chmod(0)
    assert tree.read(PI).celsius is None
    assert "Permission denied" in tree.problems[0]


def test_a_directory_in_place_of_a_file_answers_as_a_switched_off_sensor_does(tree: Tree) -> None:
    (tree.root / "sys/class/thermal/thermal_zone0/temp").mkdir(parents=True)  # the read fails with an error number
    tree.zone(1, "gpu-thermal", 44_000)
    assert tree.read().celsius == 44
    assert any("cannot be read: Is a directory" in problem for problem in tree.problems)
