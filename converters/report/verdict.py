"""What a conversion comes to: one headline, and the few numbers that stand beside it."""

from __future__ import annotations

from dataclasses import dataclass

from converters.report.accuracy import Gate, Layer, OutputParity, Parity
from converters.report.figures import Figures
from converters.report.numbers import change, count, decibels, loss, loss_between, quantity, seconds, short, size
from converters.report.target_figures import TargetFigures

WITHOUT_FLOAT = "It came so, and is packed as it is: there is no float model to compare with, and what quantization cost is not known."


@dataclass(frozen=True)
class KeyNumber:
    """One number that a reader takes away: what it is, the number, and one line on it."""

    label: str
    value: str
    note: str


def scheme(figures: Figures) -> str:
    """The first variant's kind without its family, such as ``"int8"`` or ``"int16x8"``."""
    return figures.kind.removeprefix("tflite-")


def failed_target(figures: Figures) -> TargetFigures | None:
    """The first variant of a target that loses more than allowed."""
    return next((t for t in figures.targets if t.gate is not None and t.gate.verdict == "failed"), None)


def state(figures: Figures) -> str:
    """``"good"``, ``"open"`` where something is left to decide, or ``"bad"``."""
    if figures.gate is not None and figures.gate.verdict == "failed":
        return "bad"
    if failed_target(figures) is not None:
        return "bad"
    if not figures.proof.full_integer and not _float_by_recipe(figures):
        return "bad"
    return "open" if figures.gate is not None and figures.gate.verdict == "open" else "good"


def headline(figures: Figures) -> str:
    """Whether the model is proven, in a few words."""
    gate = figures.gate
    if gate is not None and gate.verdict == "failed":
        return "Refused: it loses more accuracy than allowed, and no bundle was written"
    if (failed := failed_target(figures)) is not None:
        return f"Refused: variant {failed.variant} loses more accuracy than allowed, and no bundle was written"
    said = _made(figures)
    if gate is None:
        return said
    if gate.verdict == "open":
        return f"{said}. Its accuracy is open: {count(gate.samples, 'sample')} do not decide"
    limit = f"{100 * gate.limit:g} {'% of float' if gate.relative else 'points' if gate.limit != 0.01 else 'point'}"
    return f"{said}, within {limit} of float"


def _made(figures: Figures) -> str:
    if figures.proof.full_integer:
        return f"Proven: full-integer {scheme(figures)}"
    if _float_by_recipe(figures):
        part = " in part" if figures.kind == "tflite-mixed" else ""
        return f"Made as asked: {scheme(figures)}, which computes in floating point{part}"
    return "Not proven: floating point is left in the model"


def _float_by_recipe(figures: Figures) -> bool:
    return figures.kind in ("tflite-float16", "tflite-dynamic", "tflite-mixed")


def reason(figures: Figures) -> str:
    """What the headline stands on, in a sentence."""
    operators = count(sum(figures.proof.operators.values()), "operator")
    if figures.gate is not None and figures.gate.verdict == "failed":
        return gate_sentence(figures.gate)
    if (failed := failed_target(figures)) is not None and failed.gate is not None:
        return f"Variant {failed.variant}: {gate_sentence(failed.gate)}"
    if figures.gate is not None and figures.gate.verdict != "passed":
        return gate_sentence(figures.gate)
    if _float_by_recipe(figures):
        floats = count(len(figures.proof.float_left), "floating-point tensor")
        return f"{floats} in {operators}, as the recipe says. A board that runs integers only refuses it."
    if figures.proof.full_integer:
        proven = f"Integer inputs and outputs, and no floating-point tensor in {operators}."
        return proven if figures.parity is not None else f"{proven} {WITHOUT_FLOAT}"
    left = figures.proof.float_left
    named = f"; the first: {left[0]}" if left else ""
    return f"In {operators}, {count(len(left), 'floating-point tensor')} left{named}."


def key_numbers(figures: Figures) -> list[KeyNumber]:
    """Size, agreement, the weakest output, and speed or time."""
    return [_size(figures), *_agreement(figures), *_weakest_output(figures), *_speed(figures)]


def smaller(figures: Figures) -> str:
    """How many times smaller than float it is; nothing where there is no float model."""
    if not figures.int8_bytes or figures.float_bytes is None:
        return ""
    return f"{figures.float_bytes / figures.int8_bytes:.1f} times smaller"


def worst_layers(figures: Figures, number: int) -> list[Layer]:
    """The layers with the lowest SQNR, the lowest first; layers without a number are not among them."""
    layers = () if figures.parity is None else figures.parity.layers
    measured = [(layer.sqnr_db, layer) for layer in layers if layer.sqnr_db is not None]
    return [layer for _, layer in sorted(measured, key=lambda pair: pair[0])[:number]]


def furthest(figures: Figures, output: OutputParity) -> str:
    """How far an output is off at most, in steps or in its own unit."""
    if in_steps(figures, output):
        return f"at most {output.max_steps:.1f} steps off"
    return f"at most {short(output.max_abs_difference)} off"


def in_steps(figures: Figures, output: OutputParity) -> bool:
    """Whether an output is stored in integers, so that its differences are counted in steps."""
    return output.name not in {spec.name for spec in figures.proof.outputs if not spec.quantized}


def lists_floats(figures: Figures) -> bool:
    """Whether single tensors that are left in floating point tell something: not where the recipe leaves all."""
    return bool(figures.proof.float_left) and figures.kind not in ("tflite-float16", "tflite-dynamic")


def outputs_text(target: TargetFigures) -> list[str]:
    """Every output of a target's variant, one sentence each."""
    told = []
    for o in target.outputs:
        steps = "" if o.max_steps == o.max_abs_difference else f", {short(o.max_steps)} steps"
        told.append(f"Output {o.name}: {decibels(o.sqnr_db)}, at most {short(o.max_abs_difference)} off{steps}.")
    return told


def compared_on(parity: Parity) -> str:
    """Which samples the comparison used, and what that means."""
    told = "not used in calibration" if parity.held_out else "the calibration samples: this flatters the model"
    return f"{count(parity.samples, 'sample')} ({told})"


def gate_sentence(gate: Gate) -> str:
    """What ``--max-drop`` came to, in one to three sentences."""
    bounds = ""
    if gate.low is not None and gate.high is not None:
        bounds = f" (95 % interval {loss_between(gate.low, gate.high, gate.relative)})"
    what = "rises by" if gate.relative else "drops by"
    measured = f"{gate.metric} {what} {loss(gate.drop, gate.relative)}{bounds} on {count(gate.samples, 'sample')}"
    said = f"Gate {gate.verdict}: {measured}; allowed are {loss(gate.limit, gate.relative)}."
    if gate.verdict == "open" and gate.samples_needed is None:
        said += " It is so near the limit that no sensible number of samples would decide."
    elif gate.verdict == "open":
        said += f" These samples do not decide; about {gate.samples_needed:,} would, if it stays as measured."
    if gate.basis == "agreement":
        bound = "; accuracy can drop at most by as much" if gate.metric.startswith("top-1") else ""
        said += (
            f" That is disagreement with the float model, not accuracy{bound}. Give --evaluate DATA to measure that."
        )
    return said


def _size(figures: Figures) -> KeyNumber:
    before = "" if figures.float_bytes is None else f"{size(figures.float_bytes)} → "
    return KeyNumber("Size", f"{before}{size(figures.int8_bytes)}", smaller(figures))


def _agreement(figures: Figures) -> list[KeyNumber]:
    if figures.evaluation is not None and figures.evaluation.metrics:
        metric = figures.evaluation.metrics[0]
        on = f"on {count(figures.evaluation.samples, 'sample')} of ground truth"
        if metric.float_value is None:
            return [KeyNumber(metric.name, quantity(metric.int8_value, metric.unit), on)]
        before = quantity(metric.float_value, metric.unit).removesuffix(metric.unit).rstrip()
        both = f"{before} → {quantity(metric.int8_value, metric.unit)}"
        moved = change(metric.float_value, metric.int8_value, metric.unit)
        return [KeyNumber(metric.name, both, f"{moved}, {on}")]
    if figures.parity is not None and figures.parity.agreement:
        first = figures.parity.agreement[0]
        return [KeyNumber(first.name, quantity(first.value, first.unit), f"on {compared_on(figures.parity)}")]
    return []


def _weakest_output(figures: Figures) -> list[KeyNumber]:
    outputs = () if figures.parity is None else figures.parity.outputs
    measured = [(output.sqnr_db, output) for output in outputs if output.sqnr_db is not None]
    if not measured:
        return []
    weakest = min(measured, key=lambda pair: pair[0])[1]
    note = f"SQNR of {weakest.name}; {furthest(figures, weakest)}"
    return [KeyNumber("Weakest output", decibels(weakest.sqnr_db), note)]


def _speed(figures: Figures) -> list[KeyNumber]:
    latency = figures.latency
    if latency is not None:
        before, after = latency.float_p50_ms, latency.int8_p50_ms
        times = f"{short(after)} ms" if before is None else f"{short(before)} → {short(after)} ms"
        slower = f"{scheme(figures)} is slower here; " if before is not None and after > before else ""
        return [KeyNumber("Time here", times, f"{slower}median of one inference on this machine, not on a board")]
    if not figures.steps:
        return []
    total = sum(step.seconds for step in figures.steps)
    return [KeyNumber("Conversion", seconds(total), count(len(figures.steps), "step"))]
