"""The page of the table: Markdown, as it stands in docs/formats.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from benchmarks.formats.models import ROWS, Model
from benchmarks.formats.row import Figure, Quantized, Row

_HEAD = ("model", "task", "format", "load", "check", "full-integer", "metric", "float", "int8", "TFLiteConverter")
_HEAD += ("agreement with float", "int8", "TFLiteConverter", "SQNR dB", "TFLiteConverter", "difference")

_ABOUT = """# Formats

Made by `python -m benchmarks.formats --write docs/formats.md`; do not edit. Real models from the package indexes, or, where those hold
none of a format or task, small ones that `examples/train` trains on real data, through `convert` without further options.

- **load**: what translated the model to a float .tflite, and the seconds that took, starting the framework included.
- **check**: the float .tflite against the source framework on the same inputs; the largest difference as a share of the output's
  largest magnitude.
- **full-integer**: whether ours is, and the steps of repair that were kept; repair saw the calibration samples only.
- **metric, agreement**: with 95 % intervals (Wilson's for shares, else the bootstrap's), on samples that were not calibrated on. Frames
  of one video, and crops of one photograph, resemble each other and those calibrated on: their intervals are too narrow, their figures
  flatter.
- **TFLiteConverter**: TensorFlow's own post-training quantization (its calibrator and its MLIR quantizer with default settings) of the
  same float .tflite on the same calibration samples.
- **SQNR**: of the outputs in real numbers, mean over the outputs.
- **difference**: of the metric, or else of the agreement, ours less TFLiteConverter's on the same samples, 95 %: "worse" stands where
  it is proven to be.
"""


def page(rows: Sequence[Row], machine: str) -> str:
    """The whole page."""
    models = {model.key: model for model in ROWS}
    lines = [_ABOUT, machine, "", _line(_HEAD)]
    lines.append(_line("---" for _ in _HEAD))
    lines += [_line(_cells(models[row.key], row)) for row in rows]
    return "\n".join([*lines, "", _verdict(rows), *_details(models, rows)]) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _cells(model: Model, row: Row) -> Iterator[str]:
    yield from (model.name, model.task, model.format)
    if row.ours is None or row.theirs is None:
        yield f"not loaded: {row.failed.partition('. ')[0]}"
        yield from [""] * (len(_HEAD) - 4)
        return
    yield f"{'as it is' if row.route == 'none' else row.route}, {row.load_s:.1f} s"
    yield f"{row.check:.0e}" if row.check else "the same"
    yield ", ".join(["yes", *row.ours.repair]) if row.ours.agreement else f"no: {row.ours.reason.partition('. ')[0]}"
    yield f"{row.metric}, n = {row.labelled}" if row.metric else ""
    yield from (_figure(row.before), _figure(row.ours.metric), _theirs(row.theirs, row.theirs.metric))
    yield f"{row.agreement}, n = {row.samples}"
    yield from (_figure(row.ours.agreement), _theirs(row.theirs, row.theirs.agreement))
    yield from (_decibels(row.ours), _decibels(row.theirs))
    yield _difference(row)


def _theirs(quantized: Quantized, figure: Figure | None) -> str:
    return " ".join(part for part in (_figure(figure), quantized.reason and "(not full-integer)") if part)


def _figure(figure: Figure | None) -> str:
    return "" if figure is None else f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def _decibels(quantized: Quantized) -> str:
    return "" if quantized.sqnr_db is None else f"{quantized.sqnr_db:.1f}"


def _difference(row: Row) -> str:
    if row.difference is None:
        return ""
    low, high = row.difference
    said = "worse, " if high < 0 else "better, " if low > 0 else ""
    return f"{said}{low:+.3f} to {high:+.3f}"


def _verdict(rows: Sequence[Row]) -> str:
    compared = [row for row in rows if row.difference is not None]
    worse = [row.key for row in compared if row.difference is not None and row.difference[1] < 0]
    pairs = [
        (row.ours.sqnr_db, row.theirs.sqnr_db)
        for row in compared
        if row.ours and row.theirs and row.ours.sqnr_db is not None and row.theirs.sqnr_db is not None
    ]
    louder = sum(ours > theirs for ours, theirs in pairs)
    said = f"Of {len(rows)} rows {len(compared)} compare. Ours is worse beyond the interval in {len(worse)}"
    return f"{said}{': ' if worse else ''}{', '.join(worse)}; better by SQNR in {louder} of {len(pairs)}."


def _details(models: Mapping[str, Model], rows: Sequence[Row]) -> Iterator[str]:
    yield "\n## Contracts and data\n\nHow each contract was found right, and what it was calibrated and measured on."
    yield "Where two are said to do equally well, behaviour does not decide.\n"
    for row in rows:
        model = models[row.key]
        contract = ", ".join(f"{key} {value}" for key, value in model.contract.items())
        yield f"- **{row.key}**: {contract}. Verified: {model.verified}."
        if row.data:
            yield f"  Calibrated on {row.data[0]}; measured on {row.data[1]}."
    sides = [
        (row.key, side, one) for row in rows for side, one in (("ours", row.ours), ("TFLiteConverter", row.theirs))
    ]
    reasons = [(key, side, one.reason) for key, side, one in sides if one and one.reason]
    failed = [(row.key, "loading", row.failed) for row in rows if row.failed]
    if reasons or failed:
        yield "\n## What could not be done\n"
        yield from (f"- **{key}**, {side}: {' '.join(reason.split())}" for key, side, reason in [*failed, *reasons])
