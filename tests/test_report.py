"""The report shows every figure, escapes every name, needs nothing from outside and loses no file."""

from __future__ import annotations

import base64
import json
import math
import re
import struct
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from converters.report import Figures, numbers, plots, render_html, summary_lines, write_report
from converters.report.accuracy import Layer
from converters.report.figures import Histogram, Proof
from edge_sdk.errors import OutputError

HOSTILE = "\"><script>alert('x')</script>"
VOID = {"meta", "img", "br", "link", "input", "hr"}


def png(shade: int) -> str:
    """A gray PNG of one pixel, as base64 text."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes([0, shade]))
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return base64.b64encode(content).decode()


def tensor(name: str, shape: tuple[int, ...], scale: float, zero_point: int) -> dict[str, Any]:
    return {"name": name, "shape": shape, "dtype": "int8", "scale": scale, "zero_point": zero_point}


def layer(index: int, sqnr_db: float) -> dict[str, Any]:
    return {
        "tensor": f"conv2d_{index}/Relu",
        "operator": f"CONV_2D (operator {index})",
        "sqnr_db": sqnr_db,
        "float_min": -1.5 - index,
        "float_max": 2.25 + index,
        "scale": 0.0137 + index / 100,
        "zero_point": -index,
    }


def detector() -> dict[str, Any]:
    """Figures of a face detector, with every optional part filled."""
    anchors = {"strides": [8, 16], "fixed_size": True}
    return {
        "name": "blazeface",
        "source": {"name": "face.tflite", "format": "float16 .tflite", "sha256": "0a" * 32, "size_bytes": 229746},
        "versions": {"edge-sdk": "0.1.0", "numpy": "2.4.6"},
        "machine": "x86_64, 2 processors",
        "float_bytes": 411220,
        "int8_bytes": 183456,
        "steps": [{"name": "calibrate", "seconds": 1.25}, {"name": "quantize", "seconds": 0.35}],
        "peak_memory_mb": 187.5,
        "contract": {"input": "image", "colour": "rgb", "range": (-1, 1), "resize": "letterbox", "pad": 7},
        "task": {"kind": "detect", "boxes": "regressors", "scores": "classificators", "anchors": anchors},
        "labels": ["face", "mask"],
        "boards": [{"name": "raspberry-pi-5", "variant": "tflite-int8", "note": "NEON"}],
        "calibration": {
            "data": "frames 0 to 59",
            "samples": 55,
            "available": 60,
            "ranges": "true minimum and maximum",
            "notes": ["all of one person"],
        },
        "proof": {
            "full_integer": True,
            "operators": {"CONV_2D": 21, "ADD": 16},
            "inputs": [tensor("image", (1, 128, 96, 3), 0.00784, -1)],
            "outputs": [tensor("regressors", (1, 896, 16), 0.73, 11), tensor("classificators", (1, 896, 1), 0.61, 99)],
            "rewrites": ["PRELU (operator 12)"],
            "float16_weights_folded": 85,
            "notes": ["a signature was added"],
        },
        "parity": {
            "data": "frames 60 to 119",
            "held_out": True,
            "samples": 58,
            "layer_samples": 8,
            "layers": [
                layer(0, 44.0),
                layer(1, 31.5),
                layer(2, 13.75),
                layer(3, math.inf),
                {**layer(4, 28.5), "tensor": "classificators"},
            ],
            "outputs": [
                {"name": "regressors", "sqnr_db": 33.25, "max_abs_difference": 2.5, "max_steps": 3.5},
                {"name": "classificators", "sqnr_db": 28.5, "max_abs_difference": 4.75, "max_steps": 7.5},
            ],
            "agreement": [{"name": "found in both", "value": 98.25, "unit": "%", "explanation": "of the frames"}],
            "detect": {"frames": 57, "frames_float": 54, "frames_int8": 53, "mean_iou": 0.945, "ious": [0.91, 0.98]},
        },
        "evaluation": {
            "data": "val.json",
            "samples": 41,
            "metrics": [{"name": "AP50", "float_value": 0.815, "int8_value": 0.795, "unit": "area"}],
        },
        "targets": [
            {
                "target": "jetson",
                "variant": "onnx-qdq",
                "kind": "onnx-qdq",
                "size_bytes": 702345,
                "engine": "onnxruntime 1.32.0, CPU",
                "outputs": [{"name": "regressors", "sqnr_db": 31.25, "max_abs_difference": 2.25, "max_steps": 4.5}],
                "with_float": [{"name": "found again", "value": 97.25, "unit": "%", "explanation": "of all frames"}],
                "with_int8": [{"name": "overlap", "value": 96.25, "unit": "%"}],
                "evaluation": {
                    "data": "val.json",
                    "samples": 43,
                    "metrics": [{"name": "AP50", "float_value": 0.825, "int8_value": 0.775, "unit": "area"}],
                },
                "gate": {
                    "metric": "AP50",
                    "limit": 0.07,
                    "drop": 0.05,
                    "low": 0.01,
                    "high": 0.06,
                    "verdict": "passed",
                    "samples": 43,
                },
                "repair": {
                    "value": "SQNR, dB",
                    "goal": 33.5,
                    "before": 21.5,
                    "after": 31.5,
                    "reached": False,
                    "ended": "Nothing is left to try.",
                    "steps": [
                        {
                            "action": "correct biases",
                            "target": "all",
                            "before": 22.5,
                            "after": 30.5,
                            "kept": True,
                            "note": "twice",
                        }
                    ],
                },
                "notes": ["every zero point is 0"],
            }
        ],
        "latency": {"engine": "ai_edge_litert, 1 thread", "runs": 50, "float_p50_ms": 1.93, "int8_p50_ms": 0.87},
        "golden": {"count": 2, "origin": "synthetic, seed 0"},
        "warnings": ["only 55 samples were used"],
        "sample_pictures": [{"caption": "frame 60", "raw": png(1), "seen": png(2)}],
        "histograms": [
            {
                "tensor": "conv2d_2/Relu",
                "edges": [-1.5, 0.5, 2.5],
                "float_counts": [30, 12],
                "int8_counts": [28, 14],
            }
        ],
    }


def figures(**changed: Any) -> Figures:
    return Figures.model_validate({**detector(), **changed})


def normalised_classifier() -> Figures:
    """Another form of the same: mean and std, no optional part, not proven."""
    proof = {**detector()["proof"], "full_integer": False, "float_left": ["Elu:0 by ELU (operator 4)"]}
    contract = {
        "input": "image",
        "colour": "bgr",
        "mean": [103.5, 116.5, 123.5],
        "std": [57.5, 58.5, 59.5],
        "resize": "crop",
    }
    return Figures.model_validate(
        {
            **{k: v for k, v in detector().items() if k not in ("evaluation", "latency", "boards", "sample_pictures")},
            "proof": proof,
            "contract": contract,
            "task": {"kind": "classify"},
            "labels": [],
            "steps": [],
            "peak_memory_mb": None,
            "machine": "",
            "parity": {"data": "the same", "held_out": False, "samples": 9, "layer_samples": 0},
            "histograms": [],
            "warnings": [],
        }
    )


class Reader(HTMLParser):
    """Checks that elements nest, and keeps text and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open}"
        self.open.pop()
        if tag in ("td", "th", "p", "dt", "dd", "li"):
            self.text += " "

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path


def other(value: Any, path: tuple[str | int, ...]) -> Any:
    """Another valid value in the place of this one."""
    by_name: dict[str | int, Any] = {
        "colour": "bgr",
        "resize": "crop",
        "sha256": "0b" * 32,
        "dtype": "int16",
        "verdict": "open",
        "raw": png(3),
        "seen": png(4),
    }
    if path[-1] in by_name:
        return by_name[path[-1]]
    if path[-1] == "mean_iou" or "ious" in path:
        return 0.75
    if value is None or isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value * 1.0625 + 0.125
    return f"{value}x"


def with_other(content: Any, path: tuple[str | int, ...]) -> Any:
    """A copy of nested ``content`` with another value at ``path``."""
    copy = json.loads(json.dumps(content))
    holder = copy
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = other(holder[path[-1]], path)
    return copy


CONTENT = json.loads(Figures.model_validate(detector()).model_dump_json(exclude_defaults=True))
LEAVES = [path for path in leaves(CONTENT) if path[-1] not in ("kind", "input")]


@pytest.fixture(scope="module")
def page() -> str:
    return render_html(Figures.model_validate(CONTENT))


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: ".".join(map(str, path)))
def test_every_figure_is_on_the_page(path: tuple[str | int, ...], page: str) -> None:
    assert render_html(Figures.model_validate(with_other(CONTENT, path))) != page


@pytest.mark.parametrize("shown", [figures(), normalised_classifier()], ids=["detector", "classifier"])
def test_the_page_parses_and_needs_nothing_else(shown: Figures) -> None:
    reader = read(render_html(shown))
    assert "script" not in reader.tags and "link" not in reader.tags
    for tag, name, value in reader.attributes:
        if name in ("src", "href"):
            assert value.startswith(("data:image/png;base64,", "#")), f"<{tag} {name}={value!r}> loads from outside"
        assert not name.startswith("on")
    pictures = [value for tag, name, value in reader.attributes if (tag, name) == ("img", "alt")]
    assert len(pictures) == 2 * len(shown.sample_pictures) and all(pictures)
    named = [value for tag, name, value in reader.attributes if (tag, name) == ("svg", "aria-label")]
    assert len(named) == reader.tags.count("svg") - 1  # the sign beside the headline is decoration
    ids = [value for _, name, value in reader.attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_the_verdict_comes_first() -> None:
    text = read(render_html(figures())).text
    assert "Proven: full-integer int8" in text
    assert text.index("Proven: full-integer int8") < text.index("411 kB → 183 kB") < text.index("Layer by layer")
    failed = read(render_html(normalised_classifier())).text
    assert "Proven:" not in failed
    assert "Not proven: floating point is left in the model" in failed
    assert "Elu:0 by ELU (operator 4)" in failed


def test_numbers_are_given_as_people_read_them() -> None:
    text = " ".join(read(render_html(figures())).text.split())
    for said in (
        "2.2 times smaller",
        "98.25 %",
        "13.8 dB",
        "53 of 57",
        "-0.0200 area",
        "1x128x96x3",
        "frames 60 to 119",
    ):
        assert said in text
    assert "58 samples (not used in calibration)" in text
    assert "this flatters the model" in read(render_html(normalised_classifier())).text


def test_the_contract_is_shown_on_bytes() -> None:
    text = " ".join(read(render_html(figures())).text.split())
    assert "0 -1 -128" in text and "255 1 127" in text  # -1 / 0.00784 - 1 is below -128: clipped
    text = " ".join(read(render_html(normalised_classifier())).text.split())
    assert "-1.8, -1.99, -2.08" in text


def test_hostile_names_are_text() -> None:
    content = json.loads(json.dumps(CONTENT))
    holders = [
        (content, "name"),
        (content["source"], "name"),
        (content["parity"]["layers"][2], "tensor"),
        (content["parity"]["layers"][2], "operator"),
        (content["parity"]["outputs"][0], "name"),
        (content["histograms"][0], "tensor"),
        (content["steps"][0], "name"),
        (content["sample_pictures"][0], "caption"),
        (content["warnings"], 0),
    ]
    for holder, key in holders:
        holder[key] = HOSTILE
    content["proof"]["operators"][HOSTILE] = 3
    page = render_html(Figures.model_validate(content))
    assert "<script" not in page
    reader = read(page)
    assert reader.text.count(HOSTILE) >= len(holders)
    assert not [name for _, name, _ in reader.attributes if name.startswith("on")]


def test_a_name_does_not_command_the_terminal() -> None:
    lines = summary_lines(figures(name="face\x1b[2J\nProven", warnings=["tab\there"]))
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("number", [0, 1, 700])
def test_any_number_of_layers_is_plotted_inside_the_picture(number: int) -> None:
    rows = [layer(i, 40 - 75 * (i == 3)) for i in range(number)]
    shown = figures(parity={**detector()["parity"], "layers": rows})
    assert ("Layer by layer" in render_html(shown)) == (number > 0)
    drawn = plots.layers(shown.parity.layers, ["conv2d_0/Relu"])
    _, _, width, height = map(float, re.findall(r'viewBox="([^"]+)"', drawn)[0].split())
    marks = re.findall(r'<circle cx="([^"]+)" cy="([^"]+)"', drawn) + re.findall(
        r'<text x="([^"]+)" y="([^"]+)"', drawn
    )
    assert len(marks) >= number
    assert all(0 <= float(x) <= width and 0 <= float(y) <= height for x, y in marks)


def test_low_and_high_values_lie_where_the_axis_says() -> None:
    rows = figures(parity={**detector()["parity"], "layers": [layer(0, 10), layer(1, 20), layer(2, 30)]}).parity.layers
    heights = [float(y) for y in re.findall(r'<circle cx="[^"]+" cy="([^"]+)"', plots.layers(rows, []))][:3]
    grid = [float(y) for y in re.findall(r'<line x1="[^"]+" y1="([^"]+)"', plots.layers(rows, []))]
    assert heights == grid[1:4]  # at 10, 20 and 30 dB


def test_layers_without_a_number_are_drawn_and_are_not_the_lowest() -> None:
    parity = {**detector()["parity"], "layers": [layer(0, math.nan), layer(1, math.inf)]}
    shown = figures(parity=parity)
    assert [item.sqnr_db for item in shown.parity.layers] == [None, None]
    assert read(render_html(shown)).text.count("CONV_2D (operator 0)") >= 2
    assert not any("lowest" in line for line in summary_lines(shown))


def test_the_summary_is_short_aligned_and_starts_with_the_verdict() -> None:
    lines = summary_lines(figures())
    assert lines[0] == "Proven: full-integer int8"
    assert lines[1] == "  Integer inputs and outputs, and no floating-point tensor in 37 operators."
    table = lines[3:]
    assert len(lines) <= 20
    starts = {re.match(r"  \S+(?: \S+)*\s{2,}", line).end() for line in table}  # type: ignore[union-attr]
    assert len(starts) == 1, "the second column is not aligned"
    text = "\n".join(table)
    for said in ("411 kB float, 183 kB int8", "28.5 dB", "13.8 dB, CONV_2D (operator 2)", "98.25 %", "only 55 samples"):
        assert said in text
    assert summary_lines(normalised_classifier())[0].startswith("Not proven")


def test_the_summary_tells_what_repair_and_other_recipes_came_to() -> None:
    step = {"action": "split head", "target": "boxes", "before": 64.25, "after": 71.5, "kept": True}
    repair = {"value": "top-1, %", "before": 64.25, "after": 71.5, "reached": True, "ended": "The goal is met."}
    wide = {
        "kind": "tflite-int16x8",
        "recipe": "int16x8",
        "size_bytes": 4_200_000,
        "full_integer": True,
        "sqnr_db": 54.25,
    }
    shown = figures(
        repair={**repair, "steps": [step, {**step, "kept": False}]}, variants=[{**wide, "p50_ms": 31.25}], gate=GATE
    )
    text = "\n".join(summary_lines(shown))
    assert "top-1, % from 64.2 to 71.5; 1 of 2 steps kept. The goal is met." in text
    assert "also tflite-int16x8" in text and "4.20 MB" in text and "54.2 dB" in text and "31.2 ms here" in text
    assert text.count("Gate open") == 1


def test_a_recipe_that_leaves_floats_is_not_called_int8() -> None:
    proof = {**detector()["proof"], "full_integer": False, "float_left": ["tensor 'a' of ADD (operator 0) is float32"]}
    shown = figures(kind="tflite-float16", recipe="float16", proof=proof)
    assert summary_lines(shown)[1].strip().startswith("1 floating-point tensor in 37 operators, as the recipe says.")
    assert "int8" not in "\n".join(summary_lines(shown)).replace("tflite-int8", "")


def test_json_holds_the_same_figures(tmp_path: Path) -> None:
    shown = figures()
    write_report(shown, tmp_path / "a.html", tmp_path / "a.json")
    text = (tmp_path / "a.json").read_text()
    assert Figures.model_validate_json(text) == shown
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert (tmp_path / "a.html").read_text() == render_html(shown)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.html", "a.json"]


@pytest.mark.parametrize("there", ["a.html", "a.json"])
def test_an_existing_report_is_kept(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("mine")
    with pytest.raises(OutputError, match=f"{there} exists already"):
        write_report(figures(), tmp_path / "a.html", tmp_path / "a.json")
    assert [p.name for p in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"
    write_report(figures(), tmp_path / "a.html", tmp_path / "a.json", overwrite=True)
    assert (tmp_path / there).read_text() != "mine"


def test_one_name_for_both_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="give two names"):
        write_report(figures(), tmp_path / "a", tmp_path / "a")


def test_what_goes_into_the_bundle_does_not_depend_on_the_run() -> None:
    run = figures(steps=[{"name": "calibrate", "seconds": 9}], peak_memory_mb=1, machine="another", latency=None)
    assert run.for_bundle() == figures().for_bundle()
    assert "data:image" not in render_html(figures().for_bundle())


def test_figures_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(ValidationError, match="full_integer with float tensors left: a"):
        Proof(full_integer=True, operators={}, inputs=(), outputs=(), float_left=("a",))
    with pytest.raises(ValidationError, match="edges of 1 bins, but 2 and 1 counts"):
        Histogram(tensor="a", edges=(0, 1), float_counts=(1, 2), int8_counts=(1,))
    with pytest.raises(ValidationError, match="finite number"):
        Layer(tensor="a", operator="b", sqnr_db=1, float_min=-math.inf, float_max=1, scale=1, zero_point=0)
    picture = {"caption": "a", "raw": base64.b64encode(b"<svg>").decode(), "seen": png(1)}
    with pytest.raises(ValidationError, match="base64 text of a PNG file"):
        figures(sample_pictures=[picture])
    with pytest.raises(ValidationError, match="not permitted"):
        figures(colour="red")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (60.0, "60"),
        (0.8712, "0.871"),
        (1.93, "1.93"),
        (187.54, "188"),
        (411220, "411,220"),
        (-0.00784, "-0.00784"),
        (3.1e-9, "3.10e-09"),
        (-2.5e12, "-2.50e+12"),
    ],
)
def test_three_digits_are_kept(value: float, text: str) -> None:
    assert numbers.short(value) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (183456, "183 kB"), (14_250_000, "14.2 MB"), (3 * 10**9, "3 GB")],
)
def test_sizes_are_in_powers_of_1000(size_bytes: int, text: str) -> None:
    assert numbers.size(size_bytes) == text


def test_a_slower_int8_model_is_said_to_be_slower() -> None:
    assert "int8 is slower here" not in render_html(figures())
    latency = {"engine": "ai_edge_litert", "runs": 50, "float_p50_ms": 0.7, "int8_p50_ms": 3.9}
    assert "int8 is slower here" in render_html(figures(latency=latency))


MEASURED = {
    "name": "top-1",
    "float_value": 91.25,
    "int8_value": 90.5,
    "unit": "%",
    "float_interval": {"low": 87.5, "high": 94.0},
    "int8_interval": {"low": 86.75, "high": 93.5},
    "drop": 0.0075,
    "drop_interval": {"low": -0.0125, "high": 0.0275},
    "samples": 400,
    "explanation": "Share of samples whose best class is the right one.",
}
GATE = {
    "metric": "top-1",
    "limit": 0.01,
    "drop": 0.0075,
    "low": -0.0125,
    "high": 0.0275,
    "verdict": "open",
    "samples": 400,
    "samples_needed": 52_000,
}


def test_intervals_and_the_gate_are_on_the_page_and_in_the_summary() -> None:
    shown = figures(evaluation={"data": "truth", "samples": 400, "metrics": [MEASURED]}, gate=GATE)
    page, summary = render_html(shown), "\n".join(summary_lines(shown))
    sentence = "Gate open: top-1 drops by 0.75 points (95 % interval -1.25 to 2.75 points) on 400 samples; allowed are 1.00 points."
    for text in (page, summary):
        assert sentence in text
        assert "about 52,000 would" in text
    for part in ("87.50 to 94.00 %", "86.75 to 93.50 %", "-1.25 to 2.75 points", "Share of samples whose best class"):
        assert part in page
    assert "drop of -1.25 to 2.75 points, 95 % interval" in summary


def test_gate_without_labels_says_what_it_stands_on() -> None:
    shown = figures(gate={**GATE, "metric": "top-1 agreement", "basis": "agreement", "samples_needed": None})
    assert "accuracy can drop at most by as much" in render_html(shown)
    assert "no sensible number of samples would decide" in render_html(shown)
