"""Checks of installed packages: namesakes of ours and of Google's, and OpenCV's ways to be there twice."""

from __future__ import annotations

from importlib.metadata import Distribution
from pathlib import Path

from edge_sdk.doctor.environment import Environment
from edge_sdk.doctor.finding import Finding, fault, ok, warning
from edge_sdk.profiles import REINSTALL

_OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")


def check_namesakes(env: Environment) -> list[Finding]:
    """Packages that are not what their name promises here."""
    findings = [*_overwriting(env), *_pycoral(env)]
    if version := env.version("edge-sdk"):
        findings.append(
            warning(
                "package edge-sdk",
                f"edge-sdk {version} is installed: a client for market data, not this project (edge-device-sdk)",
                "pip uninstall edge-sdk",
            )
        )
    return findings or [ok("packages", "no package of a misleading name is installed")]


def _overwriting(env: Environment) -> list[Finding]:
    strangers = {"boards": "a kanban tool", "converters": "a placeholder"}
    return [
        fault(
            f"package {name}",
            f"{name} {env.version(name)} is installed: {what} of the same import name as a package of ours, which it overwrites",
            REINSTALL,
        )
        for name, what in strangers.items()
        if name in env.packages
    ]


def _pycoral(env: Environment) -> list[Finding]:
    findings = []
    found = env.packages.get("pycoral")
    if found and not _is_googles(found):
        findings.append(
            fault(
                "package pycoral",
                f"pycoral {found.version} is a command line for the Allen Coral Atlas, not Google's library for the Edge TPU",
                "pip uninstall pycoral; edge_sdk.pycoral has its functions, and needs libedgetpu.so.1 (edge-sdk boards coral-usb)",
            )
        )
    if version := env.version("pycoral-pi5"):
        findings.append(
            fault(
                "package pycoral-pi5",
                f"pycoral-pi5 {version} holds no usable library for the Edge TPU",
                "pip uninstall pycoral-pi5; edge_sdk.pycoral has its functions, and needs libedgetpu.so.1 (edge-sdk boards coral-pcie)",
            )
        )
    return findings


def _is_googles(distribution: Distribution) -> bool:
    """Whether it is Google's pycoral, which is not on PyPI: only that one has this file."""
    return Path(str(distribution.locate_file("pycoral/utils/edgetpu.py"))).is_file()


def check_opencv(env: Environment) -> list[Finding]:
    """OpenCV: there once, importable, and of a version that goes with numpy's."""
    check = "opencv"
    installed = [name for name in _OPENCV if name in env.packages]
    numpy = env.version("numpy")
    if len(installed) > 1:
        listed = " and ".join(f"{name} {env.version(name)}" for name in installed)
        return [
            warning(
                check,
                f"{listed} are installed, all as cv2: the last one installed won, and removing either breaks it",
                f"pip uninstall {' '.join(installed)}; pip install opencv-python-headless",
            )
        ]
    if installed and env.major(installed[0]) == 5 and env.major("numpy") == 1:
        return [
            fault(
                check,
                f"{installed[0]} {env.version(installed[0])} needs numpy 2; installed is {numpy}",
                f"pip install '{installed[0]}<5' (keeps numpy 1, which tflite-runtime needs), or pip install 'numpy>=2'",
            )
        ]
    probe = env.import_probe("cv2", env.search_path)
    if probe.worked:
        return [ok(check, f"cv2 {probe.said} with numpy {numpy}" + ("" if installed else " (the system's)"))]
    if installed:
        again = f"pip install --force-reinstall {installed[0]}"
        return [
            fault(
                check,
                f"{installed[0]} {env.version(installed[0])} is installed but not importable: {probe.said}",
                again,
            )
        ]
    return [
        warning(
            check,
            "OpenCV is not there: cameras, videos and images that need resizing cannot be used",
            "pip install 'edge-device-sdk[camera]' (32 bits: sudo apt install python3-opencv)",
        )
    ]
