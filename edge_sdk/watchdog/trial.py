"""Whether an engine that is back answers as it should: one input, whose right answer is known."""

from __future__ import annotations

import numpy as np

from edge_sdk.bundle import Bundle, Variant
from edge_sdk.bundle.golden import difference
from edge_sdk.encoder import Encoder
from edge_sdk.engines import Engine
from edge_sdk.errors import EngineError
from edge_sdk.noise import noise
from edge_sdk.tensors import Array


class Trial:
    """Takes the variant's first golden vector; where the bundle has none, noise, and what the engine first answered to it.

    Args:
        bundle: has the variant.
        variant: which.
        answers: how many must be right.

    Raises:
        BundleError: if its golden vectors are damaged.
    """

    def __init__(self, bundle: Bundle, variant: Variant, answers: int) -> None:
        self._variant, self._answers = variant, answers
        self._expected: tuple[Array, ...] | None = None
        spec = variant.inputs[0]
        inputs = bundle.golden_inputs_of(variant)
        if inputs is None or variant.golden is None:
            self._input = noise(spec.shape, spec.dtype)
            return
        self._input = np.zeros(spec.shape, spec.dtype)
        Encoder(bundle.contract_of(variant), spec).encode(bundle.arrays(inputs)["0"], self._input)
        expected = bundle.arrays(variant.golden)
        self._expected = tuple(expected[f"0.{number}"] for number in range(len(variant.outputs)))

    def run(self, engine: Engine) -> None:
        """Ask an engine of the variant.

        Raises:
            EngineError: if it fails, or an answer is wrong.
        """
        for _ in range(self._answers):
            engine.reset()
            engine.input_arrays[0][...] = self._input
            self._judge(engine.run())
        engine.reset()

    def _judge(self, outputs: tuple[Array, ...]) -> None:
        if self._expected is None:
            self._expected = tuple(output.copy() for output in outputs)
        for spec, output, expected in zip(self._variant.outputs, outputs, self._expected, strict=True):
            found = difference(spec, output, expected)
            if found > self._variant.golden_tolerance:
                raise EngineError(
                    f"it answers wrongly: output {spec.name!r} differs by {found:.3g} from what it should be, "
                    f"{self._variant.golden_tolerance:g} is allowed"
                )
