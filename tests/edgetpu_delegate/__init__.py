"""Edge TPUs for tests: a delegate of our own in the place of libedgetpu.so.1, and the devices that it finds.

The interpreter loads the library that ``build`` makes as it would Google's. What it finds are files in a folder, named by the
environment variable EDGETPU_BENCH, that the test drives while whichever process runs the model: slow, hung, crashed, failing, unplugged,
for a number of invocations or until a new delegate, a new process, a reset or a replug.

    library = build(folder)                         # a test takes the fixture edgetpu_library
    bench = Bench(folder)                           # ... or edgetpu_bench, which sets EDGETPU_BENCH too
    device = bench.add("usb0")
    device.order("hang", cure="process", after=3)   # the fourth invocation from now hangs, and all others until another process opens it
"""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Literal

import numpy as np

Kind = Literal["slow", "hang", "spin", "crash", "abort", "error", "vanish"]
Cure = Literal["times", "delegate", "process", "reset", "replug", "never"]
Stage = Literal["run", "open"]
_KINDS = ("none", "slow", "hang", "spin", "crash", "abort", "error", "vanish")
_CURES = ("times", "delegate", "process", "reset", "replug", "never")
_STAGES = ("run", "open")
_FAULTS = 16
_HERE = Path(__file__).parent

U32, U64 = ctypes.c_uint32, ctypes.c_uint64


class _Fault(ctypes.Structure):
    _fields_ = (
        *((name, U32) for name in ("kind", "stage", "cure", "times")),
        *((name, U64) for name in ("from_", "slow_us")),
        *((name, U32) for name in ("struck", "struck_pid")),
        *((name, U64) for name in ("struck_opens", "struck_resets", "struck_plugs")),
    )


class _Form(ctypes.Structure):  # as bench.h has it
    _fields_ = (
        *((name, U32) for name in ("present", "loaded", "owner", "unclaimed")),
        *((name, U64) for name in ("run_us", "swap_us", "opens", "refusals", "invocations")),
        *((name, U64) for name in ("swaps", "resets", "plugs", "done")),
        *((name, U32) for name in ("resident", "reserved")),
        *((name, ctypes.c_char * 256) for name in ("on_bus", "off_bus")),
        ("strikes", U64 * len(_KINDS)),
        ("faults", _Fault * _FAULTS),
    )


def compiler() -> str | None:
    """The C compiler of this machine."""
    return shutil.which("gcc") or shutil.which("cc")


def build(folder: Path, operator: str = "edgetpu-custom-op") -> Path:
    """The library, compiled into ``folder``: load it as a delegate, in the place of libedgetpu.so.1.

    Args:
        folder: for the library.
        operator: the custom operator that it takes.

    Raises:
        RuntimeError: if there is no compiler, or it refuses the sources; with what it says.
    """
    found = compiler()
    if found is None:
        raise RuntimeError("there is no C compiler: apt install gcc")
    library = folder / "libedgetpu.so.1"
    options = ["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden"]
    options.append(f'-DCUSTOM_OPERATOR="{operator}"')
    sources = [str(_HERE / name) for name in ("delegate.c", "device.c")]
    command = [found, *options, "-o", str(library), *sources, "-lpthread"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the delegate does not compile:\n{done.stderr}")
    return library


class Device:
    """One simulated Edge TPU, in this process and in all that are given its folder.

    Args:
        path: its file, named after its bus and place: ``usb0``, ``usb1``, ``pci0``; see ``Bench.add``.

    Attributes:
        name: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name
        with path.with_name(f"control-{path.name}").open(
            "r+b"
        ) as file:  # by another name, as it stays open for the mapping
            self._map = mmap.mmap(file.fileno(), ctypes.sizeof(_Form))
        self._form: Any = _Form.from_buffer(self._map)

    def order(
        self, kind: Kind, *, after: int = 0, times: int = 1, cure: Cure = "times", at: Stage = "run", slow_ms: float = 0
    ) -> None:
        """Have a fault strike.

        Args:
            kind: ``slow`` (takes slow_ms more), ``hang`` (sleeps for ever, deaf to all signals but SIGKILL), ``spin`` (an endless
                loop), ``crash`` (SIGSEGV), ``abort`` (SIGABRT), ``error``, ``vanish`` (off the bus until ``come_back``).
            after: so many further invocations, or openings, are good before it.
            times: for cure ``times``: so many fail.
            cure: what ends it: it has struck often enough, or a new ``delegate``, a new ``process``, a USB ``reset`` or a ``replug`` was
                tried since it struck first; each of these cures what those before it do.
            at: an invocation (``run``) or the making of a delegate (``open``).
        """
        fault = next((f for f in self._form.faults if f.kind == 0), None)
        if fault is None:
            raise RuntimeError(f"{self.name} has {_FAULTS} orders already")
        so_far = self._form.invocations if at == "run" else self._form.opens + self._form.refusals
        fault.stage, fault.cure, fault.times = _STAGES.index(at), _CURES.index(cure), times
        fault.from_, fault.slow_us, fault.struck = so_far + after + 1, int(slow_ms * 1_000), 0
        fault.kind = _KINDS.index(kind)  # last: from here on it counts

    def forget(self) -> None:
        """No order stands any more."""
        for fault in self._form.faults:
            fault.kind = 0

    @property
    def waiting(self) -> int:
        """Orders that have not ended."""
        return sum(fault.kind != 0 for fault in self._form.faults)

    def vanish(self) -> None:
        """It is pulled out: what has it open fails."""
        self._form.present = 0
        self._move(self._form.on_bus, self._form.off_bus)

    def come_back(self) -> None:
        """It is plugged in (again), with no firmware and nothing on it."""
        self._form.plugs += 1
        self._form.loaded = self._form.resident = 0
        self._form.present = 1
        self._move(self._form.off_bus, self._form.on_bus)

    @staticmethod
    def _move(there: bytes, here: bytes) -> None:
        if there and Path(os.fsdecode(there)).exists():
            Path(os.fsdecode(there)).rename(os.fsdecode(here))

    def reset(self) -> None:
        """As the kernel's USB reset does: what has it open is of no use from now on, and it can be opened anew."""
        self._form.resets += 1
        self._form.loaded = self._form.resident = 0

    def takes(self, *, run_ms: float | None = None, swap_ms: float | None = None) -> None:
        """How long every invocation takes, and how much more one after another model's."""
        if run_ms is not None:
            self._form.run_us = int(run_ms * 1_000)
        if swap_ms is not None:
            self._form.swap_us = int(swap_ms * 1_000)

    def leave_unclaimed(self, operators: int) -> None:
        """From the next delegate on, this many of a model's custom operators are not taken."""
        self._form.unclaimed = operators

    def strikes(self, kind: Kind) -> int:
        """How often a fault of this kind has struck so far."""
        return int(self._form.strikes[_KINDS.index(kind)])

    present = property(lambda self: bool(self._form.present), doc="Whether it is on the bus.")
    loaded = property(lambda self: bool(self._form.loaded), doc="Whether it has its firmware, by its first use.")
    owner = property(lambda self: int(self._form.owner), doc="Pid of the latest who opened it.")
    opens = property(lambda self: int(self._form.opens), doc="Delegates made.")
    refusals = property(lambda self: int(self._form.refusals), doc="Delegates that could not be made.")
    invocations = property(lambda self: int(self._form.invocations), doc="Begun, whatever became of them.")
    done = property(lambda self: int(self._form.done), doc="Invocations that came to their end.")
    swaps = property(lambda self: int(self._form.swaps), doc="Invocations of another model than the one before.")
    resets = property(lambda self: int(self._form.resets), doc="USB resets.")
    plugs = property(lambda self: int(self._form.plugs), doc="How often it was plugged in again.")


class Bench:
    """The folder of all devices; EDGETPU_BENCH names it to the library.

    Attributes:
        root: has sys and dev with the devices in them; EDGE_SDK_ROOT names it to edge-sdk.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "root"
        self.root.mkdir(parents=True, exist_ok=True)

    def add(self, name: str = "usb0") -> Device:
        """A device on the bus, as one that was used before; the same again where it is there already."""
        path = self.folder / name
        if not path.exists():
            self._make(path, name[:3], int(name[3:]))
        return Device(path)

    def _make(self, path: Path, bus: str, number: int) -> None:
        """The library opens ``path``, a link to what would be the device's file: who has it open can be seen in /proc."""
        if bus == "usb":
            folder = self.root / f"sys/bus/usb/devices/2-{number + 1}"
            file = self.root / f"dev/bus/usb/002/{number + 2:03}"
            told = {"idVendor": "18d1", "idProduct": "9302", "busnum": "2", "devnum": str(number + 2), "speed": "5000"}
        else:
            folder = self.root / f"sys/bus/pci/devices/0000:0{number + 1}:00.0"
            file = self.root / f"dev/apex_{number}"
            told = {"vendor": "0x1ac1", "device": "0x089a"}
            driver = self.root / f"sys/class/apex/apex_{number}"
            driver.mkdir(parents=True)
            (driver / "device").symlink_to(folder)
        folder.mkdir(parents=True)
        for key, value in told.items():
            (folder / key).write_text(f"{value}\n")
        file.parent.mkdir(parents=True, exist_ok=True)
        form = _Form(present=1, on_bus=str(folder).encode(), off_bus=str(self.folder / f"away-{path.name}").encode())
        file.write_bytes(bytes(form))
        path.with_name(f"control-{path.name}").hardlink_to(file)
        path.symlink_to(file)


def checksum(package: bytes) -> int:
    """Of a custom operator's options: FNV-1a, 32 bits."""
    value = 2166136261
    for byte in package:
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value


def expected(
    package: bytes, inputs: bytes, output_bytes: int, *, output: int = 0
) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """What the delegate makes of an operator's inputs.

    Args:
        package: its custom options, whole.
        inputs: the content of all its inputs, behind each other.
        output_bytes: size of the output.
        output: which one.
    """
    repeated = np.resize(np.frombuffer(inputs or b"\0", np.uint8), output_bytes)
    return repeated + np.uint8((checksum(package) + output) % 256)
