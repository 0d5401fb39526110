"""The package ``onnxruntime``: its import, its version, and what its native code prints.

From 1.29 on its wheels for Linux send telemetry to Microsoft unless ORT_DISABLE_TELEMETRY is set before the import, which also keeps it
from starting a thread (microsoft/onnxruntime#27379): here it is always set.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from edge_sdk.errors import EngineError, needs


@dataclass
class Printed:
    """What was printed while nobody saw it.

    Attributes:
        text: known once it is over.
    """

    text: str = ""

    @property
    def errors(self) -> str:
        """The messages of ONNX Runtime's severity error or worse, without time and severity, joined by ``"; "``."""
        lines = (line.partition("] ")[2] for line in self.text.splitlines() if "[E:" in line or "[F:" in line)
        return "; ".join(line.strip() for line in lines)


def refuse_telemetry() -> None:
    """Before the import of ``onnxruntime``: it shall send nothing."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def find_runtime() -> Any:
    """The module ``onnxruntime``.

    Raises:
        MissingPackageError: if it is not installed.
        EngineError: if it is, but cannot be imported.
    """
    refuse_telemetry()
    with needs("onnxruntime", for_="running an ONNX model", extra="onnx-runtime"), hold_stderr():
        try:
            import onnxruntime
        except ModuleNotFoundError as exc:
            if exc.name is not None and exc.name.partition(".")[0] == "onnxruntime":
                raise
            raise EngineError(_BROKEN.format(exc)) from exc
        except Exception as exc:  # a broken native library raises anything, numpy's version clash an AttributeError
            raise EngineError(_BROKEN.format(exc)) from exc
    if not hasattr(onnxruntime, "InferenceSession"):  # a folder that an uninstall left is a package too
        raise EngineError(_BROKEN.format("its folder is there, its modules are not"))
    return onnxruntime


_BROKEN = "onnxruntime is installed but cannot be imported: {}. Run: edge-sdk doctor"


@contextmanager
def hold_stderr() -> Iterator[Printed]:
    """Keep what native code prints to standard error: ONNX Runtime tells there, and only there, why a provider did not load."""
    printed = Printed()
    try:
        keep = os.dup(2)
    except OSError:  # closed: nothing that is printed comes anywhere
        yield printed
        return
    into = os.memfd_create("edge-sdk-printed")
    try:
        os.dup2(into, 2)
        yield printed
    finally:
        os.dup2(keep, 2)
        os.close(keep)
        os.lseek(into, 0, os.SEEK_SET)
        printed.text = os.read(into, 1 << 20).decode(errors="replace")
        os.close(into)
