"""Reading PyTorch: exported programs (.pt2), a Python file with a model function, pickled modules. Opened in a child, after a look."""

from __future__ import annotations

from pathlib import Path

from converters.load.exported_program import what_it_runs
from converters.load.loaded import Loaded, LoadOptions
from converters.load.pickled import what_is_pickled
from converters.load.worker import translate
from edge_sdk.errors import ModelError

_FUNCTION = "model"
_CHILD = "converters.load.torch_child"
_INSTEAD = "Export it with torch.export.save(torch.export.export(model.eval(), (example,)), 'model.pt2')"


def read(path: Path, options: LoadOptions) -> Loaded:
    """See ``Reader``; ``path`` may name a function, ``model.py:function``."""
    name, colon, function = path.name.rpartition(":")
    if colon and name.endswith(".py"):
        return _python(path.with_name(name), function, options)
    if path.suffix.lower() == ".py":
        return _python(path, _FUNCTION, options)
    try:
        kind = _exported(path, options) if path.suffix.lower() == ".pt2" else _pickled(path, options)
    except ModelError as exc:
        raise ModelError(f"{path}: {exc}") from exc
    return translate(_CHILD, path, options, kind=kind)


def _python(file: Path, function: str, options: LoadOptions) -> Loaded:
    if not function.isidentifier():
        raise ModelError(f"{file}:{function}: {function!r} is not the name of a function; write model.py:function")
    if not options.trust:
        raise ModelError(
            f"{file} is a Python file, and reading it runs it: give --trust if you trust it. Or: {_INSTEAD}"
        )
    return translate(_CHILD, file, options, kind="python", function=function)


def _exported(path: Path, options: LoadOptions) -> str:
    why = what_it_runs(path)
    if why is not None and not options.trust:
        raise ModelError(
            f"reading it may run code that came with it: {why}. "
            "Save it again with torch.export.save of PyTorch 2.9 or newer, or give --trust if you trust it"
        )
    return "exported"


def _pickled(path: Path, options: LoadOptions) -> str:
    kind, named = what_is_pickled(path)
    if kind == "weights":
        raise ModelError(
            "it holds only weights (a state_dict), not the network that they belong to. Give a Python file with a function that builds "
            f"the network and loads them (model.py:function, with --trust). Or: {_INSTEAD}"
        )
    if not options.trust:
        what = "TorchScript code" if kind == "torchscript" else f"a pickled module ({named})"
        raise ModelError(
            f"it is {what}, and reading it runs whatever it contains, with your rights on this machine: "
            f"give --trust if you trust where it comes from. Or: {_INSTEAD}"
        )
    return kind
