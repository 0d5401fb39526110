"""What ``edge-sdk convert`` prints at its end: the verdict first, then about a dozen lines of figures."""

from __future__ import annotations

from converters.report import verdict
from converters.report.accuracy import Metric
from converters.report.edgetpu_text import edgetpu_rows
from converters.report.figures import BoardRun, Figures, OtherVariant
from converters.report.numbers import (
    between,
    change,
    count,
    decibels,
    loss_between,
    maybe,
    quantity,
    seconds,
    short,
    size,
)
from converters.report.target_figures import TargetFigures

Row = tuple[str, str]
_NAME = 40


def summary_lines(figures: Figures) -> list[str]:
    """The terminal's summary: plain text, one aligned column of names and one of figures."""
    rows = [
        *_model(figures),
        *_accuracy(figures),
        *_comparison(figures),
        *_repair(figures),
        *((f"also {variant.kind}", _variant(variant)) for variant in figures.variants),
        *(row for target in figures.targets for row in _target(target, verdict.scheme(figures))),
        *_edgetpu(figures),
        *_making(figures),
        *(("warning", text) for text in figures.warnings),
    ]
    width = max(len(name) for name, _ in rows)
    table = [f"  {name:<{width}}  {text}" for name, text in rows]
    return [_printable(line) for line in (verdict.headline(figures), f"  {verdict.reason(figures)}", "", *table)]


def _printable(text: str) -> str:
    """Without control characters: a tensor's name must not move the cursor or colour the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _clipped(name: str) -> str:
    """A name of at most 40 characters; of a path its end tells more than its beginning."""
    return name if len(name) <= _NAME else f"{name[: _NAME // 3]}…{name[-(_NAME - _NAME // 3 - 1) :]}"


def _model(figures: Figures) -> list[Row]:
    rows = [("model", figures.name), *_source(figures), ("size", _size(figures)), *_calibration(figures)]
    if figures.boards:
        rows.append(("boards", ", ".join(_board(board) for board in figures.boards)))
    return rows


def _size(figures: Figures) -> str:
    after = f"{size(figures.int8_bytes)} {verdict.scheme(figures)}"
    if figures.float_bytes is None:
        return after
    times = verdict.smaller(figures)
    return f"{size(figures.float_bytes)} float, {after}{f' ({times})' if times else ''}"


def _calibration(figures: Figures) -> list[Row]:
    calibration = figures.calibration
    if calibration is None:
        return [("calibration", "none: the model came quantized")]
    used = f"{calibration.samples:,} of {count(calibration.available, 'sample')}"
    return [("calibration", f"{used}: {calibration.data}"), *(("noticed", text) for text in calibration.notes)]


def _source(figures: Figures) -> list[Row]:
    source = figures.source
    rows = [] if source.route == "none" else [("translated", f"{source.format} by {source.route}")]
    if source.check is not None:
        check = source.check
        rows.append(
            (
                "numeric check",
                f"{check.difference:.1e} off {check.framework} on {count(check.inputs, 'input')}, {check.tolerance:g} allowed",
            )
        )
    return rows


def _board(board: BoardRun) -> str:
    return f"{board.name} ({board.variant or 'no variant'})"


def _accuracy(figures: Figures) -> list[Row]:
    passed = figures.gate is not None and figures.gate.verdict == "passed"  # any other gate is the reason at the top
    rows = [("gate", verdict.gate_sentence(figures.gate))] if figures.gate is not None and passed else []
    if figures.evaluation is None:
        return rows
    for metric in figures.evaluation.metrics:
        after = quantity(metric.int8_value, metric.unit)
        if metric.float_value is None:
            rows.append((metric.name, f"{after} {verdict.scheme(figures)}{_of_itself(metric)}"))
            continue
        before = quantity(metric.float_value, metric.unit)
        moved = f"{change(metric.float_value, metric.int8_value, metric.unit)}{_interval(metric)}"
        rows.append((metric.name, f"{before} float, {after} {verdict.scheme(figures)} ({moved})"))
    return rows


def _interval(metric: Metric) -> str:
    if metric.drop_interval is None:
        return ""
    bounds = loss_between(metric.drop_interval.low, metric.drop_interval.high, not metric.higher_is_better)
    return f"; drop of {bounds}, 95 % interval"


def _of_itself(metric: Metric) -> str:
    bounds = metric.int8_interval
    return "" if bounds is None else f" (95 % interval {between(bounds.low, bounds.high, metric.unit)})"


def _comparison(figures: Figures) -> list[Row]:
    if figures.parity is None:
        return [("compared with", "nothing: there is no float model, so what quantization cost is not known")]
    rows = [("compared on", verdict.compared_on(figures.parity))]
    rows += [(figure.name, quantity(figure.value, figure.unit)) for figure in figures.parity.agreement]
    for output in figures.parity.outputs:
        rows.append(
            (_clipped(f"output {output.name}"), f"{decibels(output.sqnr_db)}, {verdict.furthest(figures, output)}")
        )
    rows += [
        ("lowest layer", f"{decibels(layer.sqnr_db)}, {layer.operator}") for layer in verdict.worst_layers(figures, 1)
    ]
    return rows


def _repair(figures: Figures) -> list[Row]:
    if figures.repair is None:
        return []
    repair = figures.repair
    kept = sum(step.kept for step in repair.steps)
    way = f"{repair.value} from {maybe(repair.before)} to {maybe(repair.after)}"
    return [("repair", f"{way}; {kept} of {count(len(repair.steps), 'step')} kept. {repair.ended}")]


def _edgetpu(figures: Figures) -> list[Row]:
    if figures.edgetpu is None:
        return []
    rows = [(f"edge tpu: {name}", value) for name, value in edgetpu_rows(figures.edgetpu)]
    command = figures.edgetpu.command
    return [*rows, *([("to compile it", command)] if command else [])]


def _variant(variant: OtherVariant) -> str:
    parts = [size(variant.size_bytes)]
    if variant.metric is not None:
        parts.append(f"{variant.metric.name} {quantity(variant.metric.int8_value, variant.metric.unit)}")
    parts += [f"{each.name} {quantity(each.value, each.unit)}" for each in variant.agreement]
    parts.append(f"weakest output {decibels(variant.sqnr_db)}")
    return ", ".join([*parts, f"{short(variant.p50_ms)} ms here"])


def _target(target: TargetFigures, scheme: str) -> list[Row]:
    """A variant for an accelerator; its gate too, unless it passed."""
    parts = [size(target.size_bytes)]
    metrics = target.evaluation.metrics[:1] if target.evaluation is not None else ()
    parts += [f"{m.name} {quantity(m.int8_value, m.unit)}" for m in metrics]
    for other, agreement in (("float", target.with_float), (scheme, target.with_int8)):
        parts += [f"{each.name} with {other} {quantity(each.value, each.unit)}" for each in agreement[:1]]
    rows = [(f"also {target.variant}", ", ".join([*parts, f"weakest output {decibels(target.weakest_db)}"]))]
    if target.gate is not None and target.gate.verdict != "passed":
        rows.append(("its gate", verdict.gate_sentence(target.gate)))
    return rows


def _making(figures: Figures) -> list[Row]:
    rows = [("golden vectors", f"{figures.golden.count}, {figures.golden.origin}; they travel to every device")]
    if figures.latency is not None:
        latency = figures.latency
        before = "" if latency.float_p50_ms is None else f"{short(latency.float_p50_ms)} ms float, "
        here = f"{before}{short(latency.int8_p50_ms)} ms {verdict.scheme(figures)}"
        rows.append(("time here", f"{here}, {latency.engine}"))
    total = seconds(sum(step.seconds for step in figures.steps))
    memory = "" if figures.peak_memory_mb is None else f", {short(figures.peak_memory_mb)} MB at most"
    return [*rows, ("conversion", total + memory)]
