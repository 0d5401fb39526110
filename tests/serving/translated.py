"""What TensorFlow makes of .tflite models, translated as for TensorFlow Serving; in a process of its own, one for all of them.

``python -m tests.serving.translated FOLDER``: for each ``NAME.tflite`` with inputs in ``NAME.npy`` (count, *shape) it leaves ``NAME.npz``
with the outputs by number, or ``NAME.txt`` with why there is none.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from converters.targets.tfserving.graph import Translation
from edge_sdk.errors import ModelError


def main() -> None:
    folder = Path(sys.argv[1])
    for model in sorted(folder.glob("*.tflite")):
        graph = tf.Graph()
        with graph.as_default(), tf.compat.v1.Session(graph=graph) as session:
            try:
                inputs, outputs = Translation(tf, model.read_bytes()).run()
            except ModelError as exc:
                model.with_suffix(".txt").write_text(str(exc))
                continue
            (entry,) = inputs.values()
            runs = [session.run(list(outputs.values()), {entry: one}) for one in np.load(model.with_suffix(".npy"))]
        np.savez(
            model.with_suffix(".npz"), **{str(n): np.stack(made) for n, made in enumerate(zip(*runs, strict=True))}
        )


if __name__ == "__main__":
    main()
