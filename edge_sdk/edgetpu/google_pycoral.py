"""Google's pycoral, told from its namesakes on the package index, one of which is about coral reefs."""

from __future__ import annotations

from importlib.machinery import PathFinder
from pathlib import Path


def find_pycoral() -> Path | None:
    """The folder of Google's pycoral, which is not imported; None where it is not installed.

    It is known by what it holds: ``utils/edgetpu.py`` and its native part ``pybind/_pywrap_coral*.so``
    (google-coral/pycoral, pycoral/pybind).
    """
    spec = PathFinder.find_spec("pycoral")
    for folder in map(Path, (spec and spec.submodule_search_locations) or ()):
        if (folder / "utils/edgetpu.py").is_file() and list(folder.glob("pybind/_pywrap_coral*.so")):
            return folder
    return None
