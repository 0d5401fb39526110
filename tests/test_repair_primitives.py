"""Each primitive on a model that it mends; where it rewrites the float model, the function is the same."""

from __future__ import annotations

import numpy as np
import pytest

from converters.graph import main_graph, read_graph, write_graph
from converters.quantize.recipe import read_recipe
from converters.repair.bias_correction import correct_biases
from converters.repair.candidate import Candidate, Quantized
from converters.repair.equalize import equalize
from converters.repair.int16 import int16_tensors, with_int16
from converters.repair.keep_out import keep_out
from converters.repair.mean_output import mean_output, mean_patches
from converters.repair.observe import channel_extremes, output_extremes
from converters.repair.ranges import METHODS, differ, most_lossy, outliers, with_ranges_of
from converters.repair.rewiring import CannotRepairError
from converters.repair.saturation import saturated_ranges
from converters.repair.split_head import Plan, plan_split, runs, split_head
from converters.report.accuracy import Layer
from converters.verify.prove import prove
from edge_sdk.bundle.manifest import Head
from edge_sdk.tensors import Array
from edge_sdk.tflite import describe
from tests import repair_models as models
from tests.repair_models import Net, he, layers_on, outputs_of, quantize, sqnr, start_of, statistics
from tests.tiny_models import conv_options, options, schema


def noise(shape: tuple[int, ...], count: int, seed: int = 0) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 1, shape).astype(np.float32) for _ in range(count)]


def int8_of(content: bytes, inputs: list[Array]) -> bytes:
    return start_of(content, inputs)[1].content


def same(before: bytes, after: bytes, inputs: list[Array], heads: tuple[Head, ...] = ()) -> None:
    """The float function is unchanged to 1e-5 of the largest value."""
    for real, made in zip(outputs_of(before, inputs), outputs_of(after, inputs, heads), strict=True):
        np.testing.assert_allclose(made, real, atol=1e-5 * float(np.abs(real).max()))


# Equalisation


@pytest.mark.parametrize("spread", [2.0, 3.5])
def test_wide_channel_ranges_are_equalised(spread: float) -> None:
    content = models.wide_depthwise(spread)
    images, _ = models.gratings(40, 2)
    done = equalize(content, channel_extremes(content, images))
    assert (done.groups, done.skipped) == (7, 0) and done.spread > 10**spread / 5
    same(content, done.content, images)
    real = outputs_of(content, images)[0]
    before = sqnr(real, outputs_of(int8_of(content, images), images)[0])
    after = sqnr(real, outputs_of(int8_of(done.content, images), images)[0])
    assert before < 2 and after > 20


def branches(rng: np.random.Generator, wide: int = 12) -> bytes:
    """Residual addition, a pool, PRELU, padding, a mean and a reshape between layers: all let a factor pass."""
    net = Net((1, 8, 8, 3))
    uneven = 10 ** rng.uniform(-1, 1, wide)
    x = net.conv("a", net.entry, he(rng, wide, 3, 3, 3) * uneven[:, None, None, None], uneven)
    y = net.conv("b", x, he(rng, wide, 3, 3, wide) * uneven[:, None, None, None], uneven, act="NONE")
    x = net.binary("sum", "ADD", x, y)
    alpha = net.constant("alpha", rng.uniform(0, 0.3, (1, 1, wide)).astype(np.float32))
    p = net.out("prelu", net.shapes[x])
    net.operator("PRELU", [x, alpha], [p])
    pooled = net.out("pooled", (1, 4, 4, wide))
    pool = options("Pool2D", padding=schema.Padding.SAME, strideW=2, strideH=2, filterWidth=2, filterHeight=2)
    net.operator("MAX_POOL_2D", [p], [pooled], pool)
    d = net.depthwise("d", pooled, he(rng, 1, 3, 3, wide) * 3, rng.normal(0, 1, wide))
    flat = net.reshape("flat", net.mean("mean", d), (1, 1, wide))
    return net.done(net.dense("out", net.reshape("row", flat, (1, wide)), rng.normal(0, 1, (4, wide)), np.zeros(4)))


@pytest.mark.parametrize("by", ["activations", "weights"])
def test_factors_pass_branches_and_the_function_stays(by: str) -> None:
    content, inputs = branches(np.random.default_rng(0)), noise((1, 8, 8, 3), 10)
    done = equalize(content, channel_extremes(content, inputs), by)  # type: ignore[arg-type]
    assert done.groups == 2 and done.spread > 2
    same(content, done.content, inputs)
    again = channel_extremes(done.content, inputs)["sum"].magnitude
    first = channel_extremes(content, inputs)["sum"].magnitude
    assert by == "weights" or again.max() / again.min() < first.max() / first.min() / 2


def clipping(level: float) -> tuple[bytes, list[Array]]:
    rng = np.random.default_rng(1)
    net = Net((1, 4, 4, 3))
    x = net.conv(
        "a", net.entry, he(rng, 6, 1, 1, 3) * np.logspace(-2, level, 6)[:, None, None, None], np.zeros(6), act="RELU6"
    )
    x = net.conv("b", x, he(rng, 4, 1, 1, 6), np.zeros(4), act="NONE")
    return net.done(x), noise((1, 4, 4, 3), 10)


def test_relu6_gives_way_where_it_clips_nothing_and_stays_where_it_does() -> None:
    content, inputs = clipping(0)
    done = equalize(content, channel_extremes(content, inputs))
    same(content, done.content, inputs)
    fused = main_graph(read_graph(done.content)).operators[0].builtinOptions.fusedActivationFunction
    assert fused == schema.ActivationFunctionType.RELU
    content, inputs = clipping(2)
    extremes = channel_extremes(content, inputs)["a"]
    done = equalize(content, channel_extremes(content, inputs))
    same(content, done.content, inputs)
    after = channel_extremes(done.content, inputs)["a"]
    full = extremes.high == 6
    assert full.any() and (after.high[full] == 6).all() and after.high[~full].max() <= 3.001
    assert after.high.min() > 3 * extremes.high.min()
    louder = [1.9 * x for x in inputs]
    quiet = outputs_of(content, louder)[0]
    np.testing.assert_allclose(outputs_of(done.content, louder)[0], quiet, atol=1e-4 * float(np.abs(quiet).max()))


def test_what_takes_no_factor_is_left_alone() -> None:
    content = models.swish_net(0)
    with pytest.raises(CannotRepairError, match="no layers can be equalised"):
        equalize(content, channel_extremes(content, models.gratings(3, 0)[0]))


# Bias correction


def layered(kind: str, padding: str, stride: int, act: str) -> bytes:
    """One layer of a kind, padding, stride and activation, its bias stored."""
    rng = np.random.default_rng(3)
    net = Net((1, 9, 7, 4))
    fused = getattr(schema.ActivationFunctionType, act)
    pad, bias = getattr(schema.Padding, padding), net.constant("bias", rng.normal(0, 0.3, 6).astype(np.float32))
    kernel = 3 + (kind == "even")
    shared = {"strideW": stride, "strideH": stride, "fusedActivationFunction": fused}
    if kind == "TRANSPOSE_CONV":
        size = [n * stride if padding == "SAME" else (n - 1) * stride + 3 for n in (9, 7)]
        made = net.out("made", (1, *size, 6))
        weights = net.constant("weights", he(rng, 6, 3, 3, 4).astype(np.float32))
        wanted = net.constant("wanted", np.array(net.shapes[made], np.int32))
        net.operator(kind, [wanted, weights, net.entry, bias], [made], options("TransposeConv", padding=pad, **shared))
        return net.done(made)
    dilation = 2 if kind == "dilated" else 1
    reach = (kernel - 1) * dilation + 1
    size = [-(-n // stride) if padding == "SAME" else (n - reach) // stride + 1 for n in (9, 7)]
    wide = 8 if kind == "DEPTHWISE_CONV_2D" else 6
    made = net.out("made", (1, *size, wide))
    if kind == "DEPTHWISE_CONV_2D":
        weights = net.constant("weights", rng.normal(0, 0.5, (1, 3, 3, 8)).astype(np.float32))
        bias = net.constant("bias8", rng.normal(0, 0.3, 8).astype(np.float32))
        wanted_options = options(
            "DepthwiseConv2D", padding=pad, depthMultiplier=2, dilationWFactor=1, dilationHFactor=1, **shared
        )
        net.operator(kind, [net.entry, weights, bias], [made], wanted_options)
        return net.done(made)
    deep = 2 if kind == "grouped" else 4
    weights = net.constant("weights", he(rng, 6, kernel, kernel, deep).astype(np.float32))
    wanted_options = conv_options(dilationWFactor=dilation, dilationHFactor=dilation, **shared)
    wanted_options.padding = pad
    net.operator("CONV_2D", [net.entry, weights, bias], [made], wanted_options)
    return net.done(made)


KINDS = ["plain", "even", "dilated", "grouped", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"]


STRIDES = [
    (kind, stride) for kind in KINDS for stride in (1, 2) if (kind, stride) != ("dilated", 2)
]  # one or the other


@pytest.mark.parametrize("kind, stride", STRIDES)
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_the_mean_output_is_that_of_the_mean_patch(kind: str, padding: str, stride: int) -> None:
    content, inputs = layered(kind, padding, stride, "NONE"), noise((1, 9, 7, 4), 3)
    model = read_graph(content)
    operator = main_graph(model).operators[0]
    places = (2, 1, 3) if kind == "TRANSPOSE_CONV" else (0, 1, 2)
    patch = next(mean_patches(content, [(operator, model, operator.inputs[places[0]])], inputs))
    wanted = outputs_of(content, inputs)[0].mean((0, 1, 2))
    np.testing.assert_allclose(mean_output(model, operator, places, patch), wanted, atol=1e-5)


@pytest.mark.parametrize("kind", ["plain", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"])
@pytest.mark.parametrize("act", ["NONE", "RELU"])
@pytest.mark.parametrize("way", ["linear", "clipped"])
def test_a_shifted_bias_is_put_right_whatever_the_activation_hides(kind: str, act: str, way: str) -> None:
    act = "NONE" if kind == "TRANSPOSE_CONV" else act
    content, inputs = layered(kind, "SAME", 1, act), noise((1, 9, 7, 4), 8)
    plain = int8_of(content, inputs)
    model = read_graph(plain)
    layer = next(o for o in main_graph(model).operators if o.builtinOptions is not None)
    tensor = main_graph(model).tensors[layer.inputs[-1]]
    steps = np.frombuffer(bytes(model.buffers[tensor.buffer].data), np.int32) - 4_000 // (1 + 3 * (way == "clipped"))
    model.buffers[tensor.buffer].data = np.frombuffer(steps.tobytes(), np.uint8)
    broken = write_graph(model)
    real = outputs_of(content, inputs)[0]
    corrected = correct_biases(content, broken, inputs, way=way)  # type: ignore[arg-type]
    assert corrected.operators == 1
    whole, off, mended = (sqnr(real, outputs_of(c, inputs)[0]) for c in (plain, broken, corrected.content))
    assert off < whole - 8 and mended > whole - (0.5 if way == "linear" or act == "NONE" else 6)


def test_a_layer_without_a_bias_gets_one() -> None:
    rng = np.random.default_rng(2)
    net = Net((1, 20))
    made = net.out("made", (1, 5))
    weights = net.constant("w", he(rng, 5, 20).astype(np.float32))
    net.operator(
        "FULLY_CONNECTED",
        [net.entry, weights, -1],
        [made],
        options("FullyConnected"),
    )
    content, inputs = net.done(made), [x + 3 for x in noise((1, 20), 8)]
    plain = int8_of(content, inputs)
    real = outputs_of(content, inputs)[0]
    corrected = correct_biases(content, plain, inputs)
    assert corrected.operators == 1 and prove(corrected.content)
    gaps = [np.abs((real - outputs_of(c, inputs)[0]).mean(0)).max() for c in (plain, corrected.content)]
    assert gaps[1] < gaps[0]


def test_later_layers_are_corrected_on_what_the_corrected_ones_before_give() -> None:
    """Clipped ranges move means layer after layer."""
    content = models.wide_depthwise(1.5)
    images, _ = models.gratings(60, 2)
    plain, real = int8_of(content, images), outputs_of(content, images)[0]
    corrected = correct_biases(content, plain, images[:16])
    gain = sqnr(real, outputs_of(corrected.content, images)[0]) - sqnr(real, outputs_of(plain, images)[0])
    assert corrected.operators > 3 and gain > 3


def test_errors_where_a_swish_is_flat_do_not_count_behind_clipping() -> None:
    content = models.swish_net(100)
    images, _ = models.gratings(40, 2)
    candidate, _ = start_of(content, images)
    cut = quantize(Candidate(content, saturated_ranges(content, candidate.ranges)[0])).content
    real = outputs_of(content, images)[0]
    corrected = correct_biases(content, cut, images[:8], way="clipped").content
    assert sqnr(real, outputs_of(corrected, images)[0]) > sqnr(real, outputs_of(cut, images)[0]) + 1


def test_correction_stops_at_its_check() -> None:
    content = models.wide_depthwise(1.5)
    images, _ = models.gratings(4, 2)

    def over() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        correct_biases(content, int8_of(content, images), images, over)


# Heads


def yolo(rng: np.random.Generator) -> bytes:
    """Two scales, three anchors each; per scale a convolution of 3 * 7 channels, reshaped, joined: boxes in pixels, logits beside."""
    net, parts = Net((1, 8, 8, 3)), []
    size = np.array([200.0] * 4 + [1.0] * 3)
    for stride in (1, 2):
        x = net.conv(f"f{stride}", net.entry, he(rng, 8, 3, 3, 3), np.zeros(8), stride=stride)
        kernel = he(rng, 21, 1, 1, 8) * np.tile(size, 3)[:, None, None, None]
        x = net.conv(f"h{stride}", x, kernel, np.zeros(21), act="NONE")
        side = 8 // stride
        x = net.reshape(f"r{stride}", x, (1, side, side, 3, 7))
        parts.append(net.reshape(f"s{stride}", x, (1, side * side * 3, 7)))
    return net.done(net.transpose("output", net.concat("joined", parts, 1), (0, 2, 1)))


HEADS = [
    pytest.param(
        lambda: models.joint_head_detector("concatenation"), lambda n: models.squares(n, 3)[0], id="concatenation"
    ),
    pytest.param(
        lambda: models.joint_head_detector("convolution"), lambda n: models.squares(n, 3)[0], id="convolution"
    ),
    pytest.param(
        lambda: yolo(np.random.default_rng(0)), lambda n: noise((1, 8, 8, 3), n), id="two scales, reshaped, transposed"
    ),
]


@pytest.mark.parametrize("make, data", HEADS)
def test_a_head_is_split_by_its_ranges(make, data) -> None:  # type: ignore[no-untyped-def]
    content, inputs = make(), data(20)
    plan = plan_split(content, "output", output_extremes(content, inputs)["output"])
    assert plan is not None and plan.ratio > 10
    done = split_head(content, plan)
    same(content, done.content, inputs, (done.head,))
    assert [spec.name for spec in outputs_specs(done.content)] == [part.output for part in done.head.parts]
    real, small = outputs_of(content, inputs)[0], list(plan.groups[-1])
    noisy = [
        np.take(o, small, plan.axis)
        for o in (
            outputs_of(int8_of(content, inputs), inputs)[0],
            outputs_of(int8_of(done.content, inputs), inputs, (done.head,))[0],
        )
    ]
    wanted = np.take(real, small, plan.axis)
    assert sqnr(wanted, noisy[1]) > sqnr(wanted, noisy[0]) + 10


def outputs_specs(content: bytes) -> list:  # type: ignore[type-arg]
    model = describe(content)
    return [model.tensors[index] for index in model.outputs]


def test_channels_of_like_range_stay_together() -> None:
    content = models.swish_net(0)
    extremes = output_extremes(content, models.gratings(20, 2)[0])["logits"]
    assert plan_split(content, "logits", extremes) is None


def test_entries_in_turn_are_two_groups_of_many_runs() -> None:
    """x, y and a score for each keypoint: the scores lie between the coordinates."""
    rng = np.random.default_rng(0)
    net = Net((1, 12))
    content = net.done(
        net.dense("points", net.entry, he(rng, 15, 12) * np.tile([100, 100, 1], 5)[:, None], np.zeros(15))
    )
    inputs = noise((1, 12), 20)
    plan = plan_split(content, "points", output_extremes(content, inputs)["points"])
    assert plan is not None and [runs(group) for group in plan.groups][1] == tuple((i, i + 1) for i in range(2, 15, 3))
    done = split_head(content, plan)
    same(content, done.content, inputs, (done.head,))


def test_what_mixes_the_entries_cannot_be_split() -> None:
    net = Net((1, 6))
    content = net.done(net.unary("scores", "SOFTMAX", net.dense("logits", net.entry, np.eye(6), np.zeros(6))))
    with pytest.raises(CannotRepairError, match="SOFTMAX 'scores' cannot be split along its own axis"):
        split_head(content, Plan("scores", 1, ((0, 1), (2, 3, 4, 5)), 9.0))


@pytest.mark.parametrize("kind", ["LOGISTIC", "SOFTMAX"])
@pytest.mark.parametrize("behind", ["nothing", "reshape", "scaled"])
def test_the_end_of_a_head_is_kept_out(kind: str, behind: str) -> None:
    rng = np.random.default_rng(0)
    net = Net((1, 4, 4, 3))
    x = net.unary("scores", kind, net.conv("logits", net.entry, 4 * he(rng, 5, 1, 1, 3), np.full(5, -4.0), act="NONE"))
    if behind == "reshape":
        x = net.reshape("flat", x, (1, 16, 5))
    if behind == "scaled":
        x = net.binary("scaled", "MUL", x, net.constant("five", np.arange(1, 6, dtype=np.float32)))
        x = net.binary("moved", "ADD", x, net.constant("half", np.array(0.5, np.float32)))
    content, inputs = net.done(x), noise((1, 4, 4, 3), 20)
    name = describe(content).tensors[describe(content).outputs[0]].name
    done = keep_out(content, (), name)
    assert kind in done.operators and kind not in [o.name for o in describe(done.content).operators]
    same(content, done.content, inputs, done.heads)
    real = outputs_of(content, inputs)[0]
    before = sqnr(real, outputs_of(int8_of(content, inputs), inputs)[0])
    assert sqnr(real, outputs_of(int8_of(done.content, inputs), inputs, done.heads)[0]) > before - 1


def test_a_part_of_a_head_is_kept_out_too() -> None:
    content, inputs = models.joint_head_detector(), models.squares(10, 3)[0]
    plan = plan_split(content, "output", output_extremes(content, inputs)["output"])
    assert plan is not None
    split = split_head(content, plan)
    done = keep_out(split.content, (split.head,), "scores")
    assert [part.activation for part in done.heads[0].parts] == ["none", "sigmoid"]
    same(content, done.content, inputs, done.heads)
    with pytest.raises(CannotRepairError, match="does not end in"):
        keep_out(done.content, done.heads, "boxes")


# Ranges


def test_ranges_end_where_swish_saturates() -> None:
    content = models.swish_net()
    images, _ = models.gratings(40, 2)
    candidate, plain = start_of(content, images)
    ranges, changed = saturated_ranges(content, candidate.ranges)
    assert changed == ("c0", "c1", "c2") and all(ranges.minima[name] == -8 for name in changed)
    assert ranges.maxima == candidate.ranges.maxima
    real = outputs_of(content, images)[0]
    before, after = (
        sqnr(real, outputs_of(c, images)[0]) for c in (plain.content, quantize(Candidate(content, ranges)).content)
    )
    assert before < 5 and after > 20


def test_a_tensor_that_another_operator_reads_keeps_its_range() -> None:
    rng = np.random.default_rng(0)
    net = Net((1, 4, 4, 3))
    made = net.conv("made", net.entry, he(rng, 4, 1, 1, 3) * 100, np.zeros(4), act="NONE")
    content = net.done(net.binary("both", "ADD", net.unary("tanh", "TANH", made), made))
    ranges = statistics(content, noise((1, 4, 4, 3), 5)).ranges()
    assert saturated_ranges(content, ranges) == (ranges, ())


def test_a_rare_spike_does_not_set_the_range_of_its_tensor() -> None:
    """One channel answers to pure red alone, hugely, and nothing comes of it."""
    rng = np.random.default_rng(0)
    net = Net((1, 16, 16, 3))
    kernel, bias = he(rng, 8, 3, 3, 3), np.full(8, 0.2)
    kernel[0], bias[0] = np.array([10, -10, -10]), -200
    x = net.conv("spiky", net.entry, kernel, bias)
    after = he(rng, 6, 3, 3, 8)
    after[..., 0] = 0
    content = net.done(net.conv("out", x, after, np.zeros(6), act="NONE"))
    images = [np.clip(x, -2, 2) for x in noise((1, 16, 16, 3), 40)]
    images[0][0, 4:9, 4:9] = (2, -2, -2)
    candidate, plain = start_of(content, images)
    ranges = with_ranges_of(
        candidate.ranges, METHODS["percentile 99.9"](statistics(content, images)), ["spiky", "unheard of"]
    )
    assert differ(ranges, candidate.ranges, "spiky") and not differ(ranges, candidate.ranges, "out")
    real = outputs_of(content, images[1:])[0]
    mended = quantize(Candidate(content, ranges)).content
    before, after_db = (sqnr(real, outputs_of(c, images[1:])[0]) for c in (plain.content, mended))
    assert before < 15 and after_db > 28


def layer(tensor: str, db: float | None) -> Layer:
    return Layer(tensor=tensor, operator="x", sqnr_db=db, float_min=0, float_max=1, scale=1, zero_point=0)


def test_outliers_lie_far_below_the_median_or_are_bad_in_themselves() -> None:
    layers = [layer(name, db) for name, db in (("a", 30), ("b", 31), ("c", 19), ("d", 25), ("e", None), ("f", 5))]
    assert [o.tensor for o in outliers(layers)] == ["f"] and outliers([layer("e", None)]) == ()
    assert [o.tensor for o in outliers([*layers, layer("g", 32), layer("h", 33)])] == ["f", "c"]


def test_the_layer_that_loses_most_comes_before_those_that_suffer_from_it() -> None:
    content = models.swish_net()
    images, _ = models.gratings(8, 2)
    plain = start_of(content, images)[1]
    order = [found.tensor for found in most_lossy(content, layers_on(images)(plain))]
    assert order[0] in ("c0", "swish0", "swish0/sigmoid")


# 16 bits


def test_16_bit_activations_for_one_layer() -> None:
    content = models.swish_net(100)
    images, _ = models.gratings(40, 2)
    candidate, plain = start_of(content, images)
    worst = most_lossy(content, layers_on(images)(plain))[0].tensor
    named = int16_tensors(content, worst)
    assert worst == "swish0/sigmoid" and set(named) == {"c0", "swish0/sigmoid", "swish0"}
    wide = quantize(Candidate(content, candidate.ranges, int16=named))
    dtypes = {tensor.name: tensor.dtype for tensor in describe(wide.content).tensors}
    assert all(dtypes[name] == "int16" for name in named) and prove(wide.content)
    real = outputs_of(content, images)[0]
    before, after = (sqnr(real, outputs_of(c, images)[0]) for c in (plain.content, wide.content))
    assert after > before + 1
    corrected = correct_biases(content, wide.content, images[:8])
    assert prove(corrected.content) and sqnr(real, outputs_of(corrected.content, images)[0]) > after - 0.5


def test_a_name_is_no_regular_expression() -> None:
    recipe = with_int16(read_recipe("int8"), ["a.b(c"])
    assert recipe.override[0].fits("CONV_2D", "a.b(c") and not recipe.override[0].fits("CONV_2D", "axb(c")


def test_quantized_content_is_the_model_s() -> None:
    content = models.swish_net(0)
    candidate, plain = start_of(content, models.gratings(4, 2)[0])
    assert isinstance(plain, Quantized) and plain.content == plain.made.content and candidate.heads == ()
