"""Checks of the machine: the board, cameras, shared memory and watchdog."""

from __future__ import annotations

from edge_sdk.doctor.environment import Environment
from edge_sdk.doctor.finding import Finding, fault, ok, warning
from edge_sdk.errors import BoardError


def check_board(env: Environment) -> list[Finding]:
    """Which board this is."""
    check = "board"
    try:
        detection = env.detection()
    except ImportError as exc:
        return [fault(check, f"the profiles cannot be read: {exc}", "pip install pydantic")]
    except BoardError as exc:
        message, _, fix = str(exc).partition(" Run: ")
        return [fault(check, message, fix or "pip install --force-reinstall --no-deps edge-device-sdk")]
    if detection.board is None:
        fix = "name the board that comes closest with --board, or add a profile: one file in boards/"
        return [warning(check, "; ".join(detection.evidence), fix)]
    return [ok(check, f"{detection.board}: {'; '.join(detection.evidence)}")]


def check_camera(env: Environment) -> list[Finding]:
    """Devices to capture from, and libcamera on boards whose CSI camera needs it."""
    check = "camera"
    devices = sorted(env.root.glob("dev/video[0-9]*"))
    closed = [device for device in devices if not env.can_open(device)]
    if not devices:
        fix = "plug in a camera; in a container pass it on with --device /dev/video0; a CSI camera may need its overlay or driver"
        findings = [warning(check, "there is no /dev/video*: no camera can be opened (files and replays can)", fix)]
    elif closed:
        fix = "sudo usermod -aG video $USER, then log out and in again"
        findings = [fault(check, f"{closed[0]} exists but this user may not open it", fix)]
    else:
        findings = [
            ok(check, f"{len(devices)} video device{'s' if len(devices) > 1 else ''}, {devices[0].name} the first")
        ]
    return findings + _libcamera(env)


def _libcamera(env: Environment) -> list[Finding]:
    try:
        name = env.detection().board
    except (BoardError, ImportError):  # check_board has said it, with the fix
        return []
    from boards import Computer, load

    profile = load(name) if name else None
    if not isinstance(profile, Computer) or profile.camera.stack != "libcamera":
        return []
    probe = env.import_probe("libcamera", env.search_path)
    if probe.worked:
        return [ok("libcamera", "libcamera can be imported")]
    fix = "sudo apt install python3-picamera2"
    if env.in_virtual_environment:
        fix += "; then make the virtual environment again with python3 -m venv --system-site-packages, which lets it see the system's"
    return [
        warning("libcamera", f"this board's CSI camera needs libcamera, which cannot be imported: {probe.said}", fix)
    ]


def check_shared_memory(env: Environment) -> list[Finding]:
    """What an engine in a child process needs of the kernel."""
    check = "shared memory"
    if said := env.shared_memory_error():
        fix = "a Linux kernel 3.17 or newer and a sandbox that allows both; until then use isolation = 'none', without hang recovery"
        return [fault(check, f"memfd_create or eventfd does not work: {said}", fix)]
    return [ok(check, "memfd and eventfd work: engines can run in a child process")]


def check_watchdog(env: Environment) -> list[Finding]:
    """The hardware watchdog; for information, as not every board needs it."""
    check = "watchdog"
    devices = sorted(env.root.glob("dev/watchdog*"))
    if not devices:
        return [ok(check, "there is no /dev/watchdog: the hardware ring is not available here")]
    usable = "this user may feed it" if env.can_open(devices[0]) else "only root or a udev rule may feed it"
    return [ok(check, f"{devices[0].name} is there; {usable}")]
