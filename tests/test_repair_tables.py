"""Tables fitted to what was measured: where a table takes rounding error, the mean of the float results is better than the function."""

from __future__ import annotations

import numpy as np
import pytest

from converters.quantize.quantize import quantize
from converters.quantize.recipe import read_recipe
from converters.repair.fit_tables import fit_tables
from converters.repair.mean_output import Run
from converters.repair.rewiring import CannotRepairError
from converters.verify.prove import prove
from edge_sdk.tensors import Array
from tests.tiny_models import TinyModel, conv_options, image_net, options
from tests.tiny_quant_models import float_model


def log_of_a_wide_range() -> bytes:
    """Input -> 1x1 convolution -> |x| + 0.0001 -> log: most values are small beside the largest."""
    rng = np.random.default_rng(0)
    net = TinyModel()
    entry, mixed, size, above, last = (
        net.tensor(name, (1, 8, 8, 4)) for name in ("input", "mixed", "size", "above", "last")
    )
    kernel = net.constant("kernel", rng.normal(0, 1, (4, 1, 1, 4)).astype(np.float32))
    bias = net.constant("bias", np.zeros(4, np.float32))
    least = net.constant("least", np.array(1e-4, np.float32))
    net.operator("CONV_2D", [entry, kernel, bias], [mixed], conv_options())
    net.operator("ABS", [mixed], [size])
    net.operator("ADD", [size, least], [above], options("Add"))
    net.operator("LOG", [above], [last])
    return net.build([entry], [last])


def samples(seed: int, count: int) -> list[Array]:
    rng = np.random.default_rng(seed)
    loud = 10 ** rng.uniform(-3, 0, (count, 1, 8, 8, 1))
    return list((rng.normal(0, 1, (count, 1, 8, 8, 4)) * loud).astype(np.float32))


def error(float_content: bytes, int8_content: bytes, tensors: list[Array]) -> float:
    runs = Run(float_content), Run(int8_content)
    total = 0.0
    for tensor in tensors:
        outputs = []
        for run in runs:
            run.on(tensor)
            outputs.append(run.real(run._interpreter.get_output_details()[0]["index"]))
        total += float(np.square(outputs[0] - outputs[1]).mean())
    return total / len(tensors)


def test_a_logarithm_of_what_is_mostly_rounding_error_comes_nearer() -> None:
    content, ranges = float_model(log_of_a_wide_range(), samples(0, 8))
    plain = quantize(content, ranges, read_recipe("int8")).content
    fitted = fit_tables(content, plain, samples(0, 16))
    assert fitted.tables == 1
    assert fitted.largest_steps > 10
    prove(fitted.content)
    assert error(content, fitted.content, samples(1, 8)) < 0.6 * error(content, plain, samples(1, 8))
    assert fit_tables(content, plain, samples(0, 16)).content == fitted.content


def test_a_model_without_tables_is_told_so() -> None:
    rng = np.random.default_rng(0)
    tensors = list(rng.uniform(0, 1, (8, 1, 16, 16, 3)).astype(np.float32))
    content, ranges = float_model(image_net(), tensors)
    with pytest.raises(CannotRepairError, match="has no table"):
        fit_tables(content, quantize(content, ranges, read_recipe("int8")).content, tensors)
