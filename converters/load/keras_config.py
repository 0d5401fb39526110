"""What a Keras file's config tells before anything of it is loaded: which Keras wrote it, and whether it would run code of its own."""

from __future__ import annotations

import builtins
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edge_sdk.errors import ModelError

AGAIN = "Save it again with model.save('model.keras')"
MAX_CONFIG_BYTES = 64 << 20
MAX_DEPTH = 200  # of nesting; the deepest networks in keras.applications have 20

_KERAS = ("keras", "tf_keras", "tensorflow.keras", "tensorflow.python.keras", "keras_core")
_NO_LAYERS_THERE = ("utils", "saving", "config", "tree", "backend", "callbacks", "export", "datasets", "preprocessing")
_CODE = {
    "Lambda": "is a Lambda: it runs code that came with the file",
    "__lambda__": "is a Python lambda: code that came with the file",
    "TorchModuleWrapper": "wraps a pickled PyTorch module: reading it runs code that came with the file",
    "TFSMLayer": "loads a SavedModel from another place",
    "JaxLayer": "calls a function that is not part of Keras",
    "FlaxLayer": "calls a module that is not part of Keras",
}
_READS_FILES = ("StringLookup", "IntegerLookup", "TextVectorization")
_PLAIN_FUNCTIONS = ("math.", "nn.", "linalg.", "image.", "signal.", "keras.", "__operators__.", "bitwise.", "dtypes.")
_UNSAFE_FUNCTIONS = ("py_function", "numpy_function", "print", "load_library", "load_op_library", "function")
_TRUST = "give --trust if you trust it"


@dataclass(frozen=True)
class KerasConfig:
    """A Keras file's config.

    Attributes:
        model: the tree of ``class_name`` and ``config``.
        keras_version: what wrote the file; ``""`` where it does not say.
    """

    model: dict[str, Any]
    keras_version: str

    @property
    def keras_2(self) -> bool:
        """Whether Keras 2 (tf-keras) is the right one; files of Keras 1 open there too."""
        return not self.keras_version.startswith("3.")


def parse_config(content: bytes | str, name: str) -> dict[str, Any]:
    """A config as JSON.

    Raises:
        ModelError: if it is none, or no table.
    """
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise ModelError(f"its {name} is not JSON: {exc}. {AGAIN}") from exc
    if not isinstance(parsed, dict):
        raise ModelError(f"its {name} is {type(parsed).__name__}, not a table. {AGAIN}")
    return parsed


def refuse_code(config: KerasConfig) -> None:
    """Raise ModelError, naming the layer, if opening the model would run code other than Keras itself."""
    for table, layer in _tables(config.model, "the model", 0):
        why = _reason(table)
        if why is not None:
            raise ModelError(f"layer {layer!r} {why}; {_TRUST}")


def _tables(part: Any, layer: str, depth: int) -> Iterator[tuple[dict[str, Any], str]]:
    """Every table of the config with the layer it belongs to; how the model was compiled is never loaded."""
    if depth > MAX_DEPTH:
        raise ModelError(f"its config is nested more than {MAX_DEPTH} deep; no model of Keras is")
    if isinstance(part, dict):
        layer = _name(part) or layer
        yield part, layer
        for key, value in part.items():
            if key != "compile_config":
                yield from _tables(value, layer, depth + 1)
    elif isinstance(part, list):
        for value in part:
            yield from _tables(value, layer, depth + 1)


def _name(table: dict[str, Any]) -> str:
    inner = table.get("config")
    name = inner.get("name") if isinstance(inner, dict) else table.get("name")
    return name if isinstance(name, str) and "class_name" in table else ""


def _reason(table: dict[str, Any]) -> str | None:
    kind, inner = str(table.get("class_name", "")), table.get("config")
    registered, module = table.get("registered_name"), table.get("module")
    if kind.rpartition(">")[2] in _CODE:
        return _CODE[kind.rpartition(">")[2]]
    if ">" in kind or (isinstance(registered, str) and ">" in registered):
        return f"is of the class {registered or kind}, which is not part of Keras"
    if isinstance(module, str) and not _of_keras(module, kind, inner):
        return f"names {kind} of the module {module}, which is not part of Keras' layers"
    if kind in _READS_FILES and isinstance(inner, dict) and isinstance(inner.get("vocabulary"), str):
        return f"is a {kind} that reads the file {inner['vocabulary']}"
    if kind in ("TFOpLambda", "SlicingOpLambda") and not _plain(inner):
        return f"calls TensorFlow's {inner.get('function') if isinstance(inner, dict) else inner}"
    return None


def _of_keras(module: str, kind: str, inner: Any) -> bool:
    if module == "builtins":
        return not (kind == "function" and hasattr(builtins, str(inner))) and not hasattr(builtins, kind)
    root = next((name for name in _KERAS if module == name or module.startswith(f"{name}.")), None)
    if root is None:
        return False
    inside = module[len(root) :].removeprefix(".").removeprefix("src.").partition(".")[0]
    return inside not in _NO_LAYERS_THERE


def _plain(inner: Any) -> bool:
    function = inner.get("function") if isinstance(inner, dict) else None
    if function is None:  # SlicingOpLambda is of one function, and says so in its class
        return isinstance(inner, dict)
    return (
        isinstance(function, str)
        and ("." not in function or function.startswith(_PLAIN_FUNCTIONS))
        and function.rpartition(".")[2] not in _UNSAFE_FUNCTIONS
    )
