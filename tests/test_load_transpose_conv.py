"""A real model with MediaPipe's custom transposed convolution loads as one of built-in operators that computes the same."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from converters.graph import main_graph, operator_name, read_graph, write_graph
from converters.interpreter import open_interpreter
from converters.load import load
from converters.load.numeric_check import run_float
from converters.load.tflite import prepare
from edge_sdk.errors import ModelError
from examples.assets.data import photos
from examples.assets.models import selfie_segmentation


def test_computes_the_same_as_the_custom_operator():
    custom = open_interpreter(selfie_segmentation().read_bytes())
    entry = custom.get_input_details()[0]
    image = cv2.resize(cv2.imread(str(photos()[0]))[:, :, ::-1], (256, 256))[None].astype(np.float32) / 255
    custom.set_tensor(entry["index"], image)
    custom.invoke()
    wanted = custom.get_tensor(custom.get_output_details()[0]["index"])
    model = load(selfie_segmentation())
    (found,) = run_float(model.content, image[None])
    assert wanted.std() > 0.1  # somebody is seen
    np.testing.assert_allclose(found[0], wanted, atol=1e-5)
    assert any("Convolution2DTransposeBias was replaced" in note for note in model.notes)


def test_damaged_options_are_refused():
    graph = read_graph(selfie_segmentation().read_bytes())
    for operator in main_graph(graph).operators:
        if operator_name(graph, operator) == "Convolution2DTransposeBias":
            operator.customOptions = np.array([7, 0, 0], np.uint8)
    with pytest.raises(ModelError, match="Convolution2DTransposeBias are damaged"):
        prepare(write_graph(graph), None)
