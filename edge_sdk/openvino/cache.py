"""Compiled models kept on disk, so that the next start takes a fraction of the time.

OpenVINO has a cache of its own (CACHE_DIR), which throws away in silence what does not fit. This one says what it did, and gives OpenVINO
nothing that was half written: a file states the model, the version of OpenVINO, the device and the properties that it is for, and the
hash of what follows.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_sdk.errors import EngineError, OutputError
from edge_sdk.openvino.library import openvino_errors, version_of
from edge_sdk.outputs import replacing
from edge_sdk.refusal import refusal

_MAGIC = b"edge-sdk openvino 1\n"


@dataclass(frozen=True)
class Key:
    """What a compiled model is for.

    Attributes:
        model: hash of the model's file.
        openvino: version of the library.
        device: as it was asked for; ``hardware`` what it is.
        properties: that it was compiled with.
    """

    model: str
    openvino: str
    device: str
    hardware: str
    properties: dict[str, str]

    @property
    def name(self) -> str:
        """Of the file: the same for every version, so that old ones are replaced and do not pile up."""
        properties = hashlib.sha256(json.dumps(self.properties, sort_keys=True).encode()).hexdigest()
        return f"{self.model[:16]}-{self.device}-{properties[:8]}.blob"


def key_of(openvino: Any, core: Any, model: bytes, device: str, properties: dict[str, Any]) -> Key:
    """The key of this model, on this device, here.

    Raises:
        EngineError: if OpenVINO does not tell what the device is.
    """
    with openvino_errors(f"OpenVINO does not tell what {device} is"):
        hardware = "" if device == "AUTO" else str(core.get_property(device, "FULL_DEVICE_NAME"))
    texts = {name: str(value) for name, value in properties.items()}
    return Key(hashlib.sha256(model).hexdigest(), version_of(openvino), device, hardware, texts)


def compiled(core: Any, model: Any, key: Key, properties: dict[str, Any], folder: Path) -> tuple[Any, str]:
    """The model compiled, from the cache if it is there, and what was done, in words.

    Raises:
        EngineError: if OpenVINO cannot compile it.
    """
    path = folder / key.name
    try:
        blob = _read(path, key)
    except FileNotFoundError:
        done = "compiled and cached"
    except (OSError, ValueError) as exc:
        done = f"compiled anew, as the cache {refusal(exc) if isinstance(exc, OSError) else exc}"
    else:
        try:
            with openvino_errors("is not taken by OpenVINO"):
                return core.import_model(blob, key.device, properties), "compiled model from the cache"
        except EngineError as exc:
            done = f"compiled anew, as the cache {exc}"
    with openvino_errors(f"OpenVINO cannot compile the model for {key.device}"):
        made = core.compile_model(model, key.device, properties)
    try:
        _write(path, key, made)
    except (EngineError, OutputError, OSError) as exc:
        done = f"compiled and not cached: {refusal(exc) if isinstance(exc, OSError) else exc}"
    return made, done


def _read(path: Path, key: Key) -> bytes:
    """The compiled model.

    Raises:
        FileNotFoundError: if there is none.
        OSError: if it cannot be read.
        ValueError: if it is damaged, or for something else; the message goes on where "the cache" ends.
    """
    content = path.read_bytes()
    head, _, rest = content.removeprefix(_MAGIC).partition(b"\n")
    try:
        stated = json.loads(head)
        found, wanted, size, digest = stated["key"], key.__dict__, int(stated["bytes"]), stated["sha256"]
    except (ValueError, KeyError, TypeError):
        raise ValueError("is damaged") from None
    if not content.startswith(_MAGIC) or not isinstance(found, dict):
        raise ValueError("is damaged")
    for part, said in (("openvino", "is of OpenVINO"), ("hardware", "is of the device")):
        if found.get(part) != wanted[part]:
            raise ValueError(f"{said} {found.get(part)}")
    if found != wanted:
        raise ValueError("is of another model")
    if len(rest) < size:
        raise ValueError(f"is half written ({len(rest)} of {size} bytes)")
    if hashlib.sha256(rest).hexdigest() != digest:
        raise ValueError("is damaged")
    return rest


def _write(path: Path, key: Key, made: Any) -> None:
    with openvino_errors("OpenVINO does not give the compiled model away"):
        exported = made.export_model()
    blob = exported if isinstance(exported, bytes) else exported.getvalue()
    head = {"key": key.__dict__, "bytes": len(blob), "sha256": hashlib.sha256(blob).hexdigest()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, overwrite=True) as beside:
        beside.write_bytes(_MAGIC + json.dumps(head).encode() + b"\n" + blob)
