"""pycoral's adapters on real interpreters: tensors in and out, classes, boxes, masks, labels; each error that they state."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edge_sdk import pycoral
from edge_sdk.pycoral.adapters import classify, common, detect, segment
from edge_sdk.pycoral.adapters.detect import BBox
from edge_sdk.pycoral.utils.dataset import read_label_file
from edge_sdk.tensors import Array
from examples.pycoral.postprocess import add_postprocess
from tests.tiny_models import TinyModel

IMAGE = (1, 4, 6, 3)  # height 4, width 6


def quantize(net: TinyModel, tensor: int, scale: float, zero_point: int) -> None:
    made = net.graph.tensors[tensor].quantization = schema.QuantizationParametersT()
    made.scale, made.zeroPoint = np.array([scale], np.float32), np.array([zero_point], np.int64)


def reshaped(shape: tuple[int, ...], to: tuple[int, ...], dtype: str, scale: float = 0, zero_point: int = 0) -> Any:
    """An interpreter whose first output is its first input in another shape."""
    net = TinyModel()
    entry, last = net.tensor("image", shape, dtype=dtype), net.tensor("out", to, dtype=dtype)
    if scale:
        quantize(net, entry, scale, zero_point)
        quantize(net, last, scale, zero_point)
    net.operator("RESHAPE", [entry, net.constant("shape", np.array(to, np.int32))], [last])
    return ready(net.build([entry], [last]))


def ready(model: bytes) -> Any:
    interpreter = pycoral.make_interpreter(model)
    interpreter.allocate_tensors()
    return interpreter


def image_net(dtype: str = "UINT8") -> Any:
    return reshaped(IMAGE, (1, 72), dtype)


class TestCommon:
    def test_sizes_are_width_first(self) -> None:
        assert common.input_size(image_net()) == (6, 4)
        assert common.input_details(image_net(), "shape").tolist() == list(IMAGE)
        assert common.input_tensor(image_net()).shape == IMAGE[1:]
        with pytest.raises(KeyError):
            common.input_details(image_net(), "colour")
        with pytest.raises(ValueError, match=r"shape \[1, 8\]; an image is"):
            common.input_size(reshaped((1, 8), (8,), "UINT8"))

    def test_tensors_are_views_that_invoke_minds(self) -> None:
        interpreter = image_net()
        view = common.input_tensor(interpreter)
        view[...] = 7
        with pytest.raises(RuntimeError, match="reference to internal data"):
            interpreter.invoke()
        del view
        interpreter.invoke()
        assert (common.output_tensor(interpreter, 0) == 7).all()
        with pytest.raises(IndexError):
            common.output_tensor(interpreter, 1)

    def test_tensors_are_there_once_they_are_allocated(self) -> None:
        net = TinyModel()
        entry, last = net.tensor("image", IMAGE), net.tensor("out", IMAGE)
        net.operator("ABS", [entry], [last])
        interpreter = pycoral.make_interpreter(net.build([entry], [last]))
        for call in (
            common.input_tensor,
            lambda each: common.output_tensor(each, 0),
            classify.get_scores,
            segment.get_output,
        ):
            with pytest.raises(ValueError, match="allocate_tensors"):
                call(interpreter)

    @pytest.mark.parametrize("batch", [False, True])
    def test_an_input_is_stored_as_it_is(self, batch: bool) -> None:
        interpreter, image = image_net(), np.arange(72, dtype=np.uint8).reshape(IMAGE)
        common.set_input(interpreter, image if batch else image[0])
        assert (common.input_tensor(interpreter) == image[0]).all()

    def test_pillow_images_go_in(self) -> None:
        pillow = pytest.importorskip("PIL.Image")
        image = np.arange(72, dtype=np.uint8).reshape(IMAGE[1:])
        interpreter = image_net()
        common.set_input(interpreter, pillow.fromarray(image))
        assert (common.input_tensor(interpreter) == image).all()
        resized, _ = common.set_resized_input(interpreter, (12, 8), lambda size: pillow.new("RGB", size, (9, 9, 9)))
        assert resized.size == (6, 4)

    @pytest.mark.parametrize(
        ("dtype", "data", "said"),
        [
            ("INT8", np.full(IMAGE, 5, np.uint8), r"image is uint8, the model's input int8: subtract 128"),
            (
                "INT8",
                np.full(IMAGE, 130, np.int16),
                "data from 130 to 130 does not fit the model's input, int8 of -128 to 127",
            ),
            ("UINT8", np.full(IMAGE, -1.0, np.float32), "data from -1.0 to -1.0 does not fit"),
            ("UINT8", np.zeros((4, 5, 3), np.uint8), "broadcast"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, dtype: str, data: Array, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            common.set_input(image_net(dtype), data)

    def test_a_float_model_takes_numbers_of_any_dtype(self) -> None:
        interpreter = image_net("FLOAT32")
        common.set_input(interpreter, np.full(IMAGE, 200, np.uint8))
        assert (common.input_tensor(interpreter) == 200).all()

    @pytest.mark.parametrize(("size", "fitted"), [((12, 4), (6, 2)), ((6, 8), (3, 4)), ((3, 2), (6, 4))])
    def test_a_resized_image_keeps_its_proportions(self, size: tuple[int, int], fitted: tuple[int, int]) -> None:
        interpreter = image_net()
        common.set_input(interpreter, np.full(IMAGE, 255, np.uint8))
        made, scale = common.set_resized_input(interpreter, size, lambda to: np.full((to[1], to[0], 3), 9, np.uint8))
        tensor = common.input_tensor(interpreter)
        assert made.shape == (fitted[1], fitted[0], 3) and scale == (fitted[0] / size[0],) * 2
        assert (tensor[: fitted[1], : fitted[0]] == 9).all()
        assert tensor.sum() == 9 * made.size

    def test_a_resize_of_another_size_is_refused(self) -> None:
        with pytest.raises(ValueError, match="reshape"):
            common.set_resized_input(image_net(), (6, 4), lambda size: np.zeros((2, 2, 3), np.uint8))


class TestClassify:
    @pytest.mark.parametrize(("dtype", "zero_point"), [("UINT8", 3), ("INT8", -125)])
    def test_scores_are_real_numbers(self, dtype: str, zero_point: int) -> None:
        interpreter = reshaped((1, 1, 1, 4), (1, 4), dtype, 0.5, zero_point)
        common.set_input(interpreter, np.array([0, 3, 7, 2], getattr(np, dtype.lower())).reshape(1, 1, 4))
        interpreter.invoke()
        scores = classify.get_scores(interpreter)
        assert scores.dtype == np.float64
        assert scores.tolist() == [(n - zero_point) * 0.5 for n in (0, 3, 7, 2)]
        assert classify.num_classes(interpreter) == 4
        assert classify.get_classes(interpreter, top_k=2) == [(2, scores[2]), (1, scores[1])]

    def test_scores_of_a_float_model_are_a_copy(self) -> None:
        interpreter = reshaped((1, 1, 1, 4), (1, 4), "FLOAT32")
        common.set_input(interpreter, np.ones((1, 1, 4), np.float32))
        interpreter.invoke()
        scores = classify.get_scores(interpreter)
        assert scores.dtype == np.float32
        interpreter.invoke()  # would raise if it were a view
        assert scores.tolist() == [1, 1, 1, 1]

    def test_integers_without_quantization_come_as_they_are(self) -> None:
        interpreter = reshaped((1, 1, 1, 4), (1, 4), "INT32")
        common.set_input(interpreter, np.array([[[4, 0, 2, 9]]], np.int32))
        interpreter.invoke()
        assert classify.get_scores(interpreter).tolist() == [4, 0, 2, 9]

    @pytest.mark.parametrize(
        ("arguments", "ids"),
        [
            ({}, [1, 3, 0, 2]),
            ({"top_k": 2}, [1, 3]),
            ({"top_k": 0}, []),
            ({"top_k": 99}, [1, 3, 0, 2]),
            ({"score_threshold": 0.5}, [1, 3]),
            ({"top_k": 1, "score_threshold": 0.95}, []),
        ],
    )
    def test_the_highest_come_first_and_of_equals_the_lower_id(
        self, arguments: dict[str, float], ids: list[int]
    ) -> None:
        found = classify.get_classes_from_scores(np.array([0.1, 0.9, 0.1, 0.5]), **arguments)
        assert [each.id for each in found] == ids

    def test_of_a_thousand_equals_the_lower_id_comes_first(self) -> None:
        scores = np.random.default_rng(0).integers(0, 3, 1000).astype(np.float32)
        found = classify.get_classes_from_scores(scores)
        assert [each.id for each in found] == sorted(range(1000), key=lambda i: (-scores[i], i))

    def test_a_score_that_is_no_number_is_no_class(self) -> None:
        found = classify.get_classes_from_scores(np.array([np.nan, 0.2, -np.inf]))
        assert [each.id for each in found] == [1, 2]

    def test_a_negative_top_k_is_refused(self) -> None:
        with pytest.raises(ValueError, match="top_k is -1"):
            classify.get_classes_from_scores(np.zeros(3), top_k=-1)

    def test_a_class_is_a_named_tuple_of_plain_numbers(self) -> None:
        (found,) = classify.get_classes_from_scores(np.array([0.5], np.float32))
        assert json.loads(json.dumps(found._asdict())) == {"id": 0, "score": 0.5}
        assert found == (0, 0.5)


class TestBBox:
    def test_a_box_has_sides_and_an_area(self) -> None:
        box = BBox(100, 110, 200, 230)
        assert (box.width, box.height, box.area, box.valid) == (100, 120, 12_000, True)
        assert not BBox(2, 0, 1, 1).valid
        assert BBox(1, 1, 1, 1).valid

    def test_a_box_is_moved_and_scaled(self) -> None:
        assert BBox(1, 2, 10, 20).scale(3, 4) == (3, 8, 30, 80)
        assert BBox(1, 2, 10, 20).translate(10, -2) == (11, 0, 20, 18)
        assert BBox(1.9, -1.9, 3.2, 4.0).map(int) == (1, -1, 3, 4)

    def test_boxes_meet_or_not(self) -> None:
        a, b, far = BBox(0, 0, 200, 200), BBox(100, 100, 300, 300), BBox(500, 0, 600, 10)
        assert BBox.intersect(a, b) == (100, 100, 200, 200)
        assert BBox.union(a, far) == (0, 0, 600, 200)
        assert BBox.iou(a, b) == pytest.approx(1 / 7)
        assert BBox.iou(a, a) == 1.0
        assert BBox.iou(a, far) == 0.0 and not BBox.intersect(a, far).valid
        assert BBox.iou(BBox(1, 1, 1, 1), BBox(1, 1, 1, 1)) == 0.0


BOXES = np.array([[[0.25, 0.5, 0.75, 1.0], [0, 0, 1, 0.5], [0, 0, 0, 0]]], np.float32)  # ymin, xmin, ymax, xmax
CLASSES, SCORES, COUNT = (
    np.array([[5, 1, 0]], np.float32),
    np.array([[0.9, 0.4, 0]], np.float32),
    np.array([2], np.float32),
)
FOUND = {"boxes": BOXES, "classes": CLASSES, "scores": SCORES, "count": COUNT}
FIRST, SECOND = ("boxes", "classes", "scores", "count"), ("scores", "boxes", "count", "classes")
NAMES = {"output_0": "count", "output_1": "scores", "output_2": "classes", "output_3": "boxes"}


def detector(order: tuple[str, ...], *signatures: dict[str, str]) -> Any:
    """An interpreter that always finds the same, with its outputs in this order."""
    net = TinyModel()
    entry = net.tensor("image", (1, 100, 200, 3), dtype="UINT8")
    made = {}
    for name in order:
        made[name] = net.tensor(name, FOUND[name].shape)
        shape = net.constant(f"shape of {name}", np.array(FOUND[name].shape, np.int32))
        net.operator("RESHAPE", [net.constant(f"fixed {name}", FOUND[name]), shape], [made[name]])
    if signatures:
        net.model.signatureDefs = []
    for number, names in enumerate(signatures):
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = f"serving{number}", 0
        signature.inputs, signature.outputs = [], []
        for key, name in names.items():
            each = schema.TensorMapT()
            each.name, each.tensorIndex = key, made[name]
            signature.outputs.append(each)
        net.model.signatureDefs.append(signature)
    interpreter = ready(net.build([entry], list(made.values())))
    interpreter.invoke()
    return interpreter


class TestDetect:
    @pytest.mark.parametrize(
        ("order", "signatures"),
        [(FIRST, ()), (SECOND, ()), (("classes", "count", "boxes", "scores"), (NAMES,)), (FIRST, ({"b": "boxes"},))],
        ids=["TensorFlow 1", "TensorFlow 2", "signature", "signature with other names"],
    )
    def test_outputs_are_found_in_any_order(
        self, order: tuple[str, ...], signatures: tuple[dict[str, str], ...]
    ) -> None:
        found = detect.get_objects(detector(order, *signatures))
        assert [(each.id, round(each.score, 3), each.bbox) for each in found] == [
            (5, 0.9, (100, 25, 200, 75)),
            (1, 0.4, (0, 0, 100, 100)),
        ]
        assert all(type(number) is int for each in found for number in each.bbox)

    def test_boxes_are_of_the_image(self) -> None:
        (found,) = detect.get_objects(detector(FIRST), score_threshold=0.5, image_scale=(0.5, 0.25))
        assert found.bbox == (200, 100, 400, 300)

    def test_a_score_at_the_threshold_counts(self) -> None:
        interpreter = detector(FIRST)
        assert len(detect.get_objects(interpreter, float(np.float32(0.4)))) == 2
        assert detect.get_objects(interpreter, 0.95) == []

    def test_models_without_those_outputs_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"has 1 outputs; get_objects reads four"):
            detect.get_objects(image_net())
        with pytest.raises(ValueError, match="2 signatures"):
            detect.get_objects(detector(FIRST, NAMES, NAMES))

    def test_it_reads_what_the_interpreters_own_operator_gives(self) -> None:
        """Four anchors, of which two find the same and one only background."""
        net = TinyModel()
        entry = net.tensor("image", (1, 100, 200, 3), dtype="FLOAT32")
        encoded = np.zeros((1, 4, 4), np.float32)
        encoded[0, 1, 0] = 0.2  # moved by 0.2 / 10 of the height: the same thing again
        logits = np.full((1, 4, 3), -9, np.float32)
        logits[0, 0, 2], logits[0, 1, 2], logits[0, 2, 1], logits[0, 3, 0] = 3, 2, 1, 9
        outputs = []
        for name, values in (("boxes", encoded), ("logits", logits)):
            outputs.append(net.tensor(name, values.shape))
            shape = net.constant(f"shape of {name}", np.array(values.shape, np.int32))
            net.operator("RESHAPE", [net.constant(f"fixed {name}", values), shape], [outputs[-1]])
        anchors = np.array(
            [[0.5, 0.5, 0.25, 0.5], [0.5, 0.5, 0.25, 0.5], [0.25, 0.25, 0.5, 0.5], [0.5, 0.5, 1, 1]], np.float32
        )
        interpreter = ready(add_postprocess(net.build([entry], outputs), anchors, boxes="boxes", logits="logits"))
        interpreter.invoke()
        first, second = detect.get_objects(interpreter)
        assert (first.id, first.bbox) == (1, (75, 25, 125, 75))
        assert (second.id, second.bbox) == (0, (0, 0, 100, 50))
        assert first.score == pytest.approx(1 / (1 + np.exp(-3)), abs=1e-4)


class TestSegment:
    @pytest.mark.parametrize("dtype", ["UINT8", "INT32", "INT64", "FLOAT32"])
    def test_classes_of_pixels_are_bytes(self, dtype: str) -> None:
        interpreter = reshaped((1, 2, 3, 1), (1, 2, 3), dtype)
        common.set_input(interpreter, np.arange(6).reshape(2, 3, 1).astype(dtype.lower()))
        interpreter.invoke()
        found = segment.get_output(interpreter)
        assert found.dtype == np.uint8 and found.tolist() == [[0, 1, 2], [3, 4, 5]]
        interpreter.invoke()  # would raise if it were a view

    @pytest.mark.parametrize("dtype", ["UINT8", "INT8", "FLOAT32"])
    def test_the_highest_score_stays_the_highest(self, dtype: str) -> None:
        scores = (
            np.array([[[-3, -1, -2], [-0.5, 0.1, 0.9]]])
            if dtype == "FLOAT32"
            else np.array([[[1, 100, 7], [2, 3, 120]]])
        )
        scores = scores - 110 if dtype == "INT8" else scores
        interpreter = reshaped((1, 1, 2, 3), (1, 1, 2, 3), dtype)
        common.set_input(interpreter, scores.astype(dtype.lower()))
        interpreter.invoke()
        found = segment.get_output(interpreter)
        assert found.dtype == (np.float32 if dtype == "FLOAT32" else np.uint8)
        assert np.argmax(found, axis=-1).tolist() == [[1, 2]]


class TestLabels:
    @pytest.mark.parametrize(
        ("text", "labels"),
        [
            ("0:cat\n5: dog\n", {0: "cat", 5: "dog"}),
            ("0  cat\n17 black dog\n", {0: "cat", 17: "black dog"}),
            ("cat\ngreat white shark\n", {0: "cat", 1: "great white shark"}),
            ("cat: tabby\n", {0: "cat: tabby"}),
            ("", {}),
        ],
    )
    def test_labels_have_ids_or_stand_in_order(self, tmp_path: Path, text: str, labels: dict[int, str]) -> None:
        file = tmp_path / "labels.txt"
        file.write_text(text, encoding="utf-8")
        assert read_label_file(str(file)) == labels

    def test_a_missing_file_is_an_os_error(self, tmp_path: Path) -> None:
        with pytest.raises(OSError):
            read_label_file(str(tmp_path / "none.txt"))
