"""What is exported: one variant, what belongs to it, and what it must compute."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from edge_sdk import __version__
from edge_sdk.bundle import Bundle, Variant
from edge_sdk.bundle.golden import difference
from edge_sdk.contract import Contract
from edge_sdk.encoder import Encoder
from edge_sdk.errors import BundleError, ConfigError, ModelError
from edge_sdk.tasks.settings import TaskSettings
from edge_sdk.tensors import Array, TensorSpec
from edge_sdk.tflite import describe

RUNTIMES = {"tflite-": "litert", "onnx-": "onnxruntime"}  # by what the kind of a variant begins with
_KEEPING = {"VAR_HANDLE", "SVDF", "LSTM", "RNN"}  # they go on where the last run ended, and a server has many callers


@dataclass(frozen=True)
class Agreement:
    """How far the served form is from the variant on the golden vectors.

    Attributes:
        inputs: how many were compared.
        worst: the largest difference, in steps of a quantized output, or relative to the largest value of a float one; of several
            outputs that of the one which is nearest to what is allowed.
        tolerance: what is still right.
        unit: of both, ``"steps"`` or ``"relative"``.
    """

    inputs: int
    worst: float
    tolerance: float
    unit: str

    @property
    def share(self) -> float:
        """Of what is allowed."""
        return self.worst / self.tolerance if self.tolerance else math.inf if self.worst else 0.0

    def __str__(self) -> str:
        return (
            f"{self.inputs} golden inputs, worst difference {self.worst:.3g} {self.unit}, {self.tolerance:.3g} allowed"
        )


@dataclass(frozen=True)
class Subject:
    """A variant that a server can run.

    Attributes:
        name: of the model on the server.
        version: of the model on the server.
        source: the bundle's file, for messages.
        variant: as the manifest has it.
        content: the variant's file.
        runtime: ``"litert"`` or ``"onnxruntime"``.
        contract, task, labels: of the variant.
        golden: by input, then by tensor: the encoded input tensors.
        expected: by input, then by output.
    """

    name: str
    version: int
    source: str
    variant: Variant
    content: bytes
    runtime: str
    contract: Contract
    task: TaskSettings
    labels: tuple[str, ...]
    golden: tuple[tuple[Array, ...], ...]
    expected: tuple[tuple[Array, ...], ...]

    def contract_json(self) -> bytes:
        """``contract.json``: all that a caller needs to make the input and to read the outputs."""
        told = {
            "made_by": f"edge-sdk {__version__}",
            "model": self.name,
            "version": self.version,
            "variant": self.variant.id,
            "kind": self.variant.kind,
            "contract": self.contract.model_dump(mode="json"),
            "task": self.task.model_dump(mode="json"),
            "inputs": [asdict(spec) for spec in self.variant.inputs],
            "outputs": [asdict(spec) for spec in self.variant.outputs],
            "heads": [head.model_dump(mode="json") for head in self.variant.heads],
        }
        return json.dumps(told, indent=2).encode()

    def beside(self) -> dict[str, bytes]:
        """The files that stand beside every export: the contract, and the labels where there are any."""
        files = {"contract.json": self.contract_json()}
        return files | ({"labels.txt": "".join(f"{label}\n" for label in self.labels).encode()} if self.labels else {})

    def agreement(self, found: Sequence[Sequence[Array]], *, steps: float = 0.0, relative: float = 0.0) -> Agreement:
        """Compare the served form's outputs with the golden ones.

        Args:
            found: by input, then by output.
            steps, relative: what is allowed beyond the variant's own tolerance: of a quantized output so many steps, or ``relative`` of
                its range if that is more; of a float one ``relative`` of the largest value.

        Raises:
            ModelError: if they differ by more than is allowed.
        """
        made = max(
            (
                self._of_output(spec, output, wanted, _allowed(spec, steps, relative))
                for outputs, expected in zip(found, self.expected, strict=True)
                for spec, output, wanted in zip(self.variant.outputs, outputs, expected, strict=True)
            ),
            key=lambda one: one.share,
        )
        if made.worst > made.tolerance:
            raise ModelError(
                f"{self.source}: the export does not compute what variant {self.variant.id} does: {made}; nothing was written"
            )
        return made

    def _of_output(self, spec: TensorSpec, output: Array, wanted: Array, allowed: float) -> Agreement:
        if output.dtype.name != spec.dtype:
            raise ModelError(
                f"{self.source}: the export's output {spec} comes as {output.dtype.name}; nothing was written"
            )
        unit = "steps" if spec.quantized else "relative"
        tolerance = max(self.variant.golden_tolerance, allowed)
        return Agreement(len(self.golden), difference(spec, output, wanted), tolerance, unit)


def _allowed(spec: TensorSpec, steps: float, relative: float) -> float:
    """Of one output: a step of 16 bits is a 256th of one of 8."""
    return max(steps, relative * 256 ** np.dtype(spec.dtype).itemsize) if spec.quantized else relative


def read_subject(bundle: Bundle, id_: str | None, *, name: str | None, version: int, kinds: Sequence[str]) -> Subject:
    """The variant of this id, or the first that the server can run.

    Args:
        bundle: has it.
        id_: of the variant.
        name: of the model on the server; None for the bundle's.
        version: of the model on the server.
        kinds: what kinds of the server's begin with.

    Raises:
        BundleError: if there is no such variant, or it has no golden vectors to prove the export with.
        ConfigError: if the server cannot run it, or the name is none for a server.
        ModelError: if the model keeps state from one request to the next.
    """
    variant = bundle.variant(id_) if id_ else _first(bundle, kinds)
    if not variant.kind.startswith(tuple(kinds)):
        raise ConfigError(
            f"{bundle.path}: variant {variant.id} is of kind {variant.kind}, which this server cannot run; it takes those of "
            f"{' and '.join(kinds)}*, and the bundle has {', '.join(v.id for v in bundle.manifest.variants)}"
        )
    content = bundle.model_of(variant)
    runtime = next(runtime for start, runtime in RUNTIMES.items() if variant.kind.startswith(start))
    if runtime == "litert":
        _check_stateless(bundle, variant, content)
    golden, expected = _golden(bundle, variant)
    return Subject(
        name=_name(bundle.manifest.name if name is None else name),
        version=version,
        source=str(bundle.path),
        variant=variant,
        content=content,
        runtime=runtime,
        contract=bundle.contract_of(variant),
        task=bundle.task_of(variant),
        labels=bundle.labels(),
        golden=golden,
        expected=expected,
    )


def _first(bundle: Bundle, kinds: Sequence[str]) -> Variant:
    variants = bundle.manifest.variants
    return next((v for v in variants if v.kind.startswith(tuple(kinds)) and not v.segments), variants[0])


def _name(wanted: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", wanted):
        raise ConfigError(
            f"a model's name on a server is of letters, digits and . _ -, at most 100; found {wanted!r}: give one with --name"
        )
    return wanted


def _check_stateless(bundle: Bundle, variant: Variant, content: bytes) -> None:
    found = {operator.name for operator in describe(content).operators} & _KEEPING
    if found:
        raise ModelError(
            f"{bundle.path}: variant {variant.id} keeps state from one run to the next ({', '.join(sorted(found))}), and a server mixes "
            "the requests of all its callers; run it on the device"
        )


def _golden(bundle: Bundle, variant: Variant) -> tuple[tuple[tuple[Array, ...], ...], tuple[tuple[Array, ...], ...]]:
    name = bundle.golden_inputs_of(variant)
    if name is None or variant.golden is None:
        raise BundleError(
            f"{bundle.path}: variant {variant.id} has no golden vectors, so that its export could not be proven; convert the model again"
        )
    if len(variant.inputs) != 1:
        raise BundleError(
            f"{bundle.path}: variant {variant.id} has {len(variant.inputs)} inputs; golden vectors have one"
        )
    inputs, outputs = bundle.arrays(name), bundle.arrays(variant.golden)
    encoder = Encoder(bundle.contract_of(variant), variant.inputs[0])
    encoded, expected = [], []
    try:
        for index in range(len(inputs)):
            tensor = np.zeros(variant.inputs[0].shape, variant.inputs[0].dtype)
            encoder.reset()
            encoder.encode(inputs[str(index)], tensor)
            encoded.append((tensor,))
            expected.append(tuple(outputs[f"{index}.{number}"] for number in range(len(variant.outputs))))
    except KeyError as exc:
        raise BundleError(f"{bundle.path}: the golden vectors of variant {variant.id} lack entry {exc}") from exc
    return tuple(encoded), tuple(expected)
