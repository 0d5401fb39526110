"""Whether a server runs the bundle's model: the golden vectors, shown to it over the network."""

from __future__ import annotations

import numpy as np

from edge_sdk.bundle import Bundle, Variant
from edge_sdk.bundle.golden import difference
from edge_sdk.encoder import Encoder
from edge_sdk.errors import RemoteAnswerError
from edge_sdk.noise import noise
from edge_sdk.tensors import Array, TensorSpec

_QUESTIONS = 3


class Proof:
    """A few questions whose right answers are known. Where the bundle has no golden vectors it is one of noise, and right is what was
    first answered: this tells when the model changes, not whether it was the right one.

    Args:
        bundle: has the variant.
        variant: which.
        tolerance: how far answers may be off; None for the variant's own.

    Attributes:
        questions: the input tensor of each.
        golden: whether the right answers are the bundle's.

    Raises:
        BundleError: if the golden vectors are damaged.
    """

    def __init__(self, bundle: Bundle, variant: Variant, tolerance: float | None) -> None:
        self._outputs = variant.outputs
        self._tolerance = variant.golden_tolerance if tolerance is None else tolerance
        self._answers: dict[int, tuple[Array, ...]] = {}
        spec, inputs = variant.inputs[0], bundle.golden_inputs_of(variant)
        self.golden = inputs is not None and variant.golden is not None
        questions = [noise(spec.shape, spec.dtype)]
        if inputs is not None and variant.golden is not None:
            raw, expected = bundle.arrays(inputs), bundle.arrays(variant.golden)
            questions = [_encoded(bundle, variant, raw[str(number)]) for number in range(min(len(raw), _QUESTIONS))]
            for number in range(len(questions)):
                self._answers[number] = tuple(expected[f"{number}.{place}"] for place in range(len(self._outputs)))
        self.questions = [questions[number % len(questions)] for number in range(_QUESTIONS)]
        self._different = len(questions)

    def judge(self, number: int, outputs: tuple[Array, ...]) -> None:
        """See whether the question of this number was answered rightly.

        Raises:
            RemoteAnswerError: if not.
        """
        number %= self._different
        for spec, found, right in zip(self._outputs, outputs, self._answers.setdefault(number, outputs), strict=True):
            gap = difference(spec, found, right)
            if not gap <= self._tolerance:
                known = "what it should be" if self.golden else "its own first answer"
                raise RemoteAnswerError(
                    f"the server answers wrongly, as if it had another model: output {spec.name!r} differs by {gap:.3g} from {known}, "
                    f"{self._tolerance:g} is allowed"
                )


def check_finite(outputs: tuple[Array, ...], specs: tuple[TensorSpec, ...]) -> None:
    """See that all numbers are numbers.

    Raises:
        RemoteAnswerError: if one is NaN or infinite.
    """
    for spec, output in zip(specs, outputs, strict=True):
        if output.dtype.kind == "f" and not np.isfinite(output).all():
            raise RemoteAnswerError(f"the server answers NaN or infinity in output {spec.name!r}")


def _encoded(bundle: Bundle, variant: Variant, raw: Array) -> Array:
    spec = variant.inputs[0]
    tensor = np.zeros(spec.shape, spec.dtype)
    Encoder(bundle.contract_of(variant), spec).encode(raw, tensor)
    return tensor
