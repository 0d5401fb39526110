"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from benchmarks.environments import mediapipe_python

_PACKAGES = ("edge-device-sdk", "ai-edge-litert", "numpy", "opencv-python-headless")


def describe() -> dict[str, str]:
    """Facts by name."""
    return {
        "processor": processor(),
        "system": system(),
        "packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
        "MediaPipe": _mediapipe(),
        "load before": ", ".join(f"{load:.2f}" for load in os.getloadavg()) + " (1, 5, 15 minutes)",
    }


def processor() -> str:
    """Which it is, and how many cores there are."""
    return f"{_name_of_processor()}, {os.cpu_count()} cores"


def system() -> str:
    """Kernel, architecture, Python."""
    return f"Linux {platform.release()}, {platform.machine()}, Python {platform.python_version()}"


def _name_of_processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.machine()


def _mediapipe() -> str:
    names = ("mediapipe", "opencv-contrib-python", "numpy")
    code = f"from importlib.metadata import version; print(', '.join(f'{{n}} {{version(n)}}' for n in {names}))"
    return subprocess.run(
        [str(mediapipe_python()), "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()
