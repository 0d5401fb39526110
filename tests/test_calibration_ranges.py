"""One pass gives the ranges of every method, the same every time, in memory that does not grow."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

from converters.calibrate.activation import VALUES
from converters.calibrate.ranges import measure, measure_ranges
from converters.calibrate.samples import RawSample
from converters.calibrate.statistics import Statistics
from converters.interpreter import open_interpreter
from edge_sdk.contract import Contract
from edge_sdk.encoder import Encoder
from edge_sdk.errors import ConfigError, ModelError
from edge_sdk.tensors import TensorSpec
from tests.tiny_models import TinyModel, image_net, options

IMAGES = Contract(input="image", colour="rgb", range=(-1, 1), resize="stretch")


def noise(count: int, *, darkest: int = 0) -> Iterator[RawSample]:
    for number in range(count):
        rng = np.random.default_rng(number)
        yield RawSample(rng.integers(darkest, 200, (16, 16, 3), np.uint8), "rgb", f"image {number}")


def image_statistics(count: int = 20, **kwargs: int) -> Statistics:
    return measure(image_net(), noise(count, **kwargs), Encoder(IMAGES, TensorSpec("image", (1, 16, 16, 3), "float32")))


def chain(*operators: str, width: int = 4096) -> tuple[bytes, Encoder]:
    """Input (1, width) -> operators one behind the other -> output."""
    net = TinyModel()
    tensors = [net.tensor("input", (1, width))]
    for number, name in enumerate(operators):
        tensors.append(net.tensor(f"{number} {name}", (1, width)))
        op_options = options("Softmax", beta=1.0) if name == "SOFTMAX" else None
        net.operator(name, [tensors[-2]], [tensors[-1]], op_options)
    return net.build([tensors[0]], [tensors[-1]]), Encoder(
        Contract(input="tensor"), TensorSpec("input", (1, width), "float32")
    )


def rows(*samples: np.ndarray) -> list[RawSample]:
    return [RawSample(row.astype(np.float32)[None], "bgr", f"row {i}") for i, row in enumerate(samples)]


def test_minimum_maximum_and_channels_are_those_of_all_values() -> None:
    found = image_statistics()
    content, low, high = image_net(), np.inf, -np.inf
    interpreter, encoder = open_interpreter(content), Encoder(IMAGES, TensorSpec("image", (1, 16, 16, 3), "float32"))
    array = np.empty((1, 16, 16, 3), np.float32)
    channels = []
    for sample in noise(20):
        encoder.encode(sample.data, array, colour="rgb")
        interpreter.set_tensor(0, array)
        interpreter.invoke()
        values = interpreter.get_tensor(3)  # features
        low, high = min(low, values.min()), max(high, values.max())
        channels.append(values.reshape(-1, 8))
    features = found.tensors["features"]
    assert (features.low, features.high) == (low, high)
    assert features.histogram.total == 20 * min(VALUES, 16 * 16 * 8)
    assert features.channel_low is not None and features.channel_high is not None
    everything = np.concatenate(channels)
    assert (features.channel_low >= everything.min(axis=0)).all() and (
        features.channel_high <= everything.max(axis=0)
    ).all()
    np.testing.assert_allclose(features.channel_high, everything.max(axis=0), rtol=0.25)


def test_a_pass_gives_the_same_every_time_whatever_shares_the_work() -> None:
    one, other = image_statistics(13), image_statistics(13)
    for name, tensor in one.tensors.items():
        np.testing.assert_array_equal(tensor.histogram.counts, other.tensors[name].histogram.counts)
        assert (tensor.low, tensor.high) == (other.tensors[name].low, other.tensors[name].high)


def test_an_image_input_spans_what_bytes_stand_for() -> None:
    found = image_statistics(darkest=100)
    for method in ("minmax", "percentile", "mse", "auto"):
        ranges = found.ranges(method)
        assert (ranges.minima["image"], ranges.maxima["image"]) == (-1, 1)


def test_zero_stays_the_end_behind_relu() -> None:
    found = image_statistics()
    for method in ("minmax", "percentile", "mse", "auto"):
        assert found.ranges(method, percentile=90).minima["active"] == 0


def test_outputs_and_functions_of_fixed_range_are_never_cut() -> None:
    rng = np.random.default_rng(0)
    heavy = [np.append(rng.normal(0, 1, 4095), [50.0]) for _ in range(20)]
    content, encoder = chain("ABS", "LOGISTIC", "ABS", "SQUARE")
    found = measure(content, rows(*heavy), encoder)
    whole, cut = found.ranges("minmax"), found.ranges("percentile", percentile=95)
    assert {name for name in whole.maxima if cut.maxima[name] < whole.maxima[name]} == {"0 ABS", "2 ABS"}
    assert cut.methods["1 LOGISTIC"] == cut.methods["input"] == cut.methods["3 SQUARE"] == "minmax"


def test_percentile_cuts_as_much_as_it_says() -> None:
    rng = np.random.default_rng(0)
    content, encoder = chain("TANH", "NEG", "ABS", width=1000)
    found = measure(content, rows(*rng.normal(0, 1, (50, 1000))), encoder)
    ranges, tensor = found.ranges("percentile", percentile=98), found.tensors["1 NEG"]
    room = 2 * tensor.histogram.width
    values = np.tanh(np.random.default_rng(0).normal(0, 1, (50, 1000)))
    assert ranges.maxima["1 NEG"] == pytest.approx(np.percentile(-values, 98), abs=room + 1e-3)
    assert ranges.minima["1 NEG"] == pytest.approx(np.percentile(-values, 2), abs=room + 1e-3)
    assert found.ranges("percentile", percentile=100).maxima == found.ranges("minmax").maxima


def test_auto_takes_minmax_unless_another_gains() -> None:
    rng = np.random.default_rng(0)
    content, encoder = chain("ABS", "NEG", "SQUARE", width=1000)
    even = measure(content, rows(*rng.uniform(-1, 1, (50, 1000))), encoder).ranges("auto")
    assert even.methods["0 ABS"] == "minmax"
    normal = rng.normal(0, 1, (400, 1000))
    normal[3, 500] = 12  # one in 400,000
    heavy = measure(content, rows(*normal), encoder).ranges("auto")
    assert heavy.methods["0 ABS"] in ("mse", "percentile") and heavy.maxima["0 ABS"] < 10


def test_methods_of_single_tensors() -> None:
    found = image_statistics()
    plain, mixed = found.ranges("minmax"), found.ranges("minmax", percentile=90, tensors={"features": "percentile"})
    changed = {name for name in plain.minima if plain.minima[name] != mixed.minima[name]}
    assert changed == {"features"} and mixed.methods["features"] == "percentile"
    assert measure_ranges(
        image_net(),
        noise(20),
        Encoder(IMAGES, TensorSpec("image", (1, 16, 16, 3), "float32")),
        method="percentile",
        percentile=90,
    ).minima["features"] == pytest.approx(mixed.minima["features"])


@pytest.mark.parametrize(
    ("wanted", "match"),
    [
        ({"method": "best"}, "no range method 'best'; there are minmax, percentile, mse, auto"),
        (
            {"method": "percentile", "percentile": 0.99},
            "percentile is above 50 and at most 100, such as 99.99; found 0.99",
        ),
        ({"tensors": {"nowhere": "mse"}}, "no float activation is called 'nowhere'"),
    ],
)
def test_unknown_methods_and_tensors_are_named(wanted: dict, match: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ConfigError, match=match):
        image_statistics(2).ranges(**wanted)


def test_a_model_that_does_not_react_is_an_error() -> None:
    content, encoder = chain("RELU", "TANH", width=8)
    samples = rows(*-np.random.default_rng(0).uniform(1, 2, (10, 8)))
    with pytest.raises(
        ModelError, match=r"does not react to its input: '1 TANH' stayed the same over 10 different samples"
    ):
        measure(content, samples, encoder)


def test_an_output_that_is_saturated_does_react() -> None:
    content, encoder = chain("LOGISTIC", width=8)
    found = measure(content, rows(*np.random.default_rng(0).uniform(100, 200, (10, 8))), encoder)
    assert found.tensors["0 LOGISTIC"].low == 1 and found.warnings == ()


def test_memory_is_flat_in_the_number_of_samples() -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        image_statistics(count)
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak_bytes

    peak(8)
    assert peak(400) < peak(40) + (
        256 << 10
    )  # one activation is 8 KiB, and 360 samples more have thousands of KiB of them
