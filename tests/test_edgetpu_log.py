"""The log of Google's Edge TPU compiler is read in the forms of several versions, and nothing of it is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.targets.edgetpu.log import Row, Size, join, read_log, read_version
from tests.edgetpu_logs import FAILED, LOG_FILE, NOTHING, TOGETHER, V2, V16

MIB, KIB = 1 << 20, 1 << 10


def test_every_figure_of_version_16_is_read() -> None:
    log = read_log(V16)
    assert (log.version, log.compile_ms, log.failures, log.unknown) == ("16.0.384591198", 742, (), ())
    (model,) = log.models
    assert (model.input, model.output) == ("net.tflite", "net_edgetpu.tflite")
    assert model.cached == Size(3.33 * MIB, 0.01 * MIB)
    assert model.remaining == Size(1.75 * KIB, 0.01 * KIB)
    assert model.streamed == Size(64.25 * KIB, 0.01 * KIB)
    assert (model.subgraphs, model.operations, model.on_tpu, model.on_cpu) == (1, 72, 64, 8)
    assert len(model.rows) == 8
    assert model.counts(mapped=True) == {"ADD": 10, "CONV_2D": 37, "DEPTHWISE_CONV_2D": 17}
    assert model.counts(mapped=False) == {
        "RESIZE_BILINEAR": 3,
        "QUANTIZE": 1,
        "CONCATENATION": 1,
        "CONV_2D": 2,
        "ARG_MAX": 1,
    }
    assert model.rows[-1] == Row("ARG_MAX", 1, "Operation is working on an unsupported data type")


def test_version_2_has_no_timer_and_no_table() -> None:
    log = read_log(V2)
    (model,) = log.models
    assert (log.version, log.unknown, model.rows) == ("2.1.302470888", (), ())
    assert model.streamed == Size(0.0, 0.0)
    assert (model.on_tpu, model.on_cpu) == (6, 18)


def test_a_model_of_which_nothing_maps() -> None:
    (model,) = read_log(NOTHING).models
    assert model.subgraphs == 0
    assert {row.status for row in model.rows} == {
        "Operation is working on an unsupported data type",
        "Tensor has unsupported rank (up to 3 innermost dimensions mapped)",
    }


def test_models_compiled_together_are_told_apart_and_get_the_tables_of_their_files() -> None:
    output = read_log(TOGETHER)
    assert [model.operations for model in output.models] == [57, 6]
    joined = join(output, [read_log(LOG_FILE)])
    assert [len(model.rows) for model in joined.models] == [0, 5]
    assert (joined.version, joined.models[1].subgraphs) == ("16.0.384591198", 1)
    alone = join(read_log(""), [read_log(LOG_FILE)])
    assert [len(model.rows) for model in alone.models] == [5]


@pytest.mark.parametrize(("line", "text"), FAILED.items(), ids=lambda text: text[:30])
def test_the_reason_of_a_failure_is_kept(line: str, text: str) -> None:
    log = read_log(text)
    assert line in log.failures
    assert log.unknown == ()
    assert log.models == ()


def test_what_is_unknown_is_kept() -> None:
    odd = "Wattage of the moon: 3 W"
    broken = ["Input size: 1.2.3MiB", "Total number of operations: ten", f"Number of Edge TPU subgraphs: {'9' * 5000}"]
    log = read_log(V16.replace("Operation log: net", "\n".join([odd, *broken, "Operation log: net"])))
    assert log.unknown == (odd, *broken)
    assert len(log.models[0].rows) == 8


def test_sizes_say_how_exact_they_are() -> None:
    size = Size.read("3.33MiB")
    assert size is not None
    assert size.is_about(int(3.331 * MIB))
    assert size.is_about(int(3.339 * MIB))
    assert not size.is_about(int(3.35 * MIB))
    assert Size.read("0.00B") == Size(0.0, 0.0)
    for odd in ("", "MiB", ".MiB", "1.2.3B", "3 MB", "-1B", "1e9B"):
        assert Size.read(odd) is None, odd


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("Edge TPU Compiler version 16.0.384591198\n", "16.0.384591198"),
        ("x\nEdge TPU Compiler version 15.0\n", "15.0"),
        ("16.0", None),
    ],
)
def test_the_version_is_read(text: str, version: str | None) -> None:
    assert read_version(text) == version


@given(
    st.lists(st.one_of(st.sampled_from([*V16.splitlines(), *LOG_FILE.splitlines()]), st.text(max_size=60)), max_size=40)
)
def test_any_text_is_read_and_odd_lines_are_kept(lines: list[str]) -> None:
    read_log("\n".join(lines))
    odd = "zzz nobody says this"
    assert odd in read_log("\n".join([*lines, odd])).unknown


@given(st.data())
def test_a_log_cut_anywhere_is_read(data: st.DataObject) -> None:
    read_log(V16[: data.draw(st.integers(0, len(V16)))])
