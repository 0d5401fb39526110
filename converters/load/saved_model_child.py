"""The child's side of ``saved_model``: opens the folder in the way that its age asks for, and translates it by TensorFlow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from converters.load.input_shape import fixed_shape
from converters.load.tensorflow_child import EXTRA, Source, finish, tensorflow
from edge_sdk.errors import ModelError, needs


def convert(request: dict[str, Any], folder: Path) -> None:
    """See ``worker``."""
    shape = fixed_shape(request["entry"], request["shape"], request["input_shape"])
    os.environ["TF_USE_LEGACY_KERAS"] = (
        "1"  # what TensorFlow revives by name was saved by Keras 2; Keras 3 saves plain functions
    )
    tf = tensorflow()
    called, notes = _open(tf, request)
    entry, outputs = request["entry"], request["outputs"]

    def run(x: Any) -> list[Any]:
        found = called(**{entry: x})
        return [found[name] for name in outputs]

    if request["signatures"] > 1:
        notes.append(f"Of {request['signatures']} signatures, {request['key']!r} was converted.")
    source = Source(run, shape, entry, tuple(outputs))
    finish(source, request, folder, kind=f"SavedModel of TensorFlow {request['written_by']}", notes=notes)


def _open(tf: Any, request: dict[str, Any]) -> tuple[Any, list[str]]:
    """The signature as a function, and what is to be said of how it was opened."""
    if request["version_1"]:
        return _as_version_1(tf, request), ["Saved by TensorFlow 1; opened as a graph."]
    reasons = []
    for way, how in ((_plain, ""), (_with_keras_2, "with Keras 2's classes"), (_as_version_1, "as a graph")):
        try:
            called = way(tf, request)
        except (ImportError, MemoryError, ModelError):
            raise
        except Exception as exc:  # noqa: BLE001 - TensorFlow raises anything on a folder that it does not know
            reasons.append(f"{type(exc).__name__}: {' '.join(str(exc).split())[:300]}")
            continue
        return called, [f"Opened {how}; plainly TensorFlow refused it: {reasons[0]}"] if reasons else []
    raise ModelError("TensorFlow does not open it.\n  " + "\n  ".join(dict.fromkeys(reasons)))


def _plain(tf: Any, request: dict[str, Any]) -> Any:
    loaded = tf.saved_model.load(request["path"], tags=request["tags"])
    called = loaded.signatures[request["key"]]
    called.holder = loaded  # a signature alone does not keep its variables
    return called


def _with_keras_2(tf: Any, request: dict[str, Any]) -> Any:
    with needs("tf_keras", for_="reading a SavedModel of Keras 2", extra=EXTRA):
        import tf_keras  # noqa: F401 - registers the classes
    return _plain(tf, request)


def _as_version_1(tf: Any, request: dict[str, Any]) -> Any:
    """A graph with its variables as constants, run as a function."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        meta = v1.saved_model.load(session, request["tags"], request["path"])
        signature = meta.signature_def[request["key"]]
        ends = {name: signature.outputs[name].name for name in request["outputs"]}
        nodes = [name.partition(":")[0] for name in ends.values()]
        constant = v1.graph_util.convert_variables_to_constants(session, session.graph_def, nodes)
        start = signature.inputs[request["entry"]].name

    def call(x: Any) -> dict[str, Any]:
        found = tf.graph_util.import_graph_def(constant, {start: x}, list(ends.values()), name="")
        return dict(zip(ends, found, strict=True))

    function = tf.function(call)
    return lambda **inputs: function(inputs[request["entry"]])
