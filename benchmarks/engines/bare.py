"""What a good engineer writes by hand for each engine, with nothing but its own library: the other side of the comparison.

Inputs are handed over for every run, outputs fetched, as an application has to.
"""

from __future__ import annotations

import http.client
import json
import os
import urllib.parse
from collections.abc import Callable

import numpy as np

from edge_sdk.openvino.archive import read_archive
from edge_sdk.tensors import Array

Step = Callable[[], object]


def bare_step(engine: str, content: bytes, given: Array, url: str = "") -> Step:
    """One inference of ``content`` on ``given`` by the library of this engine, on one thread; of the model on a server at ``url``."""
    match engine:
        case "litert":
            return _litert(content, given)
        case "onnx":
            return _onnx(content, given)
        case "openvino":
            return _openvino(content, given)
        case "remote":
            return _remote(url, given)
    raise ValueError(engine)


def _litert(content: bytes, given: Array) -> Step:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    (taken,), outputs = interpreter.get_input_details(), interpreter.get_output_details()

    def step() -> list[Array]:
        interpreter.set_tensor(taken["index"], given)
        interpreter.invoke()
        return [interpreter.get_tensor(each["index"]) for each in outputs]

    return step


def _onnx(content: bytes, given: Array) -> Step:
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = 1
    session = InferenceSession(content, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: given})


def _openvino(content: bytes, given: Array) -> Step:
    import openvino

    fd = os.memfd_create("model")
    os.write(fd, content)
    from pathlib import Path

    archive = read_archive(Path(f"/proc/self/fd/{fd}"))
    os.close(fd)
    core = openvino.Core()
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    model = core.compile_model(core.read_model(archive.graph, archive.weights), "CPU", settings)
    request = model.create_infer_request()

    def step() -> list[Array]:
        request.infer([given])
        return [request.get_output_tensor(number).data for number in range(len(model.outputs))]

    return step


_DATATYPES = {"int8": "INT8", "uint8": "UINT8", "float32": "FP32"}


def _remote(url: str, given: Array) -> Step:
    """The Open Inference Protocol with numbers as JSON, by the standard library: what a server takes that knows no binary form."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port)
    head = {"name": parts.fragment, "shape": list(given.shape), "datatype": _DATATYPES[given.dtype.name]}

    def step() -> list[Array]:
        body = json.dumps({"inputs": [{**head, "data": given.ravel().tolist()}]})
        connection.request("POST", parts.path, body, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        return [np.array(each["data"]).reshape(each["shape"]) for each in answer["outputs"]]

    return step
