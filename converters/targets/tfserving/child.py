"""TensorFlow's part, in a process of its own: a .tflite becomes a SavedModel, which is loaded again and computes the golden vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from converters.targets.tfserving.graph import Translation
from edge_sdk.errors import ModelError, needs

SIGNATURE = "serving_default"


def convert(request: dict[str, Any], folder: Path) -> None:
    """Leave ``saved_model`` and ``outputs.npz`` in the folder.

    Args:
        request: ``path`` of the .tflite, ``golden`` of the input tensors (.npz, ``"input.tensor"``), ``names`` of inputs and outputs.
        folder: takes what is made.
    """
    with needs("tensorflow", for_="exporting to TensorFlow Serving", extra="keras"):
        import tensorflow as tf
    tf.get_logger().setLevel("ERROR")
    _save(tf, Path(request["path"]).read_bytes(), folder / "saved_model")
    with np.load(request["golden"], allow_pickle=False) as golden:
        outputs = _run(tf, folder / "saved_model", dict(golden), request["inputs"], request["outputs"])
    np.savez(folder / "outputs.npz", **outputs)
    (folder / "said.json").write_text(json.dumps({"framework": f"TensorFlow {tf.__version__}"}))


def _save(tf: Any, content: bytes, folder: Path) -> None:
    """As a graph with one signature, whose keys may be any names; weights are constants of it."""
    saved = tf.compat.v1.saved_model
    graph = tf.Graph()
    with graph.as_default(), tf.compat.v1.Session(graph=graph) as session:
        inputs, outputs = Translation(tf, content).run()
        sides = [{name: saved.build_tensor_info(tensor) for name, tensor in side.items()} for side in (inputs, outputs)]
        signature = saved.build_signature_def(*sides, saved.PREDICT_METHOD_NAME)
        builder = saved.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, [saved.SERVING], {SIGNATURE: signature})
        builder.save()


def _run(tf: Any, folder: Path, golden: dict[str, Any], inputs: list[str], outputs: list[str]) -> dict[str, Any]:
    """The outputs for the golden inputs, by ``"input.tensor"``."""
    signature = tf.saved_model.load(str(folder)).signatures[SIGNATURE]
    if set(signature.structured_outputs) != set(outputs):
        raise ModelError(
            f"the SavedModel's outputs are {', '.join(signature.structured_outputs)}, not {', '.join(outputs)}"
        )
    made: dict[str, Any] = {}
    for index in range(len(golden) // len(inputs)):
        given = {name: tf.constant(golden[f"{index}.{number}"]) for number, name in enumerate(inputs)}
        answer = signature(**given)
        made |= {f"{index}.{number}": answer[name].numpy() for number, name in enumerate(outputs)}
    return made
