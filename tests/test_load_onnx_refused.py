"""ONNX models that cannot be converted are refused with a message that names what is in the way and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

from converters.load.onnx import import_onnx, reference  # noqa: E402 - needs onnx
from edge_sdk.errors import ModelError  # noqa: E402
from tests.tiny_onnx import FLOAT, INT64, agrees, chain, f32, i64, model, node, operators  # noqa: E402

helper = onnx.helper


def refused(content: bytes, *parts: str, **how: Any) -> str:
    with pytest.raises(ModelError) as caught:
        import_onnx(content, **how)
    message = str(caught.value)
    for part in parts:
        assert part in message, message
    return message


def changed(content: bytes, change: Any) -> bytes:
    proto = onnx.ModelProto.FromString(content)
    change(proto)
    return bytes(proto.SerializeToString())


def branches(**names: str) -> dict[str, Any]:
    made = {}
    for branch, operator in names.items():
        ends = [helper.make_empty_tensor_value_info("inner")]
        made[branch] = helper.make_graph([node(operator, ["x"], ["inner"])], branch, [], ends)
    return made


RELU = chain(("Relu", [], {}))


@pytest.mark.parametrize("content", [b"", b"\x00", b"not a model at all", RELU[:-9], RELU[:20], b"\x08" * 4000])
def test_what_is_no_onnx_model(content: bytes) -> None:
    refused(content, "ONNX model")


def test_control_flow_names_its_node() -> None:
    nodes = [node("ReduceSum", ["x"], ["s"], keepdims=0), node("Cast", ["s"], ["c"], to=9),
             node("If", ["c"], ["y"], name="gate", **branches(then_branch="Relu", else_branch="Neg"))]  # fmt: skip
    refused(model(nodes), "If 'gate'", "ai.onnx", "control flow", "Take the branch")


def test_a_branch_that_is_known_is_taken() -> None:
    for chosen, wanted in ((True, "RELU"), (False, "NEG")):
        nodes = [node("If", ["c"], ["y"], **branches(then_branch="Relu", else_branch="Neg"))]
        assert operators(agrees(model(nodes, c=np.bool_(chosen))).content) == {wanted: 1}


def test_loop_is_refused() -> None:
    body = helper.make_graph(
        [node("Identity", ["going"], ["on"]), node("Relu", ["before"], ["after"])],
        "body",
        [helper.make_tensor_value_info("i", INT64, []), helper.make_tensor_value_info("going", 9, []),
         helper.make_tensor_value_info("before", FLOAT, None)],
        [helper.make_tensor_value_info("on", 9, []), helper.make_tensor_value_info("after", FLOAT, None)],
    )  # fmt: skip
    nodes = [node("Loop", ["n", "c", "x"], ["y"], body=body, name="steps")]
    refused(model(nodes, n=np.int64(3), c=np.bool_(True)), "Loop 'steps'", "Unroll")


def test_every_problem_is_told_at_once_and_ten_at_most() -> None:
    first = [node("Mystery", ["x"], ["a"], domain="my.company", name="mine"), node("Unique", ["a"], ["b"], name="u"),
             node("NonZero", ["x"], ["c"], name="n"), node("Concat", ["b", "c"], ["y"], axis=0)]  # fmt: skip
    named = ("3 problems", "Mystery 'mine' (domain my.company)", "Unique 'u'", "NonZero 'n'")
    message = refused(model(first, domains=("my.company",)), *named)
    assert "Known operators of ONNX: Abs, Add" in message
    many = [node("NonZero", ["x"], [f"n{i}"]) for i in range(12)]
    outputs = tuple(f"n{i}" for i in range(12))
    assert refused(model(many, outputs=outputs), "12 problems", "and 2 more").count("NonZero") == 10


def test_quantized_models_are_told_apart() -> None:
    nodes = [node("QuantizeLinear", ["x", "s", "z"], ["q"]), node("DequantizeLinear", ["q", "s", "z"], ["y"])]
    refused(model(nodes, s=np.float32(0.1), z=np.uint8(3)), "quantized already", "QuantizeLinear")


def test_dynamic_shape_needs_to_be_given() -> None:
    content = chain(("Relu", [], {}), shape=("batch", 3, "height", "width"))
    refused(content, "'x'", "batch,3,height,width", "--input-shape 1,3,224,224")
    imported = agrees(content, input_shape=(1, 3, 8, 10))
    assert "fixed to 1,3,8,10" in imported.notes[0]
    refused(content, "1,4,8,10 does not fit", input_shape=(1, 4, 8, 10))
    refused(content, "does not fit: give every axis in the order of the file", input_shape=(3, 8, 10))
    refused(content, "the first number is the batch, which is 1", input_shape=(2, 3, 8, 10))
    refused(content, "not possible", input_shape=(1, 3, 1 << 20, 1 << 20))


def test_dynamic_batch_is_fixed_to_one() -> None:
    imported = agrees(chain(("Relu", [], {}), shape=("n", 3, 8, 8)))
    assert imported.notes[0] == "The dynamic batch of input 'x' was fixed to 1."


def test_models_of_several_inputs_name_them() -> None:
    def two(proto: Any) -> None:
        proto.graph.input.append(helper.make_tensor_value_info("state", FLOAT, (1, 4)))

    refused(changed(RELU, two), "2 inputs ('x', 'state')", "fixed as constants")
    branched = [node("If", ["x"], ["a"], name="gate", **branches(then_branch="Relu", else_branch="Neg")),
                node("Mystery", ["a"], ["y"], domain="my.company", name="mine")]  # fmt: skip
    told = ("3 problems", "2 inputs ('x', 'state')", "If 'gate'", "control flow", "Mystery 'mine' (domain my.company)")
    refused(changed(model(branched, domains=("my.company",)), two), *told)


WRONG = {
    "an integer input": (lambda: model([node("Relu", ["x"], ["y"])], dtype=INT64), "input 'x' is int64"),
    "a text input": (lambda: model([node("Identity", ["x"], ["y"])], dtype=8), "type STRING"),
    "a missing initializer": (lambda: model([node("Add", ["x", "gone"], ["y"])]), "'gone', which nothing before it makes"),
    "a cycle": (lambda: model([node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]), node("Relu", ["b"], ["y"])]), "cycle"),
    "an output of no node": (lambda: model([node("Relu", ["x"], ["z"])]), "'y' is made by no node"),
    "a constant output": (lambda: model([node("Relu", ["c"], ["y"])], c=f32(3)), "does not depend on the input"),
    "shapes that do not fit": (lambda: model([node("Add", ["x", "c"], ["y"])], c=f32(5)), "Add"),
    "a kernel that does not fit": (lambda: model([node("Conv", ["x", "c"], ["y"])], c=f32(5, 3, 3, 3)), "does not fit an input"),
    "an axis that is not there": (lambda: model([node("Softmax", ["x"], ["y"], axis=9)]), "Softmax"),
    "an attribute of the wrong type": (lambda: model([node("Conv", ["x", "c"], ["y"], pads="a")], c=f32(5, 4, 3, 3)), "Conv"),
    "an operator of a later opset": (lambda: model([node("Gelu", ["x"], ["y"])], opset=12), "no operator of this name"),
    "an opset of the future": (lambda: model([node("Relu", ["x"], ["y"])], opset=999), "Install a newer onnx"),
    "an opset of the past": (lambda: model([node("Relu", ["x"], ["y"])], opset=5), "opset 5"),
    "an absurd result": (lambda: model([node("Tile", ["x", "c"], ["y"])], c=i64(1 << 20, 1 << 10, 1, 1)), "not possible"),
    "an absurd constant": (
        lambda: model([node("ConstantOfShape", ["c"], ["a"]), node("Add", ["a", "x"], ["y"])], c=i64(1 << 40)),
        "not possible"),
    "a shape of values": (lambda: model([node("NonZero", ["x"], ["a"]), node("Cast", ["a"], ["y"], to=1)]), "NonZero"),
    "cubic": (lambda: model([node("Resize", ["x", "", "c"], ["y"], mode="cubic")], c=np.array([1, 1, 2, 2], np.float32)), "'cubic'"),
    "random numbers": (lambda: model([node("RandomNormal", [], ["r"], shape=[6]), node("Add", ["x", "r"], ["y"])]), "random"),
    "a sequence": (
        lambda: model([node("SplitToSequence", ["x"], ["s"], axis=1), node("ConcatFromSequence", ["s"], ["y"], axis=1)]),
        "SplitToSequence"),
    "training": (
        lambda: model([node("BatchNormalization", ["x", "c", "c", "c", "c"], ["y", "", ""], training_mode=1)], c=f32(4)),
        "training"),
    "an index beyond the end": (lambda: model([node("Gather", ["x", "c"], ["y"], axis=1)], c=i64(7)), "Gather"),
    "a division of an empty tensor": (lambda: model([node("Slice", ["x", "c", "c"], ["y"])], c=i64(1)), "is empty"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_models(name: str) -> None:
    made, part = WRONG[name]
    refused(made(), part)


def test_initializers_that_lie_about_their_size() -> None:
    good = chain(("Add", ["c"], {}), c=f32(6))

    def grow(proto: Any) -> None:
        proto.graph.initializer[0].dims[0] = 1 << 40

    def shrink(proto: Any) -> None:
        proto.graph.initializer[0].dims[0] = 4

    def negate(proto: Any) -> None:
        proto.graph.initializer[0].dims[0] = -6

    refused(changed(good, grow), "initializer 'c'", "not possible")
    refused(changed(good, negate), "initializer 'c'", "not possible")
    refused(changed(good, shrink), "damaged")


def outside(folder: Path, location: str, *, offset: int = 0, size: int = 24) -> bytes:
    def move(proto: Any) -> None:
        tensor = proto.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", str(offset)), ("length", str(size))):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value

    (folder / "weights.bin").write_bytes(np.arange(6, dtype=np.float32).tobytes())
    content = changed(chain(("Add", ["c"], {}), c=f32(6)), move)
    (folder / "model.onnx").write_bytes(content)
    return content


def test_weights_beside_the_model(tmp_path: Path) -> None:
    content = outside(tmp_path, "weights.bin")
    refused(content, "weights.bin", "by its path")
    imported = import_onnx(content, folder=tmp_path)
    sample = np.ones((1, 1, 6, 6, 4), np.float32)
    np.testing.assert_allclose(reference(tmp_path / "model.onnx", sample, imported)[0][0, 0, 0, :, 0], 1 + np.arange(6))
    (tmp_path / "weights.bin").write_bytes(b"short")
    refused(content, "cut off", folder=tmp_path)
    (tmp_path / "weights.bin").unlink()
    refused(content, "not beside the model", folder=tmp_path)


@pytest.mark.parametrize(
    "location", ["/etc/passwd", "../weights.bin", "a/../../weights.bin", "", "..\\weights.bin", "link"]
)
def test_weights_are_read_from_nowhere_else(location: str, tmp_path: Path) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    (tmp_path / "weights.bin").write_bytes(bytes(24))
    (folder / "link").symlink_to(tmp_path / "weights.bin")
    refused(outside(folder, location), "only files in the model's own folder", folder=folder)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(st.data())
def test_damaged_models_are_model_errors(data: st.DataObject) -> None:
    seed = chain(
        ("Conv", ["k"], {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
        ("MaxPool", [], {"kernel_shape": [2, 2]}),
        ("Reshape", ["s"], {}),
        ("Gemm", ["w"], {}),
        ("Softmax", [], {"axis": 1}),
        k=f32(2, 4, 3, 3),
        s=i64(1, -1),
        w=f32(8, 3),
    )
    damaged = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(seed) - 1))] = data.draw(st.integers(0, 255))
    try:
        import_onnx(bytes(damaged))
    except ModelError as exc:
        assert "fault of this converter" not in str(exc)
