"""The two sides of every comparison, float and int8, run as a device runs them: contract, engine with its default kernels, task."""

from __future__ import annotations

import math
from typing import Any

from converters.calibrate.samples import RawSample
from edge_sdk.bundle.manifest import Head
from edge_sdk.contract import Contract, Placement
from edge_sdk.encoder import Encoder
from edge_sdk.engines import Engine
from edge_sdk.engines.isolation import open_engine
from edge_sdk.errors import ContractError, DataError
from edge_sdk.heads import Assembler
from edge_sdk.tasks import (
    AnomalySettings,
    ClassifySettings,
    DetectSettings,
    KeywordSettings,
    PoseSettings,
    TaskSettings,
    make_task,
)
from edge_sdk.tasks.settings import ThresholdRule
from edge_sdk.tensors import Array, TensorSpec


class Side:
    """One model with its encoder and task.

    Args:
        content: a .tflite model, float or int8; it has run in a process of its own before. Or an open engine.
        contract: what is true of its input.
        task: how its outputs are decoded.
        labels: the names of the classes.
        heads: outputs that the device puts together from stored ones.
        inputs: what is known of the input tensors beyond what the engine tells, such as their layout.

    Attributes:
        inputs: its input tensors.
        stateful: what came before takes part in a result, by the model's variables or by the features.
        outputs: the model's outputs, heads put together.
        stored: its output tensors as the engine gives them.
        input_now: the input tensor of the last run, as stored; the next run overwrites it.
        outputs_now: the output tensors of the last run, as stored.
        placement_now: where the last image came to lie in the input tensor; None where the input is no image.

    Raises:
        ContractError, ConfigError: if contract or task do not fit the tensors.
        EngineError: if the engine refuses the model.
    """

    def __init__(
        self,
        content: bytes | Engine,
        contract: Contract,
        task: TaskSettings,
        labels: tuple[str, ...],
        heads: tuple[Head, ...] = (),
        inputs: tuple[TensorSpec, ...] = (),
    ) -> None:
        self._engine = content if isinstance(content, Engine) else open_engine("litert", content, isolation="none")
        self.description = self._engine.description
        self.contract = contract
        self.inputs, self.stored = inputs or self._engine.inputs, self._engine.outputs
        self._assembler = Assembler(heads, self.stored)
        self.outputs = self._assembler.outputs
        self._encoder = Encoder(contract, self.inputs[0])
        self.stateful = self._engine.stateful or self._encoder.stateful
        self._task = make_task(task, input_=self.inputs[0], outputs=self.outputs, labels=labels)
        self.input_now = self._engine.input_arrays[0]
        self.outputs_now: tuple[Array, ...] = ()
        self.placement_now: Placement | None = None

    def run(self, sample: RawSample) -> Any:
        """Encode, run and decode one sample; returns the task's value.

        Raises:
            DataError: if the sample does not fit the contract; the message names it.
        """
        try:
            self.placement_now = self._encoder.encode(sample.data, self.input_now, colour=sample.colour)
        except ContractError as exc:
            raise DataError(f"{sample.name}: {exc}") from exc
        self.outputs_now = self._engine.run()
        self._task.reset()  # samples need not follow each other
        return self._task.decode(self._assembler.assemble(self.outputs_now), self.placement_now, input_=self.input_now)

    def real_outputs(self) -> list[Array]:
        """The outputs of the last run as real numbers, float32, heads put together; the next run may overwrite them."""
        outputs = self._assembler.assemble(self.outputs_now)
        return [spec.dequantize(output) for spec, output in zip(self.outputs, outputs, strict=True)]

    def reset(self) -> None:
        """Begin a stream: the model's variables have their first values, features and task forget what they have seen."""
        self._engine.reset()
        self._encoder.reset()
        self._task.reset()

    def run_engine(self) -> None:
        """Run the model once more on the input it has, for timing."""
        self._engine.run()


def task_for_comparison(task: TaskSettings) -> TaskSettings:
    """The task as single samples are compared by.

    No threshold hides the best class, a score or a pose, the five best classes are given, and nothing is smoothed or tracked over samples
    that need not follow each other.
    """
    changes: dict[str, object] = {}
    match task:
        case ClassifySettings():
            changes = {"threshold": float("-inf"), "top_k": 5}
        case DetectSettings():
            changes = {"track": None}
        case KeywordSettings():
            changes = {"smoothing_ms": None, "smoothing_results": None}
        case AnomalySettings():
            changes = {"smoothing_results": 1}
            if isinstance(task.threshold, ThresholdRule):
                changes["threshold"] = math.inf  # it is being measured
        case PoseSettings():
            changes = {"threshold": float("-inf")}
    return task.model_copy(update=changes)
