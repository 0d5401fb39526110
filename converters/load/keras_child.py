"""The child's side of ``keras``: opens the file with the Keras that wrote it, or the other one, and translates it by TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from converters.load.input_shape import fixed_shape
from converters.load.keras import read_archive
from converters.load.keras_config import AGAIN, KerasConfig, parse_config, refuse_code
from converters.load.tensorflow_child import EXTRA, MAX_UNROLLED_STEPS, Source, finish, tensorflow
from edge_sdk.errors import ModelError, needs

_KERAS = {"Keras 3": "keras", "Keras 2": "tf_keras"}
_LOOPS = ("LSTM", "GRU", "SimpleRNN")


def convert(request: dict[str, Any], folder: Path) -> None:
    """See ``worker``."""
    path, trust = Path(request["path"]), bool(request["trust"])
    config = _config(path)
    if not trust:
        refuse_code(config)
    os.environ["KERAS_BACKEND"] = "tensorflow"
    tensorflow()
    model, opened_by, notes = _open(path, config, trust)
    source = _source(model, request["input_shape"], notes)
    kind = f"{opened_by} {path.suffix.lower()}"
    finish(source, request, folder, kind=kind, notes=notes)


def _config(path: Path) -> KerasConfig:
    return read_archive(path) if path.suffix.lower() == ".keras" else _config_of_hdf5(path)


def _config_of_hdf5(path: Path) -> KerasConfig:
    """The config of a .h5 file; nothing of it is loaded."""
    with needs("h5py", for_="reading a Keras .h5", extra=EXTRA):
        import h5py
    try:
        with h5py.File(path, "r") as file:
            config, version = file.attrs.get("model_config"), file.attrs.get("keras_version", b"")
            names = [*file.attrs, *file]
    except (OSError, ValueError, RuntimeError, KeyError) as exc:
        raise ModelError(f"it is a damaged HDF5 file: {exc}. {AGAIN}") from exc
    if config is None:
        holds = "only weights" if {"layer_names", "layers", "_layer_checkpoint_dependencies"} & {*names} else "no model"
        raise ModelError(
            f"it holds {holds}, not the network that they belong to: there is no model_config in it. "
            "Build the model, load_weights, and save it whole with model.save('model.keras')"
        )
    return KerasConfig(parse_config(config, "model_config"), _text(version))


def _text(raw: Any) -> str:
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)


def _open(path: Path, config: KerasConfig, trust: bool) -> tuple[Any, str, list[str]]:
    """The model, which Keras opened it, and what is to be said of that."""
    first, second = ("Keras 2", "Keras 3") if config.keras_2 else ("Keras 3", "Keras 2")
    reasons = []
    for keras in (first, second):
        try:
            model = _load(_KERAS[keras], path, trust)
        except (ImportError, MemoryError, ModelError):
            raise
        except Exception as exc:  # noqa: BLE001 - Keras raises anything on a config that it does not know
            reasons.append(f"{keras}: {type(exc).__name__}: {' '.join(str(exc).split())[:300]}")
            continue
        wrote = config.keras_version or "a version it does not name"
        notes = [f"Written by Keras {wrote}, opened by {keras} ({import_module(_KERAS[keras]).__version__})."]
        if reasons:
            notes.append(f"{first} refused it: {reasons[0].partition(': ')[2]}")
        return model, keras, notes
    raise ModelError("neither Keras opens it.\n  " + "\n  ".join(reasons))


def _load(package: str, path: Path, trust: bool) -> Any:
    with needs(package, for_="reading this Keras model", extra=EXTRA):
        keras = import_module(package)
    return keras.saving.load_model(str(path), compile=False, safe_mode=not trust)


def _source(model: Any, asked: list[int] | None, notes: list[str]) -> Source:
    import tensorflow as tf

    inputs = _inputs(model)
    if not inputs:
        if asked is None:
            raise ModelError("the model has no input shape of its own; say it by --input-shape 1,224,224,3")
        model.build(tuple(asked))
        inputs = _inputs(model)
    if len(inputs) != 1:
        names = ", ".join(repr(_plain_name(tensor)) for tensor in inputs)
        raise ModelError(f"the model has {len(inputs)} inputs ({names}); models of one input are converted")
    entry, dtype = _plain_name(inputs[0]), tf.as_dtype(inputs[0].dtype)
    if not dtype.is_floating:
        raise ModelError(f"input {entry!r} is {dtype.name}; a float model takes float32. Build it with a float32 input")
    first = _channels_first(model)
    own = fixed_shape(entry, [*inputs[0].shape], asked, channels_first=first)
    _make_float32(model, notes)
    loops = _unroll(model, notes)
    turned = first and len(own) == 4
    if turned:
        notes.append("The model is channels-first; its input and its outputs of four axes became NHWC.")

    def run(x: Any) -> list[Any]:
        found = tf.nest.flatten(model(tf.transpose(x, (0, 3, 1, 2)) if turned else x, training=False))
        return [tf.transpose(value, (0, 2, 3, 1)) if turned and len(value.shape) == 4 else value for value in found]

    shape = (own[0], own[2], own[3], own[1]) if turned else own
    return Source(run, shape, entry, _output_names(model), loops)


def _inputs(model: Any) -> list[Any]:
    """Empty where the model was saved before it knew its input."""
    try:
        return list(model.inputs or ())
    except AttributeError:
        return []


def _plain_name(tensor: Any) -> str:
    return str(tensor.name).partition(":")[0]


def _output_names(model: Any) -> tuple[str, ...]:
    """One name an output: the layers' own where they tell outputs apart."""
    import tensorflow as tf

    tensors = tf.nest.flatten(model.outputs)
    names = [str(name) for name in getattr(model, "output_names", None) or ()]
    if len(names) != len(tensors):
        names = [str(tensor._keras_history[0].name) for tensor in tensors if hasattr(tensor, "_keras_history")]
    distinct = len(set(names)) == len(tensors)
    return tuple(names) if distinct else tuple(f"output_{number}" for number in range(len(tensors)))


def _layers(model: Any) -> Iterator[Any]:
    """Every layer, those inside wrappers too."""
    for layer in model._flatten_layers():
        yield layer
        yield from _inside(layer)


def _inside(wrapper: Any) -> list[Any]:
    """The layers of a Bidirectional or TimeDistributed, which some versions do not list."""
    return [vars(wrapper)[name] for name in ("layer", "forward_layer", "backward_layer") if name in vars(wrapper)]


def _channels_first(model: Any) -> bool:
    return any(getattr(layer, "data_format", None) == "channels_first" for layer in _layers(model))


def _make_float32(model: Any, notes: list[str]) -> None:
    """Mixed precision is for training on GPUs; its weights are float32 already."""
    mixed = [layer for layer in _layers(model) if getattr(layer, "compute_dtype", "float32") in ("float16", "bfloat16")]
    for layer in mixed:
        if hasattr(layer, "_set_dtype_policy"):
            layer._set_dtype_policy("float32")
        else:
            layer.dtype_policy = "float32"
    if mixed:
        notes.append(f"Layers that computed in 16 bits compute in float32 now: {len(mixed)}.")


def _unroll(model: Any, notes: list[str]) -> tuple[str, ...]:
    """Short loops become plain operators, step by step, with the same weights: an int8 model cannot have a loop.

    Returns:
        The loops that stay, each with its steps.
    """
    unrolled: list[str] = []
    left: list[str] = []
    for layer in dict.fromkeys(model._flatten_layers()):
        steps = _steps(layer)
        for loop in [each for each in (layer, *_inside(layer)) if type(each).__name__ in _LOOPS]:
            if getattr(loop, "stateful", False):
                raise ModelError(f"layer {loop.name!r} keeps its state between calls; build it with stateful=False")
            if loop is not layer or steps is not None:
                (unrolled if _unroll_layer(loop, steps) else left).append(f"{loop.name!r} over {steps} steps")
    if unrolled:
        notes.append(f"Loops unrolled into plain operators: {', '.join(dict.fromkeys(unrolled))}.")
    return tuple(dict.fromkeys(left))


def _unroll_layer(loop: Any, steps: int | None) -> bool:
    if steps is None or steps > MAX_UNROLLED_STEPS:
        return False
    loop.unroll = True
    if hasattr(loop, "_could_use_gpu_kernel"):  # Keras 2 would put a loop of its own in place of the unrolled one
        loop._could_use_gpu_kernel = False
    return True


def _steps(layer: Any) -> int | None:
    """How many time steps the layer sees; None where that is not fixed, or the layer is called by its wrapper."""
    try:
        shape = layer.input.shape
    except (AttributeError, ValueError):
        return None
    return int(shape[1]) if len(shape) == 3 and shape[1] is not None else None
