"""Outputs of a bundle's golden inputs by the interpreter's reference kernels, in an .npz; runs in an emulated userland, and here."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np

from edge_sdk.bundle import Bundle
from edge_sdk.encoder import Encoder


def reference_outputs(path: Path) -> dict[str, np.ndarray]:
    """By input and output number, as golden vectors are."""
    try:
        from ai_edge_litert import interpreter as tflite
    except ImportError:
        from tflite_runtime import interpreter as tflite
    with Bundle(path) as bundle:
        variant = bundle.variant(None)
        model = bundle.read(variant.file)
        inputs = bundle.arrays(bundle.manifest.golden_inputs)
    interpreter = tflite.Interpreter(
        model_content=model, experimental_op_resolver_type=tflite.OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    tensor = np.zeros(variant.inputs[0].shape, variant.inputs[0].dtype)
    encoder = Encoder(bundle.manifest.contract, variant.inputs[0])
    outputs = {}
    for number, sample in inputs.items():
        encoder.encode(sample, tensor)
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], tensor)
        interpreter.invoke()
        for place, detail in enumerate(interpreter.get_output_details()):
            outputs[f"{number}.{place}"] = interpreter.get_tensor(detail["index"])
    return outputs


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    np.savez(sys.argv[2], **reference_outputs(Path(sys.argv[1])))
