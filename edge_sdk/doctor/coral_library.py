"""libedgetpu: there, of which clock, and fit for the interpreter and the driver."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edge_sdk.doctor.environment import Environment
from edge_sdk.doctor.finding import Finding, fault, ok, warning
from edge_sdk.doctor.interpreter import INTERPRETERS
from edge_sdk.edgetpu.devices import EdgeTpu
from edge_sdk.edgetpu.library import INSTALL, LIBRARY
from edge_sdk.edgetpu.trio import Trio, advice, driver_version, find_library, judge, library_package

if TYPE_CHECKING:
    from boards.profile import Software

_CLOCKS = {
    "std": "the reduced clock",
    "max": "the full clock: it gets hot, so keep its surroundings at 25 degrees Celsius or less",  # google-coral/libedgetpu README.md
}
_FOLDERS = {"throttled": "std", "direct": "max"}  # of Google's archive, edgetpu_runtime


def check_library(env: Environment, devices: tuple[EdgeTpu, ...], known: tuple[Software, ...]) -> list[Finding]:
    """Whether libedgetpu is there, and which clock it sets on USB."""
    check = "libedgetpu"
    file = find_library(LIBRARY, env.root)
    if file is None:
        return [fault(check, f"an Edge TPU is seen, but {LIBRARY} is not installed", f"{INSTALL}; {advice(known)}")]
    package = _package(env, file)
    shown = f"/{file.relative_to(env.root.resolve())}" if file.is_relative_to(env.root.resolve()) else str(file)
    return [ok(check, f"{shown} of {package or 'no Debian package'}: {_clock(package, file, devices)}")]


def check_trio(env: Environment, devices: tuple[EdgeTpu, ...], known: tuple[Software, ...]) -> list[Finding]:
    """What is on record for this interpreter, libedgetpu and driver together; a wrong trio dies of a segmentation fault."""
    check = "edge tpu trio"
    file, interpreter = find_library(LIBRARY, env.root), _interpreter(env)
    if file is None or interpreter is None:  # said already
        return []
    driver = driver_version(env.root) if any(device.bus == "pci" for device in devices) else ""
    trio = Trio(interpreter, env.version(interpreter) or "", file, _package(env, file), driver)
    judgement = judge(trio, known)
    found = f"{trio}: {judgement}"
    if judgement.standing == "bad":
        return [fault(check, found, f"take one of the {advice(known)}")]
    if judgement.standing == "unknown":
        fix = f"try it, in a child process that may die: edge-sdk bench MODEL_edgetpu.tflite --engine edgetpu; {advice(known)}"
        return [warning(check, found, fix)]
    return [ok(check, found)]


def _interpreter(env: Environment) -> str | None:
    """The distribution of the first interpreter that is installed, in the engine's order."""
    return next((name for _, names in INTERPRETERS for name in names if name in env.packages), None)


def _package(env: Environment, file: Path) -> str:
    """The Debian package of a library; one that lies outside of the system's own folders is of none."""
    root = env.root.resolve()
    of_the_system = any(file.is_relative_to(root / folder) for folder in ("usr/lib", "lib"))
    return library_package(env.root) if of_the_system else ""


def _clock(package: str, file: Path, devices: tuple[EdgeTpu, ...]) -> str:
    """Of its package's name, else of the folders that Google's archive has for both; the files themselves do not tell."""
    if all(device.bus == "pci" for device in devices):
        return "std and max are the same on PCI, where the driver sets the clock by temperature"
    name = package.partition(" ")[0].rpartition("-")[2]
    if name not in _CLOCKS:
        name = next((_FOLDERS[part] for part in file.parts if part in _FOLDERS), "")
    if name not in _CLOCKS:
        return "whether it is std (reduced clock) or max (full clock, hot) cannot be told from the file"
    return f"{name}, {_CLOCKS[name]}"
