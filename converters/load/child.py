"""The child's side of ``worker``: runs one reader, and leaves what it made, or why it could not, in its folder."""

from __future__ import annotations

import ctypes
import json
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import numpy as np

from converters.load.worker import Said
from edge_sdk.errors import EdgeSdkError, MissingPackageError
from edge_sdk.tensors import Array

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """``sys.argv``: the reader's module and the folder. Exit code 1 if it failed; ``error.json`` says why."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # nothing works on for a parent that is gone
    module, folder = sys.argv[1], Path(sys.argv[2])
    request = json.loads((folder / "request.json").read_text())
    try:
        import_module(module).convert(request, folder)
    except MissingPackageError as exc:
        _leave(folder, kind="MissingPackageError", package=exc.package, needed_for=exc.needed_for, install=exc.install)
    except EdgeSdkError as exc:
        _leave(folder, kind="ModelError", message=str(exc))
    except MemoryError:
        _leave(
            folder,
            kind="ModelError",
            message="there is not enough memory for this model; use a machine with more of it",
        )
    except Exception as exc:  # noqa: BLE001 - a framework may raise anything; the parent tells it as one error
        traceback.print_exc()
        _leave(
            folder, kind="ModelError", message=f"the framework refuses the model: {type(exc).__name__}: {_short(exc)}"
        )


def deliver(folder: Path, content: bytes, said: Said, inputs: Array, outputs: Sequence[Array]) -> None:
    """Leave the result; ``inputs`` and ``outputs`` as in ``Reference``."""
    (folder / "model.tflite").write_bytes(content)
    arrays = {"inputs": inputs} | {f"output_{number}": values for number, values in enumerate(outputs)}
    np.savez(folder / "reference.npz", **arrays)  # type: ignore[arg-type]
    (folder / "said.json").write_text(json.dumps(asdict(said)))


def _leave(folder: Path, **error: str) -> None:
    told: Mapping[str, str] = error
    (folder / "error.json").write_text(json.dumps(told))
    sys.exit(1)


def _short(exc: BaseException) -> str:
    lines = [line for line in str(exc).strip().splitlines() if line.strip()]
    return "\n  ".join([*lines[:3], "..."] if len(lines) > 4 else lines)
