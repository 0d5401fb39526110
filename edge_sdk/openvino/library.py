"""OpenVINO's Python package, and what can be asked of it about devices."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edge_sdk.errors import ConfigError, DeviceError, EngineError, needs

_TELEMETRY = "openvino_telemetry"
_DEVICE = re.compile(r"CPU|AUTO|(GPU|NPU)(\.\d+)?|MYRIAD(\..+)?")
_PLACE = re.compile(r"(Exception from |Check '.*' failed at ).*")  # of OpenVINO's sources


def load_openvino() -> Any:
    """The package, imported without its telemetry: left alone, its import tells a server of Intel's, and starts a thread to do so.

    OpenVINO itself goes on without the package ``openvino_telemetry``, as if it were not installed.

    Raises:
        MissingPackageError: if it is not installed.
        EngineError: if it is installed and cannot be imported.
    """
    had = sys.modules.get(_TELEMETRY)
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # what makes an import fail, by Python's documentation
    try:
        with needs("openvino", for_="engine openvino", extra="openvino"):
            import openvino
        if hasattr(openvino, "Core"):
            return openvino
        import openvino.runtime  # up to 2022.3, the last release that has MYRIAD

        return openvino.runtime
    except (ImportError, AttributeError, RuntimeError) as exc:
        raise EngineError(f"openvino is installed but cannot be imported: {exc}") from exc
    finally:
        del sys.modules[_TELEMETRY]
        if had is not None:
            sys.modules[_TELEMETRY] = had


def is_old(openvino: Any) -> bool:
    """Whether it is of release 2022.3, whose interface lacks a few things."""
    return str(openvino.__name__) == "openvino.runtime"


def version_of(openvino: Any) -> str:
    """Of the library, such as ``"2026.4.1-22982-e213a147257"``."""
    return "-".join(str(openvino.get_version()).split("-")[:3])


def check_device_name(name: str) -> None:
    """Raise ConfigError if ``name`` is not of the form of a device's."""
    if not _DEVICE.fullmatch(name):
        raise ConfigError(f"engine openvino: device is CPU, GPU, GPU.1, NPU, MYRIAD or AUTO; found {name!r}")


def find_device(core: Any, name: str) -> None:
    """Check that there is such a device.

    Raises:
        DeviceError: if there is none; the message lists those that there are.
    """
    with openvino_errors("OpenVINO cannot list its devices"):
        found = {each: str(core.get_property(each, "FULL_DEVICE_NAME")) for each in core.available_devices}
    if name == "AUTO" or any(_is(each, name) for each in found):
        return
    listed = ", ".join(f"{each} ({full.strip()})" for each, full in found.items()) or "none"
    raise DeviceError(f"OpenVINO finds no device {name}; it finds {listed}. {_way_on(name)}")


def check_execution(wanted: str, executed: object) -> str:
    """Where a compiled model runs, in words.

    Args:
        wanted: the device that was asked for.
        executed: OpenVINO's property EXECUTION_DEVICES; None where the release has none.

    Raises:
        EngineError: if it is not there: OpenVINO took another device.
    """
    if executed is None:
        return wanted
    devices = [executed] if isinstance(executed, str) else [str(each) for each in executed]  # type: ignore[attr-defined]
    found = [each.strip("()") for each in devices]  # in brackets while another one is still being prepared
    if wanted != "AUTO" and not (found and all(_is(each, wanted) for each in found)):
        raise EngineError(f"device {wanted} was asked for, and OpenVINO runs the model on {', '.join(found) or 'none'}")
    return "+".join(found)


@contextmanager
def openvino_errors(said: str) -> Iterator[None]:
    """Turn what OpenVINO raises into EngineError: RuntimeError mostly, and TypeError or ValueError of its bindings."""
    try:
        yield
    except (RuntimeError, TypeError, ValueError, AttributeError, MemoryError, OSError) as exc:
        raise EngineError(f"{said}: {reason(exc)}") from exc


def reason(exc: BaseException) -> str:
    """OpenVINO's own words in one line, without the places in its sources."""
    lines = [line.strip() for line in str(exc).splitlines()]
    told = [line for line in lines if line and not _PLACE.fullmatch(line)]
    return " ".join(told or [line for line in lines if line])[:1_000] or type(exc).__name__


def _is(found: str, name: str) -> bool:
    return found == name or found.startswith(f"{name}.") or (found, name) in (("GPU", "GPU.0"), ("NPU", "NPU.0"))


def _way_on(name: str) -> str:
    if name.startswith("MYRIAD"):
        return "Releases after 2022.3 have no MYRIAD: see edge-sdk boards movidius-ncs2"
    return "A GPU or NPU needs Intel's driver, and your user its group: see docs/devices/intel.md"
