"""A framework that goes wrong, as the child of ``converters.load.worker`` meets it: each fault is real."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np

from converters.load.child import deliver
from converters.load.worker import Said
from edge_sdk.errors import ModelError, needs
from tests.tiny_models import image_net


def convert(request: dict[str, Any], folder: Path) -> None:
    _FAULTS[request["fault"]](request, folder)


def none(request: dict[str, Any], folder: Path) -> None:
    said = Said("a format", "a route", "a framework", ("a note.",))
    deliver(folder, image_net(), said, np.zeros((1, 2), np.float32), [np.ones((1, 3), np.float32)])


def segmentation_fault(request: dict[str, Any], folder: Path) -> None:
    print("reading layer conv_7", flush=True)
    ctypes.string_at(0)


def hang(request: dict[str, Any], folder: Path) -> None:
    Path(request["path"]).with_suffix(".pid").write_text(str(os.getpid()))
    threading.Event().wait()


def hunger(request: dict[str, Any], folder: Path) -> None:
    kept = []
    while True:
        kept.append(np.ones(1 << 20))


def killed(request: dict[str, Any], folder: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def quits(request: dict[str, Any], folder: Path) -> None:
    os._exit(7)


def no_result(request: dict[str, Any], folder: Path) -> None:
    """Comes back, and has left nothing."""


def unforeseen(request: dict[str, Any], folder: Path) -> None:
    raise ZeroDivisionError("a framework may raise anything")


def memory_error(request: dict[str, Any], folder: Path) -> None:
    raise MemoryError


def refuses(request: dict[str, Any], folder: Path) -> None:
    raise ModelError("layer 'x' is not what it seems")


def missing(request: dict[str, Any], folder: Path) -> None:
    with needs("no_such_framework", for_="reading this", extra="keras"):
        import no_such_framework  # noqa: F401


def leaves_a_process(request: dict[str, Any], folder: Path) -> None:
    left = subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait()"])
    Path(request["path"]).with_suffix(".pid").write_text(str(left.pid))
    none(request, folder)


_FAULTS = {
    each.__name__: each
    for each in (
        none,
        segmentation_fault,
        hang,
        hunger,
        killed,
        quits,
        no_result,
        unforeseen,
        memory_error,
        refuses,
        missing,
        leaves_a_process,
    )
}
