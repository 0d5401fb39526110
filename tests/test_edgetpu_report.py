"""The report shows the plan for the Edge TPU as a graph: every operator once, in its colour, with its reason, and none upon another."""

from __future__ import annotations

import re
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.report import render_html, summary_lines
from converters.report.edgetpu_figures import Comparison, EdgeTpu, Figure, OperatorDifference
from converters.report.graph_plot import MOST_DRAWN, graph
from edge_sdk.edgetpu.plan import Estimate, Plan, PlannedOperator
from tests.edgetpu_plans import plan_of
from tests.test_report import figures


def plan(
    count: int, mapped: int, name: str = "CONV_2D", why: str = "it comes after an operator on the processor"
) -> Plan:
    operators = [
        PlannedOperator(index=i, name=name, output=f"t{i}", mapped=i < mapped, rule="r", why="" if i < mapped else why)
        for i in range(count)
    ]
    return plan_of(
        operators=tuple(operators),
        weight_bytes=3_000_000,
        cached_bytes=3_300_000,
        streamed_bytes=64_000,
        input_bytes=150_528,
        output_bytes=1_000,
        tpu={
            "usb3": Estimate(ms=7.1, low_ms=5.5, high_ms=9.2),
            "usb2": Estimate(ms=40, low_ms=20, high_ms=80, extrapolated=True),
        },
        cpu={"usb3": Estimate(ms=5, low_ms=4, high_ms=6)},
    )


def chain(count: int) -> tuple[tuple[int, int], ...]:
    return tuple((i, i + 1) for i in range(count - 1))


def boxes(svg: str) -> list[tuple[float, float, str, str]]:
    found = re.findall(
        r'<rect x="([\d.]+)" y="([\d.]+)" width="130.0" height="18.0" class="(.*?)"><title>(.*?)</title>', svg
    )
    return [(float(x), float(y), style, title) for x, y, style, title in found]


def extent(svg: str) -> tuple[float, float]:
    found = re.search(r'width="([\d.]+)" height="([\d.]+)" role="img"', svg)
    assert found is not None
    return float(found[1]), float(found[2])


@pytest.mark.parametrize(("count", "mapped"), [(1, 0), (1, 1), (72, 64), (240, 239)])
def test_every_operator_is_drawn_once_in_its_colour_and_the_picture_fits_the_page(count: int, mapped: int) -> None:
    svg = str(graph(EdgeTpu(plan=plan(count, mapped), edges=chain(count))))
    drawn = boxes(svg)
    assert [style for *_, style, _ in drawn] == ["tpu"] * mapped + ["cpu"] * (count - mapped)
    assert all("on the processor: it comes after" in title for *_, style, title in drawn if style == "cpu")
    assert svg.count('class="edge"') == count - 1
    assert extent(svg)[0] <= 888
    assert f'aria-label="{count} operators: {mapped} on the Edge TPU, {count - mapped} on the processor"' in svg


@st.composite
def graphs(draw: st.DrawFn) -> EdgeTpu:
    count = draw(st.integers(1, 60))
    ends = [(draw(st.integers(0, i - 1)), i) for i in range(1, count) for _ in range(draw(st.integers(0, 3)))]
    return EdgeTpu(plan=plan(count, draw(st.integers(0, count))), edges=tuple(dict.fromkeys(ends)))


@given(graphs())
def test_no_box_lies_upon_another_or_outside(shown: EdgeTpu) -> None:
    svg = str(graph(shown))
    width, height = extent(svg)
    drawn = boxes(svg)
    assert len(drawn) == len(shown.plan.operators)
    assert all(0 <= x <= width - 130 and 0 <= y <= height - 18 for x, y, *_ in drawn)
    assert all(abs(a[0] - b[0]) >= 130 or abs(a[1] - b[1]) >= 18 for a, b in combinations(drawn, 2))
    for maker, taker in shown.edges:  # it is read downwards, then to the right
        assert (drawn[maker][0] < drawn[taker][0]) or (drawn[maker][1] < drawn[taker][1])


def test_a_model_of_too_many_operators_is_not_drawn_and_that_is_said() -> None:
    shown = EdgeTpu(plan=plan(MOST_DRAWN + 1, 1))
    assert graph(shown) is None
    assert "too many operators to be drawn" in render_html(figures(edgetpu=shown.model_dump()))


def test_names_of_the_model_are_text() -> None:
    svg = str(graph(EdgeTpu(plan=plan(2, 1, name="</title><script>", why='"><b>'), edges=((0, 1),))))
    assert "<script" not in svg
    assert "<b>" not in svg


COMPARED = Comparison(
    operators=(
        OperatorDifference(
            index=2, name="CONV_2D", output="t2", planned=True, found=False, said=("Operation not supported",)
        ),
    ),
    figures=(Figure(name="partitions", planned=1, compiled=2, logged=None, differs=True),),
    log=("the log has 2 CONV_2D on the Edge TPU, the compiled file 1",),
)


def test_what_the_compiler_did_otherwise_is_marked() -> None:
    shown = EdgeTpu(
        plan=plan(4, 3),
        edges=chain(4),
        compiler="16.0.1",
        compiled_bytes=4_000_000,
        comparison=COMPARED,
        said=("out of cheese",),
    )
    svg = str(graph(shown))
    assert [style for *_, style, _ in boxes(svg)] == ["tpu", "tpu", "tpu differs", "cpu"]
    assert "The compiler did not map it" in svg
    page = render_html(figures(edgetpu=shown.model_dump()))
    for words in (
        "Otherwise than planned",
        "Operation not supported",
        "differs",
        "out of cheese",
        "the log has 2 CONV_2D",
        "16.0.1",
    ):
        assert words in page, words
    lines = "\n".join(summary_lines(figures(edgetpu=shown.model_dump())))
    assert "by edgetpu_compiler 16.0.1, 4 MB, otherwise than planned" in lines


def test_without_the_compiler_the_command_is_on_the_page_and_in_the_summary() -> None:
    shown = EdgeTpu(plan=plan(72, 64), edges=chain(72), not_compiled="edgetpu_compiler is not here", bundle="net.edge")
    told = figures(edgetpu=shown.model_dump())
    command = "edge-sdk edgetpu compile net.edge && edge-sdk edgetpu add net.edge net_edgetpu.tflite --overwrite"
    lines = "\n".join(summary_lines(told))
    assert command in lines
    assert command.replace("&", "&amp;") in render_html(told)
    for words in (
        "64 of 72 operators on it, 8 operators on the processor",
        "3.30 MB of parameters cached on the chip, 64 kB streamed",
        "7.10 ms (5.50 to 9.20) on USB 3; 40 ms (20 to 80, derived from other hosts) on USB 2",
        "the processor alone is expected to be faster on USB 3",
        "edgetpu_compiler is not here",
    ):
        assert words in lines, words
    assert told.for_bundle().edgetpu is not None
    assert "net.edge" not in told.for_bundle().model_dump_json()  # the same bundle under another name is the same bytes


def test_without_a_plan_nothing_is_said_of_it() -> None:
    assert "Edge TPU" not in render_html(figures())
    assert "edge tpu" not in "\n".join(summary_lines(figures()))
