"""The child's side of ``torch``: gets at the module, and translates it by litert-torch, or by ONNX where that fails."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from converters.load.child import deliver
from converters.load.input_shape import fixed_shape
from converters.load.loaded import Reference
from converters.load.numeric_check import check_inputs, check_numbers
from converters.load.tensor_names import with_names
from converters.load.torch_module import open_module
from converters.load.torch_routes import Translation, by_litert_torch, by_onnx, torch, wrapped
from converters.load.worker import Said
from edge_sdk.errors import MissingPackageError, ModelError
from edge_sdk.tensors import Array

_WAYS = {"litert-torch": by_litert_torch, "ONNX": by_onnx}


def convert(request: dict[str, Any], folder: Path) -> None:
    """See ``worker``."""
    if not request["trust"]:
        os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"  # torch.export.load would fall back to plain pickle
    asked = None if request["input_shape"] is None else tuple(request["input_shape"])
    opened = open_module(Path(request["path"]), request, asked, folder)
    shape = fixed_shape(opened.entry, opened.dims, asked, channels_first=True)
    names, example = _probe(opened.module, shape)
    tensors = wrapped(opened.module, lambda x: tuple(_leaves(opened.module(x))))
    ranks = [value.ndim for value in example]
    made, reference, notes = _translate(tensors, shape, ranks, tuple(request["real_range"]), folder)
    for name, last in zip(("input", *names), (made.nhwc_input, *made.nhwc_outputs), strict=True):
        if last:
            notes.append(
                f"{'The input' if name == 'input' else f'Output {name!r}'} became NHWC: the channels stand last."
            )
    said = Said(opened.kind, made.route, reference.framework, (*opened.notes, *notes))
    deliver(folder, with_names(made.content, opened.entry, names), said, reference.inputs, reference.outputs)


def _probe(module: Any, shape: tuple[int, ...]) -> tuple[list[str], list[Any]]:
    """Names and values of the outputs for an input of zeros."""
    try:
        with torch().no_grad():
            found = module(torch().zeros(shape))
    except Exception as exc:
        raise ModelError(
            f"the module does not run on a float32 tensor of shape {shape}: {type(exc).__name__}: {str(exc).strip()[:300]}"
        ) from exc
    leaves = _leaves(found)
    if not leaves:
        raise ModelError(f"the module gives {type(found).__name__}, not tensors")
    names = [str(key) for key, value in found.items() if value is not None] if isinstance(found, dict) else []
    if len(names) != len(leaves):
        names = ["output"] if len(leaves) == 1 else [f"output_{number}" for number in range(len(leaves))]
    return names, leaves


def _leaves(found: Any) -> list[Any]:
    from torch.utils import _pytree as tree

    return [value for value in tree.tree_leaves(found) if torch().is_tensor(value)]


def _translate(
    module: Any, shape: tuple[int, ...], ranks: Sequence[int], real_range: tuple[float, float], folder: Path
) -> tuple[Translation, Reference, list[str]]:
    """The first way that is right, what PyTorch computes in its axis order, and what failed before it."""
    reasons: list[str] = []
    for name, way in _WAYS.items():
        try:
            made = way(module, shape, ranks, folder)
            reference = _reference(module, shape, made, real_range)
            check_numbers(made.content, reference)
        except MissingPackageError as exc:
            if not reasons:
                raise
            reasons.append(f"by {name}: {exc}")
        except MemoryError:
            raise
        except Exception as exc:  # noqa: BLE001 - each way may raise anything; both reasons are told
            reasons.append(f"by {name}: {type(exc).__name__}: {' '.join(str(exc).split())[:400]}")
        else:
            return made, reference, [f"Translated by {name}, because {reason}" for reason in reasons]
    raise ModelError("there is no way to translate it.\n  " + "\n  ".join(reasons))


def _reference(module: Any, shape: tuple[int, ...], made: Translation, real_range: tuple[float, float]) -> Reference:
    last = (shape[0], *shape[2:], shape[1]) if made.nhwc_input else shape
    inputs = check_inputs(last, real_range)
    runs = []
    for tensor in inputs:
        own = np.ascontiguousarray(np.moveaxis(tensor, -1, 1)) if made.nhwc_input else tensor
        with torch().no_grad():
            found = module(torch().from_numpy(own))
        runs.append([_turned(value.numpy(), turn) for value, turn in zip(found, made.nhwc_outputs, strict=True)])
    outputs = tuple(np.stack(values) for values in zip(*runs, strict=True))
    return Reference(f"PyTorch {torch().__version__}", inputs, outputs)


def _turned(values: Array, turn: bool) -> Array:
    return np.moveaxis(values, 1, -1) if turn else values
