"""Getting at a PyTorch module: from an exported program, a Python file, a pickle or TorchScript. Runs in the child."""

from __future__ import annotations

import importlib.util
import inspect
import pickle
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.load.exported_program import rewrite, what_it_runs
from converters.load.input_shape import fixed_shape
from converters.load.torch_routes import torch, wrapped
from edge_sdk.errors import ModelError

_EXAMPLE_SHAPE = "1,3,224,224"


@dataclass(frozen=True)
class Opened:
    """A module in evaluation mode.

    Attributes:
        module: takes one tensor.
        dims: the input's shape as far as it is known, None where an axis is free; None if nothing is known.
        entry: the input's name.
        kind: see ``Said.format``.
        notes: see ``Said.notes``.
    """

    module: Any
    dims: list[int | None] | None
    entry: str
    kind: str
    notes: tuple[str, ...] = ()


def open_module(path: Path, request: dict[str, Any], asked: tuple[int, ...] | None, folder: Path) -> Opened:
    """Open what ``converters.load.torch`` let through; ``request["kind"]`` is what it found, ``folder`` is for files on the way.

    Raises:
        ModelError: if there is no module of one input in it.
        MissingPackageError: if torch is not installed.
    """
    torch()  # that it is missing is said here, and not by the user's own file
    kind = request["kind"]
    if kind == "exported":
        copy = folder / "program.pt2"
        rewrite(path, copy)
        why = what_it_runs(copy)
        if why is not None and not request["trust"]:
            raise ModelError(f"it changed while it was read: {why}")
        return _exported(copy)
    if kind == "torchscript":
        return _torchscript(path, asked)
    found = _from_python(path, request["function"]) if kind == "python" else _from_pickle(path)
    module, given = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
    if not isinstance(module, torch().nn.Module):
        raise ModelError(
            f"it gives a {type(module).__name__}; a torch.nn.Module, or (module, example input), is wanted"
        )
    example: Any = given[0] if isinstance(given, tuple) and len(given) == 1 else given
    if example is not None and not torch().is_tensor(example):
        raise ModelError(f"the example input is a {type(example).__name__}; one tensor is wanted")
    dims: list[int | None] | None = None if example is None else [*map(int, example.shape)]
    if dims is None and asked is None:
        raise ModelError(
            f"nothing says the shape of its input: name it by --input-shape {_EXAMPLE_SHAPE} (batch, channels, height, width), "
            "or return (module, example input) from the function"
        )
    names = [*inspect.signature(module.forward).parameters]
    notes: tuple[str, ...] = ()
    if any(value.dtype in (torch().float16, torch().bfloat16) for value in module.parameters()):
        notes = ("Weights of 16 bits became float32.",)
    return Opened(module.eval().float(), dims, names[0] if names else "input", _KINDS[kind], notes)


_KINDS = {"python": "PyTorch module of a Python file", "module": "PyTorch pickled module"}


def _exported(path: Path) -> Opened:
    try:
        program = torch().export.load(str(path))
    except pickle.UnpicklingError as exc:
        raise ModelError(
            "it holds a pickle beside the program (such as its example inputs), and reading that runs whatever it contains: give --trust "
            "if you trust where it comes from, or save it again without, by torch.export.save of PyTorch 2.9 or newer"
        ) from exc
    except Exception as exc:
        raise ModelError(
            f"torch.export.load of PyTorch {torch().__version__} refuses it: {type(exc).__name__}: {str(exc).strip()[:300]}. "
            "Save it again with that version, or without what it names"
        ) from exc
    names = program.graph_signature.user_inputs
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    if len(names) != 1 or not torch().is_tensor(values.get(names[0])):
        raise ModelError(
            f"it has {len(names)} inputs ({', '.join(map(str, names))}); models of one tensor are converted"
        )
    _refuse_training(program)
    dims = [size if isinstance(size, int) else None for size in values[names[0]].shape]
    return Opened(_called(program), dims, names[0], "PyTorch exported program")


def _refuse_training(program: Any) -> None:
    """Dropout and batch norm are fixed when a program is exported: eval() comes too late afterwards."""
    for node in program.graph.nodes:
        place = {"aten.dropout.default": 2, "aten.batch_norm.default": 5}.get(str(node.target))
        if place is not None and len(node.args) > place and node.args[place] is True:
            raise ModelError(
                f"it was exported in training mode ({node.name}); call model.eval() before torch.export.export"
            )


def _called(program: Any) -> Any:
    """The program as a module of one tensor, however it was given when it was exported."""
    from torch.utils import _pytree as tree

    inner, spec = program.module(check_guards=False), program.call_spec.in_spec

    def forward(x: Any) -> Any:
        args, kwargs = tree.tree_unflatten([x], spec)
        return inner(*args, **kwargs)

    return wrapped(inner, forward)


def _torchscript(path: Path, asked: tuple[int, ...] | None) -> Opened:
    try:
        from torch._export.converter import TS2EPConverter
    except ImportError as exc:
        raise ModelError(
            f"PyTorch {torch().__version__} no longer translates TorchScript; export the module with torch.export.save"
        ) from exc
    shape = fixed_shape("input", None, asked, channels_first=True)
    module = torch().jit.load(str(path), map_location="cpu").eval()
    program = TS2EPConverter(module, (torch().zeros(shape),)).convert()
    inner = program.module(check_guards=False)
    return Opened(wrapped(inner, inner), [*shape], "input", "TorchScript")


def _from_pickle(path: Path) -> Any:
    try:
        return torch().load(path, map_location="cpu", weights_only=False)
    except (AttributeError, ImportError) as exc:
        raise ModelError(
            f"the code of the module is not in the file, and not on this machine: {exc}. "
            "Give the Python file that has its class, with a function that loads it (model.py:function)"
        ) from exc


def _from_python(file: Path, function: str) -> Any:
    """What a function of a Python file returns; the file's folder can be imported from, as when it is run."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ModelError("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
        found = getattr(module, function, None)
        if found is None:
            own = [n for n, v in vars(module).items() if inspect.isfunction(v) and v.__module__ == file.stem]
            raise ModelError(
                f"it has no function {function!r}; it has {', '.join(own) or 'none'}. Write {file.name}:function"
            )
        return found if isinstance(found, torch().nn.Module) else found()
    except ModelError:
        raise
    except (Exception, SystemExit) as exc:
        traceback.print_exc()
        line = traceback.extract_tb(exc.__traceback__)[-1]
        raise ModelError(
            f"{function}() failed: {type(exc).__name__}: {exc} ({Path(line.filename).name}, line {line.lineno})"
        ) from exc
