"""Rewrites for the Edge TPU: each computes what the operator did, and is kept only if more maps and it is proven equal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from click.testing import CliRunner

from converters.graph import main_graph, operator_name, read_graph, text
from converters.repair.rewiring import finish
from converters.targets.edgetpu.fix import fix, proposals
from converters.targets.edgetpu.fixes import Fix, all_fixes
from converters.targets.edgetpu.fixes.editor import Editor
from converters.targets.edgetpu.fixes.prove import compare
from edge_sdk.cli import group
from edge_sdk.edgetpu.plan import Plan, PlannedOperator
from tests.edgetpu_plans import plan_of
from tests.tiny_models import TinyModel, options
from tests.tiny_quant_models import Case

SHAPE = (1, 6, 5, 8)
RNG = np.random.default_rng(7)


class IntegerModel(TinyModel):
    """A model of int8 tensors."""

    def int8(
        self,
        name: str,
        shape: tuple[int, ...],
        *,
        scale: float = 0.05,
        point: int = 3,
        data: Any = None,
        axis: int = -1,
    ) -> int:
        index = self.tensor(name, shape, data, dtype="INT8")
        quantization = schema.QuantizationParametersT()
        count = shape[axis] if axis >= 0 else 1
        quantization.scale = np.full(count, scale, np.float32)
        quantization.zeroPoint, quantization.quantizedDimension = np.full(count, point, np.int64), max(axis, 0)
        self.graph.tensors[index].quantization = quantization
        return index

    def bias(self, count: int, scale: float) -> int:
        index = self.tensor("bias", (count,), RNG.integers(-900, 900, count, np.int32), dtype="INT32")
        quantization = schema.QuantizationParametersT()
        quantization.scale, quantization.zeroPoint = np.full(1, scale, np.float32), np.zeros(1, np.int64)
        self.graph.tensors[index].quantization = quantization
        return index


def one(
    name: str,
    output_shape: tuple[int, ...] = SHAPE,
    constants: tuple[Any, ...] = (),
    op_options: Any = None,
    *,
    shape: tuple[int, ...] = SHAPE,
    out_scale: float = 0.05,
    out_point: int = 3,
    outputs: int = 1,
) -> bytes:
    """A model of one operator."""
    net = IntegerModel()
    entry = net.int8("input", shape)
    inputs = [entry, *(net.constant(f"c{i}", np.asarray(c)) for i, c in enumerate(constants))]
    made = [net.int8(f"out{i}", output_shape, scale=out_scale, point=out_point) for i in range(outputs)]
    net.operator(name, inputs, made, op_options)
    return net.build([entry], made)


def i32(*values: Any) -> Any:
    return np.array(values, np.int32)


def splitting() -> bytes:
    net = IntegerModel()
    entry = net.int8("input", SHAPE)
    made = [net.int8(f"out{i}", (1, 6, 5, 4)) for i in range(2)]
    net.operator("SPLIT", [net.constant("axis", np.array(3, np.int32)), entry], made, options("Split", numSplits=2))
    return net.build([entry], made)


def packing() -> bytes:
    net = IntegerModel()
    entries = [net.int8(f"input{i}", (1, 6, 8)) for i in range(2)]
    made = net.int8("out", (1, 6, 2, 8))
    net.operator("PACK", entries, [made], options("Pack", valuesCount=2, axis=2))
    return net.build(entries, [made])


def convolution(kind: str, dilation: tuple[int, int]) -> bytes:
    net = IntegerModel()
    entry = net.int8("input", (1, 12, 13, 8))
    shape = (1, 3, 3, 8) if kind == "DEPTHWISE_CONV_2D" else (8, 3, 3, 8)
    weights = net.int8(
        "w",
        shape,
        scale=0.01,
        point=0,
        data=RNG.integers(-127, 128, shape, np.int8),
        axis=0 if kind == "CONV_2D" else 3,
    )
    made = net.int8("out", (1, 12 - 2 * dilation[0], 13 - 2 * dilation[1], 8))
    settings = {
        "padding": 1,
        "strideH": 1,
        "strideW": 1,
        "dilationHFactor": dilation[0],
        "dilationWFactor": dilation[1],
    }
    extra = {"depthMultiplier": 1} if kind == "DEPTHWISE_CONV_2D" else {}
    table = "DepthwiseConv2D" if kind == "DEPTHWISE_CONV_2D" else "Conv2D"
    net.operator(kind, [entry, weights, net.bias(8, 0.0005)], [made], options(table, **settings, **extra))
    return net.build([entry], [made])


def dense() -> bytes:
    net = IntegerModel()
    entry = net.int8("input", (1, 7, 8))
    weights = net.int8("w", (12, 8), scale=0.01, point=0, data=RNG.integers(-127, 128, (12, 8), np.int8))
    made = net.int8("out", (1, 7, 12))
    net.operator(
        "FULLY_CONNECTED", [entry, weights, net.bias(12, 0.0005)], [made], options("FullyConnected", keepNumDims=True)
    )
    return net.build([entry], [made])


def squared_difference() -> bytes:
    net = IntegerModel()
    entries = [net.int8("input0", SHAPE), net.int8("input1", SHAPE, scale=0.03, point=-7)]
    made = net.int8("out", SHAPE, scale=0.5, point=-128)
    net.operator("SQUARED_DIFFERENCE", entries, [made], options("SquaredDifference"))
    return net.build(entries, [made])


def divided() -> bytes:
    net = IntegerModel()
    entry = net.int8("input", SHAPE)
    by = net.int8("by", (1,), scale=0.02, point=0, data=np.array([100], np.int8))
    made = net.int8("out", SHAPE, scale=0.03)
    net.operator("DIV", [entry, by], [made], options("Div"))
    return net.build([entry], [made])


SLICE = options("StridedSlice", beginMask=0, endMask=0, ellipsisMask=0, newAxisMask=0, shrinkAxisMask=0)
SHRINK = options("StridedSlice", beginMask=1, endMask=5, ellipsisMask=0, newAxisMask=0, shrinkAxisMask=2)
# ruff: noqa: E501 - one case a line
MODELS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "SQUEEZE": ("reshape", lambda: one("SQUEEZE", (6, 5, 8), (), options("Squeeze", squeezeDims=[0]))),
    "EXPAND_DIMS": ("reshape", lambda: one("EXPAND_DIMS", (1, 6, 5, 1, 8), (i32(3),))),
    "STRIDED_SLICE": ("slice", lambda: one("STRIDED_SLICE", (1, 3, 2, 8), (i32(0, 2, -3, 0), i32(1, 5, -1, 8), i32(1, 1, 1, 1)), SLICE)),
    "STRIDED_SLICE that drops an axis": ("slice", lambda: one("STRIDED_SLICE", (1, 4, 8), (i32(0, 2, 1, 0), i32(0, 0, 0, 8), i32(1, 1, 1, 1)), SHRINK)),
    "SPLIT": ("slices", splitting),
    "SPLIT_V": ("slices", lambda: one("SPLIT_V", (1, 6, 5, 4), (i32(4, 4), np.array(3, np.int32)), options("SplitV", numSplits=2), outputs=2)),
    "UNPACK": ("unpack", lambda: one("UNPACK", (1, 5, 8), (), options("Unpack", num=6, axis=1), outputs=6)),
    "PACK": ("pack", packing),
    "GATHER": ("gather", lambda: one("GATHER", (1, 6, 5, 5), (i32(1, 2, 3, 0, 7),), options("Gather", axis=3, batchDims=0))),
    "PAD": ("pad-channels", lambda: one("PAD", (1, 8, 5, 11), (np.array([[0, 0], [1, 1], [0, 0], [1, 2]], np.int32),), options("Pad"))),
    "AVERAGE_POOL_2D": ("unfuse", lambda: one("AVERAGE_POOL_2D", (1, 3, 2, 8), (), options("Pool2D", padding=1, strideW=2, strideH=2, filterWidth=2, filterHeight=2, fusedActivationFunction=1))),
    "DEPTHWISE_CONV_2D": ("fill-kernel", lambda: convolution("DEPTHWISE_CONV_2D", (2, 2))),
    "CONV_2D": ("fill-kernel", lambda: convolution("CONV_2D", (1, 3))),
    "FULLY_CONNECTED": ("dense-rows", dense),
    "MEAN": ("split-mean", lambda: one("MEAN", (1, 1, 1, 8), (i32(1, 2),), options("Reducer", keepDims=True), out_scale=0.04, out_point=-5)),
    "MEAN without the axes": ("mean-pool", lambda: one("MEAN", (1, 8), (i32(1, 2),), options("Reducer", keepDims=False), out_scale=0.04, out_point=-5)),
    "DEPTH_TO_SPACE": ("depth-to-space", lambda: one("DEPTH_TO_SPACE", (1, 12, 10, 2), (), options("DepthToSpace", blockSize=2))),
    "ABS": ("absolute", lambda: one("ABS", out_scale=0.03, out_point=-128)),
    "RELU_0_TO_1": ("clip", lambda: one("RELU_0_TO_1")),
    "LEAKY_RELU": ("leaky", lambda: one("LEAKY_RELU", (1, 6, 5, 8), (), options("LeakyRelu", alpha=0.1), out_scale=0.03, out_point=-80)),
    "HARD_SWISH": ("hard-swish", lambda: one("HARD_SWISH", out_scale=0.03, out_point=-115)),
    "SQUARED_DIFFERENCE": ("squared-difference", squared_difference),
    "DIV": ("divide", divided),
}  # fmt: skip


def plan_with(*mapped: str) -> Callable[[bytes], Plan]:
    """Plans by names alone: these map."""

    def make(content: bytes) -> Plan:
        model = read_graph(content)
        graph = main_graph(model)
        operators = []
        for index, operator in enumerate(graph.operators):
            name = operator_name(model, operator)
            output = text(graph.tensors[operator.outputs[0]].name)
            maps = name in mapped
            operators.append(PlannedOperator(index=index, name=name, output=output, mapped=maps, rule="test"))
        return plan_of(model_sha256=hashlib.sha256(content).hexdigest(), operators=tuple(operators))

    return make


def names_of(content: bytes) -> list[str]:
    model = read_graph(content)
    return [operator_name(model, operator) for operator in main_graph(model).operators]


def kind_of(name: str) -> Fix:
    return next(kind for kind in all_fixes() if kind.name == name)


@pytest.mark.parametrize("case", MODELS)
def test_a_rewrite_computes_the_same(case: str) -> None:
    kind, make = MODELS[case]
    content = make()
    model = read_graph(content)
    operator = main_graph(model).operators[0]
    name = operator_name(model, operator)
    editor = Editor(model)
    made = kind_of(kind).make(editor, operator)
    assert made is not None
    names = [text(main_graph(model).tensors[i].name) for i in operator.outputs]
    editor.replace(operator, made)
    changed = finish(model)
    assert kind == "fill-kernel" or len(made) > 1 or name not in names_of(changed)
    difference = compare(content, changed, names)
    assert difference.there <= kind_of(kind).steps, str(difference)
    assert difference.inputs == 8


def test_each_kind_has_a_case() -> None:
    assert {kind.name for kind in all_fixes()} == {kind for kind, _ in MODELS.values()}


def test_a_fix_is_kept_where_more_maps_and_said_with_its_proof() -> None:
    content = MODELS["HARD_SWISH"][1]()
    fixed = fix(content, plan_with("ADD", "MUL"))
    assert names_of(fixed.content) == ["ADD", "MUL", "MUL"]
    (rewrite,) = fixed.rewrites
    assert rewrite.kept
    assert rewrite.difference is not None
    assert 0 < rewrite.difference.there <= 2
    assert [operator.name for operator in fixed.before.operators] == ["HARD_SWISH"]
    assert len(fixed.plan.mapped) == 3


def test_a_fix_that_lets_no_more_map_is_not_kept() -> None:
    content = MODELS["HARD_SWISH"][1]()
    fixed = fix(content, plan_with("ADD"))
    assert fixed.content == content
    assert [rewrite.refused for rewrite in fixed.rewrites] == ["no more would map"]


def test_a_fix_that_computes_something_else_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from converters.targets.edgetpu import fix as module

    wrong = Fix(
        "wrong",
        ("HARD_SWISH",),
        "not the same",
        1,
        lambda e, o: [e.operator("RELU", [int(o.inputs[0])], [int(o.outputs[0])])],
    )
    monkeypatch.setattr(module, "all_fixes", lambda: (wrong,))
    content = MODELS["HARD_SWISH"][1]()
    fixed = fix(content, plan_with("RELU"))
    assert fixed.content == content
    assert "it is not equal" in fixed.rewrites[0].refused


def test_what_would_be_tried_is_proposed_without_a_run() -> None:
    content = MODELS["SQUEEZE"][1]()
    plan = plan_with("RESHAPE")(content)
    assert [proposal.name for proposal in proposals(content, plan)] == ["reshape"]
    assert proposals(content, plan_with("SQUEEZE")(content)) == ()


def test_open_shapes_are_fixed_and_float_ends_are_made_integer() -> None:
    net = IntegerModel()
    entry = net.tensor("input", (1, 4, 8), signature=(-1, 4, 8))
    first, last = net.int8("q", (1, 4, 8)), net.int8("r", (1, 4, 8))
    net.graph.tensors[first].shapeSignature = np.array([-1, 4, 8], np.int32)
    output = net.tensor("output", (1, 4, 8), signature=(-1, 4, 8))
    net.operator("QUANTIZE", [entry], [first])
    net.operator("RELU", [first], [last])
    net.operator("DEQUANTIZE", [last], [output])
    fixed = fix(net.build([entry], [output]), plan_with("RELU"))
    assert names_of(fixed.content) == ["RELU"]
    assert [rewrite.name for rewrite in fixed.rewrites] == ["static-shapes", "integer-ends"]
    assert [str(rewrite.difference) for rewrite in fixed.rewrites] == ["bit for bit the same on 8 inputs"] * 2
    graph = main_graph(read_graph(fixed.content))
    assert [text(graph.tensors[i].name) for i in (*graph.inputs, *graph.outputs)] == ["q", "r"]
    assert all(tensor.shapeSignature is None for tensor in graph.tensors)


def test_the_command_writes_the_fixed_model_and_says_what_was_proven(tmp_path: Path) -> None:
    model, fixed = tmp_path / "act.tflite", tmp_path / "fixed.tflite"
    model.write_bytes(MODELS["HARD_SWISH"][1]())
    planned = run_command("edgetpu", "plan", model)
    assert "HARD_SWISH 'out0': an ADD that is clipped, and two MUL [hard-swish]" in planned
    said = run_command("edgetpu", "plan", model, "--fix", "-o", fixed)
    assert "on the Edge TPU: 0 of 1 operators before, 3 of 3 now" in said
    assert "on 8 inputs" in said
    assert names_of(fixed.read_bytes()) == ["ADD", "MUL", "MUL"]
    report = json.loads(run_command("edgetpu", "plan", model, "--fix", "-o", fixed, "--overwrite", "--json"))
    assert [rewrite["kept"] for rewrite in report["rewrites"]] == [True]


def run_command(*words: object) -> str:
    done = CliRunner().invoke(group, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_nothing_is_tried_on_a_float_model(tmp_path: Path) -> None:
    model = tmp_path / "float.tflite"
    model.write_bytes(Case("HARD_SWISH").build())
    done = CliRunner().invoke(group, ["edgetpu", "plan", str(model), "--fix", "-o", str(tmp_path / "fixed.tflite")])
    assert done.exit_code == 0, done.output
    assert "tried" not in done.output
    assert "nothing was changed, and nothing written" in done.output
    assert not (tmp_path / "fixed.tflite").exists()
