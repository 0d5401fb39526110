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
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "system": f"Linux {platform.release()}, {platform.machine()}, Python {platform.python_version()}",
        "packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
        "MediaPipe": _mediapipe(),
        "load before": ", ".join(f"{load:.2f}" for load in os.getloadavg()) + " (1, 5, 15 minutes)",
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.machine()


def _mediapipe() -> str:
    names = ("mediapipe", "opencv-contrib-python", "numpy")
    code = f"from importlib.metadata import version; print(', '.join(f'{{n}} {{version(n)}}' for n in {names}))"
    return subprocess.run(
        [str(mediapipe_python()), "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()
