"""libedgetpu: Google's library that drives the Edge TPU, as an interpreter's delegate."""

from __future__ import annotations

import ctypes
from typing import Any

from edge_sdk.edgetpu.devices import EdgeTpu, holders, list_devices, selected
from edge_sdk.errors import DeviceError, EngineError

LIBRARY = "libedgetpu.so.1"
OPERATOR = "edgetpu-custom-op"
INSTALL = "Google's packages (apt install libedgetpu1-std) are for tflite-runtime 2.5; for newer interpreters: https://github.com/feranick/libedgetpu/releases"


def is_compiled(model: bytes) -> bool:
    """Whether a .tflite model may have an operator of the Edge TPU; without its name in the file it has none."""
    return OPERATOR.encode() in model


def library_version(library: str) -> str:
    """What it says of itself: ``"BuildLabel(COMPILER=...,DATE=redacted,TIME=redacted), RuntimeVersion(14)"``.

    Raises:
        EngineError: if it cannot be loaded, or is something else.
    """
    loaded = _loaded(library)
    try:
        loaded.edgetpu_version.restype = ctypes.c_char_p
        said = loaded.edgetpu_version()
    except AttributeError as exc:
        raise EngineError(f"{library} is not libedgetpu: it has no edgetpu_version") from exc
    return (said or b"").decode("ascii", "replace")


def load_delegate(interpreter_module: Any, library: str, device: str) -> Any:
    """The delegate for one device.

    Args:
        interpreter_module: of the package whose interpreter will use it.
        library: name or path.
        device: see ``edge_sdk.edgetpu.devices.selected``.

    Raises:
        EngineError: if the library cannot be loaded.
        DeviceError: if it makes no delegate; it does not say why, so that we look.
    """
    _loaded(library)
    try:
        return interpreter_module.load_delegate(library, {"device": device} if device else {})
    except ValueError as exc:
        raise DeviceError(why_refused(device, list_devices())) from exc


def why_refused(wanted: str, devices: tuple[EdgeTpu, ...]) -> str:
    """Why there is no delegate for this selection of these devices, and what to do, as far as it can be seen from here."""
    try:
        meant = selected(wanted, devices)
    except DeviceError as exc:
        return str(exc)
    return "no Edge TPU can be opened: " + "; ".join(f"{each}: {_obstacle(each)}" for each in meant)


def _obstacle(device: EdgeTpu) -> str:
    if device.device_file is None:
        return "it has no driver: its modules gasket and apex are not loaded. Run: edge-sdk doctor"
    if held_by := holders(device):
        pids = ", ".join(map(str, held_by))
        return f"process {pids} has it open, and an Edge TPU serves one process at a time: end that one, or name another device"
    if not device.is_openable:
        group = "plugdev" if device.bus == "usb" else "apex"
        return f"this user may not open {device.device_file}: sudo usermod -aG {group} $USER, and log in again"
    return (
        "it does not answer, or a process of another user has it open: "
        f"{'unplug it and plug it in again' if device.bus == 'usb' else 'restart the machine'}. Run: edge-sdk doctor"
    )


def _loaded(library: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(library)
    except OSError as exc:
        raise EngineError(f"the Edge TPU's library cannot be loaded: {exc}. {INSTALL}") from exc
