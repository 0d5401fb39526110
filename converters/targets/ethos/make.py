"""The variant of kind ``ethos-u``. It cannot run here: what is proven is what stands in the compiled file."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from boards.profile import Computer, EthosU
from converters.pack import make_golden
from converters.progress import Progress
from converters.report.numbers import count
from converters.report.target_figures import TargetFigures
from converters.targets.ethos.vela import Compiled, run_vela
from converters.targets.made import IntegerModel, TargetVariant
from edge_sdk.bundle import Variant
from edge_sdk.bundle.golden import golden_outputs
from edge_sdk.errors import ModelError
from edge_sdk.profiles import our_boards
from edge_sdk.tensors import TensorSpec
from edge_sdk.tflite import ModelDescription, describe

KIND = "ethos-u"
OPERATOR = "ethos-u"  # what vela puts where the NPU runs the model


@dataclass(frozen=True)
class Mapping:
    """Where the operators of a model run.

    Attributes:
        operators: of the model, in all.
        left: those that stay on the processor, by kind.
        inputs, outputs: of the compiled model, in its order.
    """

    operators: int
    left: dict[str, int]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def make(integer: IntegerModel, kinds: frozenset[str], progress: Progress) -> tuple[TargetVariant, ...]:
    """The variant for the NPU of the boards.

    Raises:
        MissingPackageError: if vela is not installed.
        ModelError: if vela fails, puts nothing on the NPU, or changes an input or output; or the boards have different NPUs.
    """
    if integer.model.kind not in ("tflite-int8", "tflite-int16x8"):
        raise ModelError(f"it is made of a full-integer model, and the first variant is of kind {integer.model.kind}")
    npu = _npu(integer.boards)
    progress("vela", 0, 1)
    compiled = run_vela(integer.model.content, npu)
    progress("vela", 1, 1)
    mapping = find_mapping(integer.model.content, compiled)
    golden = make_golden(integer.golden, integer.model.content, integer.side)
    places = [[spec.name for spec in integer.side.stored].index(spec.name) for spec in mapping.outputs]
    variant = Variant(
        id=KIND,
        kind=KIND,
        file=f"variants/{KIND}.tflite",
        inputs=mapping.inputs,
        outputs=mapping.outputs,
        operators=_kinds(describe(compiled.content)),
        golden=f"golden/{KIND}.npz",
        golden_tolerance=golden.tolerance,
        heads=integer.heads,
    )
    figures = TargetFigures(
        target="ethos",
        variant=KIND,
        kind=KIND,
        size_bytes=len(compiled.content),
        engine="not run: there is no Ethos-U here",
        notes=_notes(mapping, compiled, npu),
    )
    outputs = [tuple(stored[place] for place in places) for stored in golden.outputs]
    return (
        TargetVariant(
            variant, {variant.file: compiled.content, f"golden/{KIND}.npz": golden_outputs(outputs)}, figures
        ),
    )


def find_mapping(original: bytes, compiled: Compiled) -> Mapping:
    """What of a model runs on the NPU, read in the compiled file: vela ends well also where it is nothing.

    Raises:
        ModelError: if it is nothing, or an input or output is not as it was.
    """
    before, after = describe(original), describe(compiled.content)
    left = {kind: number for kind, number in _kinds(after).items() if kind != OPERATOR}
    if OPERATOR not in _kinds(after):
        why = "; ".join(f"{kind}: {reason}" for kind, reason in compiled.refused.items()) or "it does not say why"
        raise ModelError(f"vela {compiled.version} puts nothing on the NPU: {why}")
    return Mapping(
        operators=len(before.operators),
        left=left,
        inputs=_kept("input", _specs(before, before.inputs), _specs(after, after.inputs)),
        outputs=_kept("output", _specs(before, before.outputs), _specs(after, after.outputs)),
    )


def _npu(names: tuple[str, ...]) -> EthosU:
    """What the boards with an Ethos-U have.

    Raises:
        ModelError: if they have different ones.
    """
    with our_boards():
        import boards
    profiles = [boards.load(name) for name in names]
    found = {board.name: board.ethos_u for board in profiles if isinstance(board, Computer) and board.ethos_u}
    first, *others = found.items()
    for name, npu in others:
        if npu != first[1]:
            raise ModelError(f"{first[0]} and {name} have different NPUs; convert a bundle for each")
    return first[1]


def _specs(model: ModelDescription, places: tuple[int, ...]) -> list[TensorSpec]:
    tensors = [model.tensors[place] for place in places]
    return [
        TensorSpec(t.name, t.shape, t.dtype, *((t.scales[0], t.zero_points[0]) if t.scales else ())) for t in tensors
    ]


def _kept(kind: str, before: list[TensorSpec], after: list[TensorSpec]) -> tuple[TensorSpec, ...]:
    if sorted(before, key=str) != sorted(after, key=str):
        raise ModelError(
            f"vela changed an {kind}: it was {', '.join(map(str, before))}, it is {', '.join(map(str, after))}"
        )
    return tuple(after)


def _kinds(model: ModelDescription) -> dict[str, int]:
    return dict(sorted(Counter(operator.name for operator in model.operators).items()))


def _notes(mapping: Mapping, compiled: Compiled, npu: EthosU) -> tuple[str, ...]:
    left, estimate = sum(mapping.left.values()), compiled.estimate
    where = f"vela {compiled.version} puts {mapping.operators - left} of {count(mapping.operators, 'operator')} on the {npu.accelerator}"
    stay = ", ".join(f"{number} {kind}{_reason(kind, compiled)}" for kind, number in mapping.left.items())
    return (
        f"{where}; on the processor stay {stay}." if stay else f"{where}.",
        f"By vela's estimate, which is no measurement, an inference takes {estimate.inference_ms:.2f} ms ({estimate.cycles:,} cycles "
        f"at {estimate.clock_mhz:g} MHz), {estimate.sram_bytes / 1024:.0f} KiB of SRAM and {estimate.dram_bytes / 1024:.0f} KiB of DRAM; "
        f"{npu.system}, {npu.memory}.",
        "It could not be run here. Its inputs and outputs are those of the int8 variant, and so are its golden vectors: the device shows "
        "whether it computes the same.",
    )


def _reason(kind: str, compiled: Compiled) -> str:
    return f" ({compiled.refused[kind].strip()})" if kind in compiled.refused else ""
