"""The kernel's driver of Edge TPUs on PCI: the modules gasket and apex, built for this kernel, loaded, and at work."""

from __future__ import annotations

from edge_sdk.doctor.environment import Environment
from edge_sdk.doctor.finding import Finding, fault, ok
from edge_sdk.edgetpu.devices import EdgeTpu

_MODULES = ("gasket", "apex")
_BUILT = ("*/apex.ko*", "*/*/apex.ko*", "*/*/*/*/apex.ko*")  # extra/, updates/dkms/, kernel/drivers/staging/gasket/
_BUILD = (
    "sudo apt install dkms linux-headers-{kernel} (Raspberry Pi OS: linux-headers-rpi-v8), then gasket-dkms of "
    "https://github.com/feranick/gasket-driver/releases: Google's own does not build for newer kernels (google-coral/edgetpu#822)"
)


def check_driver(env: Environment, devices: list[EdgeTpu]) -> list[Finding]:
    """Why there is no /dev/apex_*, from the first thing that is missing."""
    check = "gasket driver"
    loaded = _loaded(env)
    missing = [name for name in _MODULES if name not in loaded]
    if missing:
        return [_not_loaded(env, f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} not")]
    without = [device.name for device in devices if device.device_file is None]
    if without and not env.exists("/dev/apex_*"):
        found = f"the modules gasket and apex are loaded, but have made no /dev/apex_* for {', '.join(without)}"
        fix = (
            "sudo dmesg | grep -iE 'apex|gasket' says why; a host without MSI-X cannot drive it, and a Raspberry Pi 5 needs the kernel and "
            "overlay that edge-sdk boards coral-pcie names"
        )
        return [fault(check, found, fix)]
    return [ok(check, f"gasket and apex are loaded for kernel {env.kernel}")]


def _not_loaded(env: Environment, missing: str) -> Finding:
    check = "gasket driver"
    folder = env.root / "lib/modules" / env.kernel
    built = any(file for pattern in _BUILT for file in folder.glob(pattern))
    if built:
        fix = (
            "sudo modprobe apex, and to load it at every start: echo apex | sudo tee /etc/modules-load.d/apex.conf; where it says 'Key was "
            "rejected', sign the module or switch Secure Boot off"
        )
        return fault(check, f"it is built for kernel {env.kernel}, but {missing} loaded", fix)
    if env.exists("/usr/src/gasket-*"):
        found = f"its source is installed, but {missing} built for kernel {env.kernel}"
        again = f"sudo apt install linux-headers-{env.kernel}; sudo dkms autoinstall; sudo modprobe apex"
        else_ = "where that fails, /var/lib/dkms/gasket/*/build/make.log says why: take feranick/gasket-driver"
        return fault(check, found, f"{again}; {else_}")
    return fault(
        check, f"{missing} loaded, and there is no build for kernel {env.kernel}", _BUILD.format(kernel=env.kernel)
    )


def _loaded(env: Environment) -> set[str]:
    """Modules that are loaded, or built into the kernel."""
    file = env.root / "proc/modules"
    listed = file.read_text(encoding="ascii", errors="replace").splitlines() if file.is_file() else []
    names = {line.split()[0] for line in listed if line.strip()}
    return names | {name for name in _MODULES if (env.root / "sys/module" / name).is_dir()}
