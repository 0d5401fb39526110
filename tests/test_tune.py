"""The choice by measurement: right before fast, within its budget, what was asked for, and explained."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_sdk.bundle import Bundle
from edge_sdk.cli import group
from edge_sdk.engines.faulty import order_fault
from edge_sdk.errors import EngineError, GateError
from edge_sdk.tune.objective import Judge, Objective
from edge_sdk.tune.store import Row, Tuned
from edge_sdk.tune.tuning import tune
from tests.openvino_models import converted, needs_openvino
from tests.processes import descendants, open_descriptors
from tests.tune_bundles import Chain, chain_bundle, chain_model

ONE_THREAD = {"threads": "1"}
ENDLESS = Path(__file__).parents[1] / "edge_sdk/engines/endless.tflite"


def tuned(path: Path, objective: Objective | None = None, **settings: object) -> Tuned:
    settings = {"options": ONE_THREAD, "budget_s": 6.0, **settings}
    with Bundle(path) as bundle:
        return tune(bundle, objective or Objective(), **settings)  # type: ignore[arg-type]


def row(found: Tuned, variant: str) -> Row:
    return next(each for each in found.rows if each.variant == variant)


def accuracy(**shares: float) -> dict[str, object]:
    """A report: the first is the bundle's first variant."""
    first, *others = shares.values()
    metrics = [{"name": "top-1", "int8_value": value, "unit": "%"} for value in (first, *others)]
    rows = [{"kind": "tflite-float32", "metric": metric, "agreement": []} for metric in metrics[1:]]
    return {"evaluation": {"metrics": metrics[:1]}, "variants": rows}


def test_the_fastest_is_taken_and_nothing_is_left(tmp_path: Path) -> None:
    others = descendants()  # of tests before
    chains = {"slow": Chain(40), "fast": Chain(2), "middle": Chain(10)}
    path = chain_bundle(tmp_path / "a.edge", chains)
    before = open_descriptors()
    found = tuned(path)
    assert found.taken.variant == "fast" and found.taken.engine == "litert" and found.taken.options == ONE_THREAD
    assert [each.verdict for each in found.rows] == ["taken", "slower", "slower"]
    for each in found.rows:
        assert each.golden == 0 and each.runs >= 3
        assert each.p50_ms and each.p95_ms and each.memory_mb and each.startup_ms
        assert 0 < each.p50_ms <= each.p95_ms and each.memory_mb > 1 and each.startup_ms > 1
    assert "x as slow as fast on litert" in row(found, "slow").reason
    assert descendants() <= others and open_descriptors() == before


def test_one_that_is_fast_and_wrong_is_out(tmp_path: Path) -> None:
    path = chain_bundle(tmp_path / "a.edge", {"right": Chain(4), "wrong": Chain(1, error=1.0)})
    found = tuned(path)
    assert found.taken.variant == "right"
    wrong = row(found, "wrong")
    assert wrong.verdict == "wrong" and wrong.golden is not None and wrong.golden > 0.1
    assert "does not reproduce the golden vectors: largest difference" in wrong.reason


def test_an_engine_that_answers_wrongly_is_out_however_fast(tmp_path: Path) -> None:
    path = chain_bundle(tmp_path / "a.edge", {"only": Chain(1)})
    orders = tmp_path / "orders"
    order_fault(orders, "wrong 1000")
    with pytest.raises(GateError, match=r"no variant .* is right: only: wrong: it does not reproduce"):
        tuned(path, engine="faulty", options={"orders": str(orders)})


def test_what_hangs_crashes_or_fails_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    chains = {
        "endless": Chain(1, content=ENDLESS.read_bytes()),
        "garbage": Chain(1, content=b"garbage"),
        "good": Chain(4),
        "ethos": Chain(1, kind="ethos-u"),
        "foreign": Chain(1, kind="hailo-hef"),
    }
    found = tuned(chain_bundle(tmp_path / "a.edge", chains), budget_s=5.0)
    assert found.taken.variant == "good"
    reasons = {each.variant: (each.verdict, each.reason) for each in found.rows if each.variant != "good"}
    assert {verdict for verdict, _ in reasons.values()} == {"cannot run"}
    assert "are not what the bundle states" in reasons["endless"][1]
    assert "refuses the model" in reasons["garbage"][1]
    assert reasons["ethos"][1] == "no Ethos-U is seen"
    assert "no engine of edge-sdk runs a variant of kind hailo-hef" in reasons["foreign"][1]


@pytest.mark.parametrize("fault", ["hang", "crash", "error 1000"])
def test_faults_while_it_measures_are_told(fault: str, tmp_path: Path) -> None:
    others = descendants()  # of tests before
    path = chain_bundle(tmp_path / "a.edge", {"only": Chain(1)})
    orders = tmp_path / "orders"
    order_fault(orders, fault)
    with pytest.raises(
        EngineError, match=r"no variant .* runs here: only: .*(hang budget|process died|an error was ordered)"
    ):
        tuned(path, engine="faulty", options={"orders": str(orders)}, budget_s=3.0)
    assert descendants() <= others


def test_a_hang_takes_a_third_of_the_budget_at_most(tmp_path: Path) -> None:
    path = chain_bundle(tmp_path / "a.edge", {"only": Chain(1)})
    orders = tmp_path / "orders"
    order_fault(orders, "hang")
    began = time.monotonic()
    with pytest.raises(EngineError):
        tuned(path, engine="faulty", options={"orders": str(orders)}, budget_s=6.0)
    assert 1.5 < time.monotonic() - began < 5


def test_the_budget_is_kept_and_what_it_left_out_is_said(tmp_path: Path) -> None:
    chains = {f"v{number}": Chain(10 + number) for number in range(8)}
    path = chain_bundle(tmp_path / "a.edge", chains)
    began = time.monotonic()
    found = tuned(path, budget_s=1.0)
    assert time.monotonic() - began < 3
    assert any("the budget was spent" in each.reason for each in found.rows)
    assert len(found.rows) == 8


def test_without_a_golden_vector_it_is_said(tmp_path: Path) -> None:
    from tests.small_bundles import null_bundle

    found = tuned(null_bundle(tmp_path / "null.edge"), options={"wait_ms": "1"}, budget_s=3.0)
    assert found.taken.golden is None and "no golden vectors to check it by" in found.taken.reason


def test_the_first_variants_accuracy_is_the_measure_of_the_fastest(tmp_path: Path) -> None:
    chains = {"first": Chain(30), "poor": Chain(1), "good": Chain(6)}
    path = chain_bundle(tmp_path / "a.edge", chains, report=accuracy(first=94, poor=91, good=93.5))
    found = tuned(path)
    assert found.taken.variant == "good"
    poor = row(found, "poor")
    assert poor.verdict == "left out"
    assert "91 % against 94 % of first: 3.00% worse, 1.00% are allowed" in poor.reason
    assert tuned(path, Objective(max_drop=0.03)).taken.variant == "poor"


def test_with_a_deadline_the_most_accurate_that_keeps_it_is_taken(tmp_path: Path) -> None:
    chains = {"first": Chain(4), "best": Chain(8), "poor": Chain(1), "late": Chain(300)}
    report = accuracy(first=92, best=94, poor=90, late=95)
    path = chain_bundle(tmp_path / "a.edge", chains, report=report)
    full = tuned(path, Objective(deadline_ms=1_000))
    assert full.taken.variant == "late"
    late_ms = row(full, "late").p50_ms
    assert late_ms is not None
    found = tuned(path, Objective(deadline_ms=late_ms / 2))
    assert found.taken.variant == "best" and "the most accurate with a p95 within" in found.why
    assert row(found, "late").verdict == "slower"


def test_a_smaller_model_takes_part_when_asked_for_or_when_nothing_else_keeps_the_deadline(tmp_path: Path) -> None:
    chains = {"own": Chain(200), "small": Chain(1, measured={"top-1 on ground truth": 70.0})}
    path = chain_bundle(tmp_path / "a.edge", chains)
    found = tuned(path)
    assert found.taken.variant == "own" and "--any-model" in row(found, "small").reason
    assert tuned(path, Objective(any_model=True)).taken.variant == "small"
    own_ms = found.taken.p50_ms
    assert own_ms is not None
    assert tuned(path, Objective(deadline_ms=1_000)).taken.variant == "own"
    small = tuned(path, Objective(deadline_ms=own_ms / 2))
    assert small.taken.variant == "small"
    nothing = tuned(path, Objective(deadline_ms=1e-3))
    assert nothing.taken.variant == "small" and nothing.why == "the fastest: no p95 is within 0.001 ms"


def test_a_named_board_says_what_may_run(tmp_path: Path) -> None:
    chains = {
        "openvino": Chain(1, kind="openvino"),
        "tflite-int8": Chain(4, kind="tflite-int8"),
        "edgetpu": Chain(1, kind="edgetpu"),
    }
    found = tuned(chain_bundle(tmp_path / "a.edge", chains), board="raspberry-pi-5")
    assert found.taken.variant == "tflite-int8" and found.holds.board == "raspberry-pi-5"
    assert row(found, "openvino").reason.startswith("board raspberry-pi-5 runs tflite-int8")
    assert row(found, "edgetpu").verdict == "cannot run"
    found = tuned(chain_bundle(tmp_path / "a.edge", chains), board="coral-usb")
    assert row(found, "edgetpu").reason == "no Edge TPU is seen"


def command(*words: str, state: Path) -> tuple[int, str, str]:
    done = CliRunner().invoke(group, ["tune", *words, "--state-dir", str(state), "--budget", "3s"])
    return (
        done.exit_code,
        done.stdout,
        done.stderr if done.exception is None or done.exit_code else repr(done.exception),
    )


def test_the_command_keeps_its_choice_and_explains_it_without_measuring_again(tmp_path: Path) -> None:
    path = chain_bundle(tmp_path / "a.edge", {"slow": Chain(12), "fast": Chain(2), "wrong": Chain(1, error=1.0)})
    code, out, err = command(str(path), state=tmp_path / "state")
    assert code == 0 and out.startswith("fast on litert") and "kept in" in err
    code, again, err = command(str(path), "--explain", state=tmp_path / "state")
    assert code == 0 and "kept in" not in err, "it was not measured again"
    assert again.startswith(out.splitlines()[0])
    assert all(word in again for word in ("golden", "p50 ms", "p95 ms", "MB", "start ms", "taken", "wrong", "slower"))
    assert max(map(len, again.splitlines()[1:])) <= 100
    code, out, _ = command(str(path), "--explain", "--json", state=tmp_path / "state")
    assert json.loads(out)["rows"][0]["variant"] == "fast"
    code, out, err = command(str(path), "--explain", "--deadline", "500", state=tmp_path / "state")
    assert code == 0 and "does not hold: it is the fastest" in err and "kept in" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--budget", "soon"), "a time from 1s to 24 hours"),
        (("--max-drop", "2"), "a share, such as 1%"),
        (("--deadline", "-1"), "deadline"),
        (("--engine", "abacus"), "no engine 'abacus'"),
        (("--engine-option", "cores=999"), "this process may run on"),
        (("--board", "toaster"), "toaster"),
    ],
)
def test_wrong_settings_are_refused(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    path = chain_bundle(tmp_path / "a.edge", {"only": Chain(1)})
    done = CliRunner().invoke(group, ["tune", str(path), "--state-dir", str(tmp_path), *words])
    assert done.exit_code != 0
    assert said in done.stderr + str(done.exception)


@pytest.mark.slow
def test_the_choice_is_stable(tmp_path: Path) -> None:
    path = chain_bundle(tmp_path / "a.edge", {"slow": Chain(40), "fast": Chain(16), "faster": Chain(8)})
    assert {tuned(path).taken.variant for _ in range(5)} == {"faster"}


@pytest.mark.slow
def test_engines_of_three_kinds_race_each_other(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="extra onnx is not installed")
    pytest.importorskip("onnxruntime", reason="extra onnx is not installed")
    needs_openvino()
    from converters.targets.onnx import export_onnx

    model = chain_model(4)
    onnx = export_onnx(model, inputs_nchw=False).model.SerializeToString()
    chains = {
        "tflite-float32": Chain(4),
        "onnx-float32": Chain(4, kind="onnx-float32", content=onnx),
        "openvino": Chain(4, kind="openvino", content=converted(model)),
    }
    found = tuned(chain_bundle(tmp_path / "a.edge", chains), options={}, budget_s=20.0)
    assert {each.engine for each in found.rows if each.p50_ms is not None} == {"litert", "onnx", "openvino"}
    assert all(each.golden is not None and each.golden < 1e-4 for each in found.rows if each.p50_ms is not None)


def test_a_named_boards_options_are_measured_as_the_loop_takes_them(tmp_path: Path) -> None:
    needs_openvino()
    chains = {
        "tflite-int8": Chain(4, kind="tflite-int8"),
        "openvino": Chain(4, kind="openvino", content=converted(chain_model(4))),
    }
    path = chain_bundle(tmp_path / "a.edge", chains)
    found = tuned(path, board="intel-npu", options={}, budget_s=4.0)
    assert found.taken.variant == "tflite-int8"
    on_npu = [each for each in found.rows if each.variant == "openvino"]
    assert [each.options for each in on_npu] == [{"device": "NPU"}]
    assert on_npu[0].verdict == "cannot run" and "NPU" in on_npu[0].reason


def test_a_threshold_of_its_own_makes_no_other_model(tmp_path: Path) -> None:
    """A target's variant may have a task of its own: what was measured on it."""
    with Bundle(chain_bundle(tmp_path / "a.edge", {"a": Chain(2), "b": Chain(1)})) as bundle:
        a, b = bundle.manifest.variants
        b = b.model_copy(update={"task": bundle.manifest.task})
        bundle.manifest = bundle.manifest.model_copy(update={"variants": (a, b)})
        assert Judge(bundle, Objective(), a).admitted() == ([a, b], {})
