"""A model that came full-integer already is proven, given golden vectors and packed as it is: nothing of it is changed.

There is no float model to compare with, so what quantization cost is not known, and the report says so. Streaming models, which keep
variables from one run to the next, come this way: their training quantizes them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.config import Config
from converters.gather import board_runs, measure_latency, source_file_of, this_machine, tool_versions, unserved
from converters.load.probe import probe
from converters.pack import GoldenVectors, Packed, RawInputs, make_golden, raw_inputs
from converters.progress import Progress
from converters.quantize.quantize import Kind, QuantizedModel
from converters.report import Figures
from converters.report.accuracy import Evaluation
from converters.report.figures import Golden, Proof
from converters.report.numbers import count
from converters.targets.made import IntegerModel
from converters.verify.evaluate import Truth, alone, measure, read_truth
from converters.verify.prove import Proven, prove
from converters.verify.sides import Side
from edge_sdk.errors import ConfigError, ModelError
from edge_sdk.inputs import read_plain_file
from edge_sdk.tasks import AnomalySettings
from edge_sdk.tasks.settings import ThresholdRule
from edge_sdk.tensors import TensorSpec
from edge_sdk.tflite import ModelDescription, describe

_MAX_BYTES = 2 << 30  # a flatbuffer's offsets reach no further
_NARROW = ("int8", "uint8", "int16")
RECIPE = "as it came"
StepTimer = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True)
class ReadyModel:
    """A full-integer .tflite.

    Attributes:
        path: its file.
        content: of it.
        proven: what was found in it.
    """

    path: Path
    content: bytes
    proven: Proven

    @property
    def kind(self) -> Kind:
        """Of its variant."""
        return "tflite-int16x8" if self.proven.inputs[0].dtype == "int16" else "tflite-int8"

    @property
    def streaming(self) -> bool:
        """Whether it keeps variables from one run to the next."""
        return self.proven.variables > 0


@dataclass(frozen=True)
class ReadyMade:
    """What became of it.

    Attributes:
        figures: everything that was measured.
        packed: the variant.
        raw: raw inputs of the golden vectors.
        integer: what targets are made of.
    """

    figures: Figures
    packed: Packed
    raw: RawInputs
    integer: IntegerModel


def read_ready(path: Path) -> ReadyModel | None:
    """The model, if the file is a .tflite that is integer from input to output; None for anything else, which loading judges.

    Raises:
        ModelError: if it is such a model, and of a form that cannot be used.
    """
    if path.suffix.lower() != ".tflite" or not path.is_file():
        return None
    content = read_plain_file(path, ModelError, give="a .tflite model", most_bytes=_MAX_BYTES)
    try:
        model = describe(content)
    except ModelError:
        return None
    if not _came_quantized(model):
        return None
    try:
        proven = prove(content)
        if len(proven.inputs) != 1:
            raise ModelError(f"the model has {len(proven.inputs)} inputs; this version converts models of one input")
        probe(content)
    except ModelError as exc:
        raise ModelError(f"{path}: {exc}") from exc
    return ReadyModel(path, content, proven)


def refuse_settings(told: Config, name: str) -> None:
    """Raise ConfigError if something was asked for that only a float model allows."""
    why = f"{name} is full-integer already, and packed as it is: there is no float model"
    if told.max_drop is not None:
        raise ConfigError(
            f"--max-drop cannot be judged: {why} to compare with. Convert the float model that it was made from; or leave --max-drop out, "
            "and see its accuracy by --evaluate"
        )
    if told.data.data is not None or told.data.holdout is not None:
        raise ConfigError(
            f"--calibrate and --holdout are of no use: {why} to quantize or to compare with; leave them out"
        )
    if isinstance(told.task, AnomalySettings) and isinstance(told.task.threshold, ThresholdRule):
        raise ConfigError(
            f"[task] threshold is a rule, which takes it from the comparison with the float model; {why}. Give a number, such as 0.5"
        )
    if [recipe.name for recipe in told.recipes] != ["int8"]:
        raise ConfigError(f"--recipe is of no use: {why} to quantize; leave it out")


def make_ready(
    model: ReadyModel, told: Config, golden: str | None, boards: tuple[str, ...], step: StepTimer, progress: Progress
) -> ReadyMade:
    """Measure what can be measured of the model.

    Args:
        model: as ``read_ready`` gave it.
        told: what the conversion was told.
        golden: data of the user's choice for golden vectors, or None.
        boards: names of boards.
        step: times a step of this name.
        progress: called as the work goes on.

    Raises:
        ConfigError, ContractError: if a setting does not fit the model.
        DataError: if data cannot be read.
    """
    side = Side(model.content, told.contract, told.task, told.labels)
    with step("evaluate"):
        truth = _truth(told, side)
        evaluation = None if truth is None else _evaluate(model, told, truth, progress)
    with step("pack"):
        raw = raw_inputs(golden, side, real_range(side.inputs[0]))
        vectors = make_golden(raw.inputs, model.content, side)
    proof = Proof(
        full_integer=True,
        operators=model.proven.operators,
        inputs=model.proven.inputs,
        outputs=model.proven.outputs,
        notes=_notes(model),
    )
    figures = _figures(model, told, side, proof, evaluation, raw, vectors, boards)
    quantized = QuantizedModel(model.content, model.kind)
    integer = IntegerModel(told, quantized, side, (), raw.inputs, boards, truth=truth)
    return ReadyMade(figures, Packed(quantized, RECIPE, (), proof, vectors, told.task), raw, integer)


def real_range(spec: TensorSpec) -> tuple[float, float]:
    """Smallest and largest real number that a quantized tensor holds."""
    limits = np.iinfo(spec.dtype)
    low, high = spec.dequantize(np.array([limits.min, limits.max], spec.dtype)).tolist()
    return low, high


def _came_quantized(model: ModelDescription) -> bool:
    ends = [model.tensors[i] for i in (*model.inputs, *model.outputs)]
    quantized = bool(model.inputs) and all(t.dtype in _NARROW and t.scales for t in ends)
    return quantized and not model.float_tensors() and not any(op.custom for op in model.operators)


def _truth(told: Config, side: Side) -> Truth | None:
    wanted = told.evaluate
    if wanted.data is None:
        return None
    if side.stateful:
        raise ConfigError(
            "--evaluate judges the answer to one input; this model's builds up over many, in its variables or its features. Measure it on "
            "recordings as a device does, through edge_sdk.Loop, and leave --evaluate out"
        )
    return read_truth(
        wanted.data, told.contract, told.task, told.labels, wanted, inputs=side.inputs, outputs=side.outputs
    )


def _evaluate(model: ReadyModel, told: Config, truth: Truth, progress: Progress) -> Evaluation:
    (scores,) = measure(truth, [truth.side(model.content, told.contract, told.task, told.labels)], progress)
    return Evaluation(data=truth.data, samples=len(truth), metrics=alone(scores))


def _notes(model: ReadyModel) -> tuple[str, ...]:
    came = "The model came full-integer and is packed as it is, byte for byte."
    variables = count(model.proven.variables, "variable")
    kept = f"It is a streaming model: it keeps {variables} from one run to the next, until a reset."
    return (came, kept) if model.streaming else (came,)


def _figures(
    model: ReadyModel,
    told: Config,
    side: Side,
    proof: Proof,
    evaluation: Evaluation | None,
    raw: RawInputs,
    vectors: GoldenVectors,
    boards: tuple[str, ...],
) -> Figures:
    runs = board_runs(boards, (model.kind,))
    return Figures(
        name=model.path.stem,
        kind=model.kind,
        recipe=RECIPE,
        source=source_file_of(model.path, model.content),
        versions=tool_versions(),
        machine=this_machine(),
        int8_bytes=len(model.content),
        contract=told.contract,
        task=told.task,
        labels=told.labels,
        boards=runs,
        proof=proof,
        evaluation=evaluation,
        latency=measure_latency(None, side),
        golden=Golden(count=len(raw.inputs), origin=f"{raw.origin}; {vectors.said}"),
        warnings=unserved(runs),
    )
