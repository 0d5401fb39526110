"""What a pickle asks for, read without running it: the difference between a file of weights and one of code."""

from __future__ import annotations

import pickletools
import zipfile
from pathlib import Path
from typing import IO

from converters.load.archive import ZIP_ERRORS
from edge_sdk.errors import ModelError

_MAX_PICKLE_BYTES = 256 << 20
_LEGACY_PICKLES = 4  # before PyTorch 1.6: magic number, version, system, and then the object
_OF_TENSORS = {
    *(
        f"torch {kind}Storage"
        for kind in ("Float", "Double", "Half", "BFloat16", "Int", "Long", "Short", "Char", "Byte", "Bool")
    ),
    "torch.storage UntypedStorage",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_parameter_with_state",
    "torch.serialization _get_layout",
    "torch Size",
    "torch device",
    "collections OrderedDict",
}


def what_is_pickled(path: Path) -> tuple[str, str]:
    """What a .pt or .pth holds.

    Returns:
        ``"weights"``, ``"module"`` or ``"torchscript"``, and the first thing beside tensors that it names.

    Raises:
        ModelError: if it is neither a PyTorch file nor a pickle.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) != b"PK\x03\x04":
                file.seek(0)
                return _kind([_names(file) for _ in range(_LEGACY_PICKLES)][-1])
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if any(name.endswith("/constants.pkl") for name in names):
                return "torchscript", "code/"
            inside = next((name for name in names if name.endswith("data.pkl")), None)
            if inside is None:
                raise ModelError("it is a zip archive without data.pkl, so it is no file of torch.save")
            if archive.getinfo(inside).file_size > _MAX_PICKLE_BYTES:
                raise ModelError(f"its data.pkl has more than {_MAX_PICKLE_BYTES:,} bytes")
            with archive.open(inside) as file:
                return _kind(_names(file))
    except ZIP_ERRORS as exc:
        raise ModelError(f"it is no whole file of torch.save: {exc}. Save it again") from exc


def _names(file: IO[bytes]) -> list[str]:
    """Classes and functions that one pickle asks for, in their order; none of them is imported."""
    found = []
    for operation, argument, _ in pickletools.genops(file):
        if operation.name in ("GLOBAL", "INST"):
            found.append(str(argument))
        elif operation.name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4"):
            found.append("a name that it puts together")
    return found


def _kind(names: list[str]) -> tuple[str, str]:
    code = next((name for name in names if name not in _OF_TENSORS), None)
    return ("weights", "") if code is None else ("module", code.replace(" ", "."))
