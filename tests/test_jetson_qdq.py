"""QDQ in TensorRT's form: what is quantized, how, and what the proof refuses by name."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from converters.targets.jetson.amax import find_amax
from converters.targets.jetson.bias import correct_biases
from converters.targets.jetson.build import Candidate
from converters.targets.jetson.centre import centre
from converters.targets.jetson.nodes import constants, put_constant
from converters.targets.jetson.prove import prove_qdq
from converters.targets.jetson.run import Runner
from converters.targets.jetson.stages import Stages
from edge_sdk.errors import ModelError
from tests import jetson_models as models
from tests.repair_models import sqnr, wide_depthwise

IMAGES = models.residual_images(24, 1)
UNSEEN = models.residual_images(24, 2)


def node_of(model: ModelProto, kind: str, place: int = 0) -> NodeProto:
    return [node for node in model.graph.node if node.op_type == kind][place]


def real(images: list = UNSEEN) -> np.ndarray:
    return models.outputs_of(models.graph_of(models.residual_net(), IMAGES).model, images)


@pytest.mark.parametrize("weights_as", ["float32", "int8"])
def test_every_layer_is_proven_quantized(weights_as: str) -> None:
    model = models.builder_of(IMAGES, weights_as).build(Candidate(models.residual_net())).model
    proof = prove_qdq(model)
    assert {k: n for k, n in proof.quantized.items() if k in models.RESIDUAL_LAYERS} == models.RESIDUAL_LAYERS
    assert proof.weights == 5
    assert proof.left_out == ()
    assert "every zero point 0" in str(proof)


def test_int8_weights_compute_the_same_in_a_quarter_of_the_size() -> None:
    net = wide_depthwise(1.0)
    images = models.images_of((1, 32, 32, 3), 4, 1)
    made = [models.builder_of(images, kind).build(Candidate(net)).model for kind in ("float32", "int8")]
    assert np.array_equal(*(models.outputs_of(model, images) for model in made))
    float_weights, stored = (len(model.SerializeToString()) for model in made)
    assert stored < 0.5 * float_weights


def test_quantized_outputs_follow_the_float_ones() -> None:
    made = models.qdq_of(models.residual_net(), IMAGES)
    assert sqnr(real(), models.outputs_of(made, UNSEEN)) > 20


def test_weights_have_a_scale_a_channel_and_activations_one() -> None:
    model = models.qdq_of(models.residual_net(), IMAGES)
    known = constants(model)
    for conv in (node for node in model.graph.node if node.op_type == "Conv"):
        scale = known[f"{conv.input[1].removesuffix('/dequantized')}/scale"]
        weights = known[conv.input[1].removesuffix("/dequantized")]
        assert scale.shape == (weights.shape[0],)
        assert np.allclose(scale, np.abs(weights).max(axis=(1, 2, 3)) / 127)
        assert known[f"{conv.input[0].removesuffix('/dequantized')}/scale"].shape == ()


def test_only_the_residual_of_an_add_is_quantized() -> None:
    model = models.qdq_of(models.residual_net(), IMAGES)
    add = next(node for node in model.graph.node if node.op_type == "Add")
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    assert sorted(makers[name] for name in add.input) == ["Conv", "DequantizeLinear"]


def test_one_quantizer_is_shared_by_all_readers() -> None:
    model = models.qdq_of(models.residual_net(), IMAGES)
    sources = [node.input[0] for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert len(sources) == len(set(sources))


def test_outputs_of_the_graph_are_not_quantized() -> None:
    model = models.qdq_of(models.residual_net(), IMAGES)
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    assert {makers[output.name] for output in model.graph.output}.isdisjoint({"QuantizeLinear", "DequantizeLinear"})


def _zero_point(model: ModelProto) -> None:
    put_constant(model, node_of(model, "QuantizeLinear").input[2], np.array(3, np.int8))


def _uint8(model: ModelProto) -> None:
    put_constant(model, node_of(model, "QuantizeLinear").input[2], np.array(0, np.uint8))


def _negative_scale(model: ModelProto) -> None:
    put_constant(model, node_of(model, "QuantizeLinear").input[1], np.array(-1, np.float32))


def _no_zero_point(model: ModelProto) -> None:
    del node_of(model, "QuantizeLinear").input[2]


def _float_layer(model: ModelProto) -> None:
    conv = node_of(model, "Conv", 1)
    conv.input[0] = conv.input[0].removesuffix("/dequantized")


def _float_weights(model: ModelProto) -> None:
    conv = node_of(model, "Conv")
    conv.input[1] = conv.input[1].removesuffix("/dequantized")


def _one_scale_for_weights(model: ModelProto) -> None:
    pair = next(n for n in model.graph.node if n.output[0] == node_of(model, "Conv").input[1])
    put_constant(model, pair.input[1], np.array(0.1, np.float32))
    put_constant(model, pair.input[2], np.array(0, np.int8))


def _wrong_axis(model: ModelProto) -> None:
    for pair in model.graph.node:
        for attribute in pair.attribute:
            if attribute.name == "axis" and pair.op_type in ("QuantizeLinear", "DequantizeLinear"):
                attribute.i = 1


def _integer_bias(model: ModelProto) -> None:
    conv = node_of(model, "Conv")
    put_constant(model, conv.input[2], np.zeros(8, np.int32))


def _twice(model: ModelProto) -> None:
    first = node_of(model, "QuantizeLinear")
    model.graph.node.append(helper.make_node("QuantizeLinear", first.input, ["again"], "again"))
    model.graph.node.append(helper.make_node("DequantizeLinear", ["again", *first.input[1:]], ["real"], "again_real"))


def _before_activation(model: ModelProto) -> None:
    clip = node_of(model, "Clip")
    scale = node_of(model, "QuantizeLinear").input[1:]
    source, place = clip.input[0], list(model.graph.node).index(clip)
    model.graph.node.insert(place, helper.make_node("DequantizeLinear", ["q", *scale], ["dq"], "between_real"))
    model.graph.node.insert(place, helper.make_node("QuantizeLinear", [source, *scale], ["q"], "between"))
    clip.input[0] = "dq"


def _quantized_output(model: ModelProto) -> None:
    name = next(n.output[0] for n in model.graph.node if n.op_type == "DequantizeLinear")
    model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))


def _old_opset(model: ModelProto) -> None:
    model.opset_import[0].version = 12


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (_zero_point, r"QuantizeLinear '.*quantize' is not symmetric int8: zero point int8 \[3\]"),
        (_uint8, r"QuantizeLinear .* is not symmetric int8: zero point uint8"),
        (_negative_scale, r"QuantizeLinear .* no positive float32"),
        (_no_zero_point, r"QuantizeLinear .* states no zero point"),
        (_float_layer, r"Conv '.*' reads '.*' in floating point, and is not among those left out"),
        (_float_weights, r"Conv '.*' reads '.*' in floating point"),
        (_one_scale_for_weights, r"DequantizeLinear '.*' has 1 scales along axis .*; 8 along 0 are needed"),
        (_wrong_axis, r"has 8 scales along axis 1; 8 along 0 are needed"),
        (_integer_bias, r"Conv '.*' has a bias that is no float32 constant"),
        (_twice, r"quantizes '.*' once more"),
        (_before_activation, r"stands between '.*' and '.*', which are fused"),
        (_quantized_output, r"makes an output of the graph"),
        (_old_opset, r"opset 12; scales for each channel need 13"),
    ],
)
def test_the_proof_names_what_is_wrong(break_it: Callable[[ModelProto], None], said: str) -> None:
    model = models.qdq_of(models.residual_net(), IMAGES)
    prove_qdq(model)
    break_it(model)
    with pytest.raises(ModelError, match=said):
        prove_qdq(model)


def test_a_layer_left_out_must_be_named() -> None:
    graph = models.graph_of(models.residual_net(), IMAGES)
    name = next(layer.name for layer in graph.layers if layer.operator == "Conv")
    model = models.qdq_of(models.residual_net(), IMAGES, left_out=(name,))
    assert prove_qdq(model, frozenset({name})).left_out == (name,)
    with pytest.raises(ModelError, match=re.escape(name)):
        prove_qdq(model)


def test_weights_of_a_transposed_convolution_have_their_scales_along_axis_1() -> None:
    weights = np.random.default_rng(0).normal(0, 1, (4, 6, 3, 3)).astype(np.float32)
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], "up", kernel_shape=[3, 3])
    shapes = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, c, 8, 8]) for n, c in (("x", 4), ("y", 6))]
    graph = helper.make_graph([node], "g", shapes[:1], shapes[1:], [numpy_helper.from_array(weights, "w")])
    from converters.targets.jetson.layers import find_layers
    from converters.targets.jetson.qdq import Scale, insert_qdq

    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made = insert_qdq(model, find_layers(model), {"x": Scale(0.1)})
    prove_qdq(made)
    assert constants(made)["w/scale"].shape == (6,)


def test_biases_bring_the_means_of_channels_back() -> None:
    graph = models.graph_of(models.residual_net(), IMAGES)
    made = models.qdq_of(models.residual_net(), IMAGES)
    corrected = correct_biases(graph.model, made, models.nchw(IMAGES))
    prove_qdq(corrected)
    names = [node.output[0] for node in graph.model.graph.node if node.op_type in ("Conv", "Gemm")]

    def means(model: ModelProto) -> np.ndarray:
        runner = Runner(model, names)
        runs = [runner.run(tensor) for tensor in models.nchw(IMAGES)]
        return np.concatenate(
            [np.mean([run[n].reshape(*run[n].shape[:2], -1).mean(2) for run in runs], 0)[0] for n in names]
        )

    wanted = means(graph.model)
    assert np.abs(means(corrected) - wanted).max() < 0.02 * np.abs(means(made) - wanted).max()


def test_stages_give_what_the_whole_graph_gives() -> None:
    model = models.qdq_of(models.residual_net(), IMAGES)
    names = [node.output[0] for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    stages, whole = Stages(model, models.nchw(UNSEEN[:3])), Runner(model, names)
    wanted = [whole.run(tensor) for tensor in models.nchw(UNSEEN[:3])]
    for name in names:
        for found, run in zip(list(stages.up_to(name)), wanted, strict=True):
            assert np.array_equal(found, run[name])


def test_centring_keeps_the_function_and_uses_the_whole_range() -> None:
    graph = models.graph_of(models.residual_net(), IMAGES)
    ends = {name: (known.low, known.high) for name, known in graph.known.items()}
    done = centre(graph.model, graph.layers, ends, graph.sizes)
    assert done.shifts
    assert sqnr(real(), models.outputs_of(done.model, UNSEEN)) > 100
    runner = Runner(done.model, list(done.shifts))
    for name in done.shifts:
        values = np.stack([runner.run(tensor)[name] for tensor in models.nchw(IMAGES)])
        assert values.min() < 0 < values.max()
        assert -values.min() == pytest.approx(values.max(), rel=0.03)


def test_what_pads_or_adds_is_not_centred() -> None:
    graph = models.graph_of(models.residual_net(), IMAGES)
    ends = {name: (0.0, 6.0) for name in graph.known}
    shifted = set(centre(graph.model, graph.layers, ends, graph.sizes).shifts)
    padding = {n.input[0] for n in graph.model.graph.node if n.op_type == "Conv" and any(_pads(n))}
    added = {name for n in graph.model.graph.node if n.op_type == "Add" for name in n.input}
    assert padding
    assert shifted.isdisjoint(padding | added)


def _pads(node: NodeProto) -> list[int]:
    return next((list(a.ints) for a in node.attribute if a.name == "pads"), [0])


def test_centred_graphs_are_proven_and_follow_more_closely_once_corrected() -> None:
    net, images = models.residual_net(), IMAGES
    plain = models.qdq_of(net, images, corrected=True)
    centred = models.qdq_of(net, images, centred=True, corrected=True)
    prove_qdq(centred)
    assert sqnr(real(), models.outputs_of(centred, UNSEEN)) > sqnr(real(), models.outputs_of(plain, UNSEEN)) - 0.5


def _tensor(values: np.ndarray):
    from converters.calibrate.histogram import Histogram
    from converters.calibrate.statistics import TensorStatistics

    histogram = Histogram()
    histogram.add(values)
    return TensorStatistics(float(values.min()), float(values.max()), histogram, None, None, whole=False)


def test_methods_cut_what_is_rare_and_keep_what_is_common() -> None:
    rng = np.random.default_rng(0)
    bulk = np.abs(rng.normal(0, 1, 100_000)).astype(np.float32)
    outliers = _tensor(np.append(bulk, np.float32(50)))
    assert find_amax(outliers, "minmax") == 50
    assert find_amax(outliers, "percentile 99.9") == pytest.approx(np.quantile(bulk, 0.999), abs=0.05)
    assert find_amax(outliers, "entropy") < 15
    tried = np.linspace(3, 50, 400)
    errors = [
        np.square(np.append(bulk, 50) - np.clip(np.rint(np.append(bulk, 50) / a * 127), -128, 127) * a / 127).sum()
        for a in tried
    ]
    for method in ("mse", "auto"):  # near the one of all that in truth makes the least error
        assert find_amax(outliers, method) == pytest.approx(tried[int(np.argmin(errors))], rel=0.1)
    even = _tensor(rng.uniform(-3, 3, 100_000).astype(np.float32))
    for method in ("mse", "entropy", "auto"):
        assert find_amax(even, method) == pytest.approx(3, rel=0.05)


def test_a_dead_tensor_has_a_scale() -> None:
    dead = _tensor(np.zeros(100, np.float32))
    assert find_amax(dead, "entropy") > 0
