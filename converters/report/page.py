"""The HTML page: figures laid out by ``report.html.j2``, every name in them escaped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from converters.report import numbers, verdict
from converters.report.accuracy import DetectParity
from converters.report.edgetpu_text import edgetpu_rows
from converters.report.figures import Figures
from edge_sdk.contract import Contract
from edge_sdk.errors import needs
from edge_sdk.tensors import TensorSpec

if TYPE_CHECKING:
    from markupsafe import Markup

WORST_SHOWN = 5
_FILTERS = (
    "short",
    "size",
    "decibels",
    "quantity",
    "change",
    "loss",
    "loss_between",
    "between",
    "maybe",
    "shape",
    "count",
)


@dataclass(frozen=True)
class ByteExample:
    """What becomes of one byte of a raw image: real and stored numbers, one a channel where they differ."""

    byte: int
    real: tuple[str, ...]
    stored: tuple[str, ...]


def render_html(figures: Figures) -> str:
    """The report as one page that needs nothing else: no script, no request, light and dark, printable.

    Raises:
        MissingPackageError: if jinja2 is not installed.
    """
    with needs("jinja2", for_="writing the report", extra="convert"):
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = FileSystemLoader(Path(__file__).parent)
    # autoescape is for every template: names in a model file are somebody else's text
    environment = Environment(
        loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    for name in _FILTERS:
        environment.filters[name] = getattr(numbers, name)
    steps = figures.repair.steps if figures.repair is not None else ()
    return environment.get_template("report.html.j2").render(
        f=figures,
        verdict=verdict,
        plots=_plots(figures),
        worst=verdict.worst_layers(figures, WORST_SHOWN),
        settings=list(flat_settings(figures.task.model_dump(mode="json"))),
        signal_settings=list(flat_settings(_signal(figures.contract))),
        scheme=verdict.scheme(figures),
        kept_steps=[step for step in steps if step.kept],
        other_steps=[step for step in steps if not step.kept],
        byte_examples=byte_examples(figures.contract, figures.proof.inputs),
        edgetpu_rows=edgetpu_rows(figures.edgetpu) if figures.edgetpu is not None else (),
    )


def _signal(contract: Contract) -> dict[str, object]:
    """What the contract says of windows and features; nothing where the input is none."""
    return contract.model_dump(mode="json", include={"window", "features"}, exclude_none=True)


def byte_examples(contract: Contract, inputs: tuple[TensorSpec, ...]) -> list[ByteExample]:
    """What the bytes 0, 128 and 255 become on their way into the input tensor; nothing for data that is no image."""
    if contract.input != "image" or not inputs:
        return []
    table = contract.real_of_bytes()
    stored = inputs[0].quantize(table)
    examples = []
    for byte in (0, 128, 255):
        pairs = [(f"{r:.3g}", f"{s:.3g}") for r, s in zip(table[byte], stored[byte], strict=True)]
        differing = pairs if len(set(pairs)) > 1 else pairs[:1]
        examples.append(ByteExample(byte, tuple(p[0] for p in differing), tuple(p[1] for p in differing)))
    return examples


def flat_settings(settings: dict[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as pairs of a dotted key and its value's text."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from flat_settings(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield prefix + key, ", ".join(str(item) for item in value)
        else:
            yield prefix + key, str(value).lower() if isinstance(value, bool) else str(value)


def _plots(figures: Figures) -> dict[str, Markup | list[Markup] | None]:
    from converters.report import gate_plot, graph_plot, plots, repair_plot
    from converters.report.plots import Bar

    before = figures.float_bytes
    sizes = [
        *([] if before is None else [Bar("float", before, f"{before:,} bytes", "float")]),
        Bar(verdict.scheme(figures), figures.int8_bytes, f"{figures.int8_bytes:,} bytes"),
        *(Bar(v.kind.removeprefix("tflite-"), v.size_bytes, f"{v.size_bytes:,} bytes") for v in figures.variants),
    ]
    steps = [Bar(step.name, step.seconds, numbers.seconds(step.seconds)) for step in figures.steps]
    most_first = sorted(figures.proof.operators.items(), key=lambda item: -item[1])
    parity = figures.parity
    layers, outputs = ((), ()) if parity is None else (parity.layers, parity.outputs)
    made: dict[str, Markup | list[Markup] | None] = {
        "size": plots.bars("Size of the float model and of every variant", sizes),
        "layers": plots.layers(layers, [output.name for output in outputs]),
        "histograms": [plots.histogram(shown) for shown in figures.histograms],
        "steps": plots.bars("Time of every step", steps),
        "operators": plots.bars(
            f"Operators of the {verdict.scheme(figures)} model", [Bar(name, n, f"{n:,}") for name, n in most_first]
        ),
    }
    if parity is not None and parity.detect is not None:
        made |= _detect_plots(parity.detect, verdict.scheme(figures))
    if figures.gate is not None:
        made["gate"] = gate_plot.gate(figures.gate)
    if figures.edgetpu is not None:
        made["edgetpu"] = graph_plot.graph(figures.edgetpu)
    if figures.repair is not None:
        made["repair"] = repair_plot.repair(figures.repair)
    return made


def _detect_plots(detect: DetectParity, scheme: str) -> dict[str, Markup]:
    from converters.report import plots
    from converters.report.plots import Bar

    frames = [
        Bar("float", detect.frames_float, f"{detect.frames_float:,} of {detect.frames:,}", "float"),
        Bar(scheme, detect.frames_int8, f"{detect.frames_int8:,} of {detect.frames:,}"),
    ]
    made = {"frames": plots.bars("Frames with at least one object", frames)}
    if detect.ious and detect.mean_iou is not None:
        made["boxes"] = plots.box_agreement(detect.ious, detect.mean_iou)
    return made
