"""The compiler's rules as data: each is explained, has its check and its source, and is followed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from converters.graph import read_graph
from converters.targets.edgetpu.checks import Checks
from converters.targets.edgetpu.mapping import map_operators
from converters.targets.edgetpu.rules import Rules, edgetpu_rules
from edge_sdk.errors import ConfigError
from tests.edgetpu_graphs import IntegerModel, one_operator
from tests.tiny_models import options

I32 = np.int32


def i32(*values: Any) -> Any:
    return np.array(values, I32)


def zeros(*shape: int) -> Any:
    return np.zeros(shape, np.int8)


KEPT = {
    "ADD": one_operator("ADD", twice=True, op_options=options("Add")),
    "AVERAGE_POOL_2D": one_operator("AVERAGE_POOL_2D", op_options=options("Pool2D")),
    "CONCATENATION with zeros": one_operator(
        "CONCATENATION",
        constants=(zeros(1, 8, 8, 4),),
        output_shape=(1, 8, 8, 20),
        op_options=options("Concatenation", axis=3),
    ),
    "EXPAND_DIMS": one_operator("EXPAND_DIMS", shape=(1, 16), output_shape=(1, 1, 16), constants=(I32(1),)),
    "L2_NORMALIZATION": one_operator("L2_NORMALIZATION", op_options=options("L2Norm")),
    "LOGISTIC": one_operator("LOGISTIC"),
    "MAX_POOL_2D": one_operator("MAX_POOL_2D", op_options=options("Pool2D")),
    "MEAN": one_operator("MEAN", constants=(i32(1, 2),), output_shape=(1, 1, 1, 16), op_options=options("Reducer")),
    "MEAN over channels": one_operator(
        "MEAN", constants=(i32(-1),), output_shape=(1, 8, 8, 1), op_options=options("Reducer")
    ),
    "PAD": one_operator("PAD", constants=(i32([0, 0], [1, 1], [1, 1], [0, 0]),), output_shape=(1, 10, 10, 16)),
    "PAD of channels": one_operator(
        "PAD", constants=(i32([0, 0], [0, 0], [0, 0], [0, 4]),), output_shape=(1, 8, 8, 20)
    ),
    "PRELU": one_operator("PRELU", constants=(zeros(1, 1, 16),)),
    "QUANTIZE": one_operator("QUANTIZE", output_dtype="UINT8"),
    "REDUCE_MAX": one_operator(
        "REDUCE_MAX", constants=(i32(1, 2),), output_shape=(1, 1, 1, 16), op_options=options("Reducer")
    ),
    "RESHAPE": one_operator("RESHAPE", constants=(i32(1, 1024),), output_shape=(1, 1024)),
    "RESIZE_BILINEAR": one_operator(
        "RESIZE_BILINEAR", constants=(i32(16, 16),), output_shape=(1, 16, 16, 16), op_options=options("ResizeBilinear")
    ),
    "SOFTMAX": one_operator("SOFTMAX", shape=(1, 1000)),
    "SPACE_TO_DEPTH": one_operator(
        "SPACE_TO_DEPTH", output_shape=(1, 4, 4, 64), op_options=options("SpaceToDepth", blockSize=2)
    ),
    "SPLIT": one_operator(
        "SPLIT", first=(I32(3),), output_shape=(1, 8, 8, 16), op_options=options("Split", numSplits=1)
    ),
    "SQUEEZE": one_operator("SQUEEZE", shape=(1, 1, 1, 16), output_shape=(1, 16), op_options=options("Squeeze")),
    "STRIDED_SLICE": one_operator(
        "STRIDED_SLICE",
        constants=(i32(0, 0, 0, 0), i32(1, 4, 8, 16), i32(1, 1, 1, 1)),
        output_shape=(1, 4, 8, 16),
        op_options=options("StridedSlice"),
    ),
    "an open batch": one_operator("LOGISTIC", signature=(-1, 8, 8, 16)),
    "uint8": one_operator("TANH", dtype="UINT8"),
}

BROKEN = {
    "float": ("types", "'input' is float32", one_operator("LOGISTIC", dtype="FLOAT32", scale=False)),
    "int16": ("types", "'input' is int16; int8 or uint8 is needed", one_operator("LOGISTIC", dtype="INT16")),
    "no scale": ("quantized", "'input' has no scale", one_operator("LOGISTIC", scale=False)),
    "open rows": ("static", r"\[1, -1, 8, 16\]", one_operator("LOGISTIC", signature=(1, -1, 8, 16))),
    "batch of two": ("dimensions", "only the 3 innermost", one_operator("LOGISTIC", shape=(2, 8, 8, 16))),
    "unknown": ("supported", "the Edge TPU has no FLOOR", one_operator("FLOOR")),
    "custom": (
        "supported",
        "the Edge TPU has no TFLite_Detection_PostProcess",
        one_operator("TFLite_Detection_PostProcess"),
    ),
    "pool with activation": (
        "no-activation",
        "fused",
        one_operator("MAX_POOL_2D", op_options=options("Pool2D", fusedActivationFunction=1)),
    ),
    "concatenation with numbers": (
        "constant-parts",
        "not all zeros",
        one_operator(
            "CONCATENATION",
            constants=(zeros(1, 8, 8, 4) + np.int8(3),),
            output_shape=(1, 8, 8, 20),
            op_options=options("Concatenation", axis=3),
        ),
    ),
    "concatenation with two constants": (
        "constant-parts",
        "more than one",
        one_operator(
            "CONCATENATION",
            constants=(zeros(1, 8, 8, 4),) * 2,
            output_shape=(1, 8, 8, 24),
            op_options=options("Concatenation", axis=3),
        ),
    ),
    "concatenation of the batch": (
        "dimensions",
        "only the 3",
        one_operator(
            "CONCATENATION", twice=True, output_shape=(2, 8, 8, 16), op_options=options("Concatenation", axis=0)
        ),
    ),
    "split of the batch": (
        "not-batch",
        "batch",
        one_operator("SPLIT", first=(I32(0),), op_options=options("Split", numSplits=1)),
    ),
    "computed split": (
        "not-batch",
        "computed",
        one_operator("SPLIT", twice=True, op_options=options("Split", numSplits=1)),
    ),
    "dense on rows": (
        "one-row",
        r"\[8, 4\]",
        one_operator(
            "FULLY_CONNECTED",
            shape=(8, 16),
            constants=(zeros(4, 16), i32(0, 0, 0, 0)),
            output_shape=(8, 4),
            op_options=options("FullyConnected"),
        ),
    ),
    "shuffled dense": (
        "default-format",
        "shuffled",
        one_operator(
            "FULLY_CONNECTED",
            shape=(1, 16),
            constants=(zeros(4, 16), i32(0, 0, 0, 0)),
            output_shape=(1, 4),
            op_options=options("FullyConnected", weightsFormat=1),
        ),
    ),
    "dense by a computed matrix": (
        "constant-weights",
        "'input' is computed",
        one_operator(
            "FULLY_CONNECTED", shape=(1, 16), twice=True, output_shape=(1, 1), op_options=options("FullyConnected")
        ),
    ),
    "mean of the batch": ("axes", "batch", one_operator("MEAN", constants=(i32(0),), op_options=options("Reducer"))),
    "mean over 6 channels": (
        "mean-channels",
        "6 channels",
        one_operator(
            "MEAN", shape=(1, 8, 8, 6), constants=(i32(3),), output_shape=(1, 8, 8, 1), op_options=options("Reducer")
        ),
    ),
    "mean over a large plane": (
        "mean-positions",
        "32,768",
        one_operator(
            "MEAN",
            shape=(1, 256, 128, 3),
            constants=(i32(1, 2),),
            output_shape=(1, 1, 1, 3),
            op_options=options("Reducer"),
        ),
    ),
    "pad of the batch": (
        "dimensions",
        "only the 3",
        one_operator("PAD", constants=(i32([1, 0], [0, 0], [0, 0], [0, 0]),), output_shape=(2, 8, 8, 16)),
    ),
    "a slope a position": ("slopes", r"\[8, 8, 16\]", one_operator("PRELU", constants=(zeros(8, 8, 16),))),
    "computed shape": ("reshape", "computed", one_operator("RESHAPE", twice=True)),
    "resize of one pixel": (
        "resize",
        "1x1 to 33x33",
        one_operator(
            "RESIZE_BILINEAR",
            shape=(1, 1, 1, 16),
            constants=(i32(33, 33),),
            output_shape=(1, 33, 33, 16),
            op_options=options("ResizeBilinear"),
        ),
    ),
    "large resize": (
        "resize",
        "256x256",
        one_operator(
            "RESIZE_NEAREST_NEIGHBOR",
            shape=(1, 128, 128, 16),
            constants=(i32(256, 256),),
            output_shape=(1, 256, 256, 16),
            op_options=options("ResizeNearestNeighbor"),
        ),
    ),
    "softmax of rows": ("softmax", "64 rows", one_operator("SOFTMAX")),
    "long softmax": ("softmax", "at most 16,000", one_operator("SOFTMAX", shape=(1, 16001))),
    "every other row": (
        "strides",
        r"\[1, 2, 1, 1\]",
        one_operator(
            "STRIDED_SLICE",
            constants=(i32(0, 0, 0, 0), i32(1, 8, 8, 16), i32(1, 2, 1, 1)),
            output_shape=(1, 4, 8, 16),
            op_options=options("StridedSlice"),
        ),
    ),
    "new axis": (
        "strides",
        "new axis",
        one_operator(
            "STRIDED_SLICE",
            constants=(i32(0, 0, 0, 0), i32(1, 8, 8, 16), i32(1, 1, 1, 1)),
            op_options=options("StridedSlice", newAxisMask=1),
        ),
    ),
}

OLDER = {
    "dilation": (
        12,
        "no-dilation",
        one_operator(
            "DEPTHWISE_CONV_2D",
            constants=(zeros(1, 3, 3, 16), i32(*[0] * 16)),
            op_options=options("DepthwiseConv2D", dilationHFactor=2, dilationWFactor=2),
        ),
    ),
    "mean over channels": (12, "plane-only", KEPT["MEAN over channels"]),
    "pad of channels": (12, "pad-plane", KEPT["PAD of channels"]),
    "squeeze in the middle": (
        12,
        "squeeze",
        one_operator("SQUEEZE", shape=(5, 1, 10), output_shape=(5, 10), op_options=options("Squeeze")),
    ),
    "quantize": (12, "runtime", KEPT["QUANTIZE"]),
    "reduce max": (13, "runtime", KEPT["REDUCE_MAX"]),
    "half pixels": (
        13,
        "no-half-pixels",
        one_operator(
            "RESIZE_BILINEAR",
            constants=(i32(16, 16),),
            output_shape=(1, 16, 16, 16),
            op_options=options("ResizeBilinear", halfPixelCenters=True),
        ),
    ),
}


@pytest.mark.parametrize("content", KEPT.values(), ids=KEPT)
def test_what_the_table_has_maps(content: bytes) -> None:
    (found,) = map_operators(read_graph(content))
    assert (found.rule, found.why) == ("", "")


@pytest.mark.parametrize(("rule", "why", "content"), BROKEN.values(), ids=BROKEN)
def test_each_limitation_is_found_and_said(rule: str, why: str, content: bytes) -> None:

    (found,) = map_operators(read_graph(content))
    assert found.rule == rule
    assert re.search(why, found.why)


@pytest.mark.parametrize(("runtime", "rule", "content"), OLDER.values(), ids=OLDER)
def test_older_runtimes_know_less(runtime: int, rule: str, content: bytes) -> None:
    (now,), (then,) = map_operators(read_graph(content)), map_operators(read_graph(content), runtime=runtime)
    assert (now.maps, then.rule) == (True, rule)


@pytest.mark.parametrize("dilation", [(1, 1, True), (2, 2, True), (1, 2, False)])
def test_a_dilation_is_the_same_along_both_axes(dilation: tuple[int, int, bool]) -> None:
    net = IntegerModel()
    entry = net.quantized("input", (1, 8, 8, 3))
    made = net.convolution(entry, 4, kernel=3, dilationHFactor=dilation[0], dilationWFactor=dilation[1])
    (found,) = map_operators(read_graph(net.build([entry], [made])))
    assert found.rule == ("" if dilation[2] else "same-dilation")


def test_every_rule_is_explained_has_a_source_and_a_check() -> None:
    table = edgetpu_rules()
    used = {rule for each in table.operators.values() for rule in each.at(0)}
    by_itself = {"mapped", "one-subgraph", "supported", "runtime", "after-cpu"}
    assert used | by_itself | {"static", "types", "quantized", "dimensions"} == set(table.rules)
    assert all(rule.source for rule in table.rules.values())
    assert [rule for rule in set(table.rules) - by_itself if not hasattr(Checks, "_" + rule.replace("-", "_"))] == []


def test_the_table_is_read_strictly() -> None:
    table = edgetpu_rules().model_dump()
    with pytest.raises(ValidationError, match="extra"):
        Rules.model_validate({**table, "operator": {}})
    with pytest.raises(ValidationError, match="not explained: no-such-rule"):
        Rules.model_validate({**table, "operators": {"ADD": {"below": {13: ["no-such-rule"]}}}})


def test_a_compiler_says_for_which_runtime_it_compiles() -> None:
    rules = edgetpu_rules()
    assert rules.runtime_of() == 14
    assert rules.runtime_of("15.0.340273435") == 13
    assert rules.runtime_of("16.0", 12) == 12
    with pytest.raises(ConfigError, match=r"compiler 17 is not known; there are 16\.0, 15\.0"):
        rules.runtime_of("17")
    with pytest.raises(ConfigError, match="runtimes 10 to 13, not 14"):
        rules.runtime_of("15.0", 14)


def test_the_page_has_every_operator_of_the_table() -> None:
    page = (Path(__file__).parents[1] / "docs" / "edgetpu.md").read_text(encoding="utf-8")
    table = page[page.index("| operator | since runtime |") : page.index("## What does not")]
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in table.splitlines()[2:] if line]
    said = {name: since for names, since, _ in rows for name in names.split(", ")}
    assert said == {name: str(rules.since or "all") for name, rules in edgetpu_rules().operators.items()}
