"""Whether this user may open an Edge TPU: the device's file, the udev rule that opens it to a group, and the group."""

from __future__ import annotations

import re

from edge_sdk.doctor.environment import Environment
from edge_sdk.doctor.finding import Finding, fault, warning
from edge_sdk.edgetpu.devices import USB_BOOTLOADER, USB_READY, EdgeTpu

_RULE_FOLDERS = (
    "etc/udev/rules.d",
    "run/udev/rules.d",
    "usr/local/lib/udev/rules.d",
    "usr/lib/udev/rules.d",
    "lib/udev/rules.d",
)
_GROUPS = {"usb": "plugdev", "pci": "apex"}  # of google-coral/libedgetpu, debian/, and of google/gasket-driver, debian/
_RELOAD = "sudo udevadm control --reload-rules && sudo udevadm trigger"
_FILES = {"usb": "/etc/udev/rules.d/99-edgetpu-accelerator.rules", "pci": "/etc/udev/rules.d/65-apex.rules"}
_CONTAINER = {
    "usb": "in a container run it with --privileged -v /dev/bus/usb:/dev/bus/usb (its number changes at the first use)",
    "pci": "in a container pass it on with --device /dev/apex_0",
}


def check_access(env: Environment, device: EdgeTpu) -> list[Finding]:
    """A fault where the device cannot be opened, a warning where it cannot be after its next change of id."""
    check = f"edge tpu {device.name}"
    if device.device_file is None:  # on PCI, without its driver: check_driver says it
        return []
    file = f"/{device.device_file.relative_to(env.root)}"
    if not device.device_file.exists():
        fix = f"{_CONTAINER[device.bus]}; else start udev: sudo systemctl restart systemd-udevd && sudo udevadm trigger"
        return [fault(check, f"the kernel lists it, but {file} is not there", fix)]
    missing = _ids_without_rule(env, device)
    if not env.can_open(device.device_file):
        fix = _opening(env, device, rule=bool(missing))
        reason = "no udev rule opens it to a group" if missing else _reason(env, device)
        return [fault(check, f"this user ({env.user}) may not open {file}: {reason}", fix)]
    if missing and env.user_id != 0:
        found = f"{file} can be opened, but no udev rule covers {' and '.join(missing)}: after a change of id or a start it may be closed"
        return [warning(check, found, " && ".join([*_write_rule(device), _RELOAD]))]
    return []


def _ids_without_rule(env: Environment, device: EdgeTpu) -> list[str]:
    """Ids of USB devices, or the driver's subsystem, that no rule file has in a line with a group or a mode."""
    files = [file for folder in _RULE_FOLDERS for file in sorted((env.root / folder).glob("*.rules"))]
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in files if file.is_file()]
    lines = [
        line.lower()
        for text in texts
        for line in text.replace("\\\n", " ").splitlines()
        if not line.lstrip().startswith("#")
    ]
    opening = [line for line in lines if re.search(r'(group|mode)\s*:?=|tag\s*\+=\s*"uaccess"', line)]
    if device.bus == "pci":
        return [] if any('"apex' in line for line in opening) else ['SUBSYSTEM=="apex"']
    return [id_ for id_ in (USB_BOOTLOADER, USB_READY) if not any(_covers(line, id_) for line in opening)]


def _covers(line: str, id_: str) -> bool:
    """Whether a rule is of this vendor, and of this product or of any."""
    vendor, _, product = id_.partition(":")
    products = re.findall(r'idproduct\}\s*==\s*"([^"]*)"', line)
    return f'"{vendor}"' in line and (not products or any(product in found.split("|") for found in products))


def _reason(env: Environment, device: EdgeTpu) -> str:
    name = _GROUPS[device.bus]
    group = _group(env, name)
    if group is None:
        return f"there is no group {name}"
    number, members = group
    if number in env.group_ids:
        return "its udev rule is there, and has not been applied yet"
    if env.user in members:
        return f"it is in the group {name} since after it logged in"
    return f"it is not in the group {name}"


def _opening(env: Environment, device: EdgeTpu, *, rule: bool) -> str:
    """Commands that open it to this user, in their order; what is there already is left out."""
    name = _GROUPS[device.bus]
    group = _group(env, name)
    joined = group is not None and group[0] in env.group_ids
    commands = _write_rule(device) if rule else []
    if group is None:
        commands.append(f"sudo groupadd {name}")
    if not joined and (group is None or env.user not in group[1]):
        commands.append(f"sudo usermod -aG {name} {env.user}")
    if rule or group is None or joined:
        commands.append(_RELOAD)
    return " && ".join(commands) + ("" if joined else ("; then " if commands else "") + "log out and in again")


def _write_rule(device: EdgeTpu) -> list[str]:
    group = _GROUPS[device.bus]
    if device.bus == "pci":
        rules = [f'SUBSYSTEM=="apex", MODE="0660", GROUP="{group}"']
    else:
        ids = [id_.split(":") for id_ in (USB_BOOTLOADER, USB_READY)]
        rules = [
            f'SUBSYSTEM=="usb", ATTRS{{idVendor}}=="{v}", ATTRS{{idProduct}}=="{p}", GROUP="{group}"' for v, p in ids
        ]
    quoted = " ".join(f"'{rule}'" for rule in rules)
    return [f"printf '%s\\n' {quoted} | sudo tee {_FILES[device.bus]}"]


def _group(env: Environment, name: str) -> tuple[int, list[str]] | None:
    """A group's number and members, of /etc/group."""
    file = env.root / "etc/group"
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    for line in lines:
        fields = line.split(":")
        if fields[0] == name and len(fields) >= 4 and fields[2].isdecimal():
            return int(fields[2]), [member for member in fields[3].split(",") if member]
    return None
