"""What the Edge TPU will make of a model: planned on the workstation, kept in the bundle, read by the scheduler on the device."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Host = Literal["dev-board", "usb3", "usb2", "pcie"]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PlannedOperator(_Strict):
    """One operator of the model.

    Attributes:
        index: its place in the model, in the order of execution.
        name: such as ``CONV_2D``.
        output: the name of the tensor that it makes.
        mapped: whether it runs on the Edge TPU.
        rule: the id of the rule that decided, such as ``after-cpu``.
        why: one sentence for people; empty where it is mapped.
        macs: multiply-accumulate operations of one run.
    """

    index: int = Field(ge=0)
    name: str
    output: str
    mapped: bool
    rule: str
    why: str = ""
    macs: int = Field(default=0, ge=0)


class Estimate(_Strict):
    """An expected time, in milliseconds for one inference, and the range that holds eight of ten known models' errors.

    Attributes:
        extrapolated: nothing was fitted on this host: derived from others, and the range is as wide once more.
    """

    ms: float = Field(ge=0)
    low_ms: float = Field(ge=0)
    high_ms: float = Field(ge=0)
    extrapolated: bool = False


class Plan(_Strict):
    """What is expected of a model on the Edge TPU.

    Attributes:
        model_sha256: of the .tflite file that was planned.
        compiler, runtime: versions whose rules were applied.
        operators: all, in the order of execution.
        partitions: runs of mapped operators; the compiler makes one custom operator of the first.
        cut: the index of the first operator that stays on the processor behind mapped ones; None where none does.
        weight_bytes: raw constants of the mapped operators.
        cached_bytes: parameters kept on the chip; streamed_bytes: sent from the host at every inference.
        input_bytes, output_bytes: tensors sent to and from the device, an inference.
        tpu: expected time with the Edge TPU, by host, what stays on the processor included.
        cpu: expected time on the processor alone, by host; none where it is not known.
    """

    model_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    compiler: str
    runtime: str
    operators: tuple[PlannedOperator, ...]
    partitions: int = Field(ge=0)
    cut: int | None = None
    weight_bytes: int = Field(ge=0)
    cached_bytes: int = Field(ge=0)
    streamed_bytes: int = Field(ge=0)
    input_bytes: int = Field(ge=0)
    output_bytes: int = Field(ge=0)
    tpu: dict[Host, Estimate] = {}
    cpu: dict[Host, Estimate] = {}

    @property
    def mapped(self) -> tuple[PlannedOperator, ...]:
        """Those that run on the Edge TPU."""
        return tuple(operator for operator in self.operators if operator.mapped)
