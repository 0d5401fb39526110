"""The choice that is kept: taken by the loop while it holds, said and left where it does not, whatever the file looks like."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_sdk.bundle import Bundle
from edge_sdk.engines import engine_for
from edge_sdk.errors import ConfigError, OutputError
from edge_sdk.loop import Loop
from edge_sdk.result import Event
from edge_sdk.sources import Source
from edge_sdk.tune import store
from edge_sdk.tune.objective import Objective
from edge_sdk.tune.store import Tuned, file_of, keep, state_dirs, stored
from edge_sdk.tune.tuning import tune
from edge_sdk.watchdog.plan import STATE_VARIABLE
from tests.small_bundles import Numbers
from tests.tune_bundles import SHAPE, Chain, chain_bundle

CHAINS = {"slow": Chain(12), "fast": Chain(2)}


class Tensors(Numbers):
    """So many samples for a chain."""

    def _read(self):  # type: ignore[no-untyped-def]
        import numpy as np

        found = super()._read()
        return found and (np.zeros(SHAPE, np.float32), *found[1:])


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "user"))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    return tmp_path / "state"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return chain_bundle(tmp_path / "a.edge", CHAINS)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    with Bundle(chain_bundle(tmp_path_factory.mktemp("measured") / "a.edge", CHAINS)) as opened:
        return tune(opened, Objective(), options={"threads": "1"}, budget_s=4)


@pytest.fixture
def choice(measured: Tuned, bundle: Path, state: Path) -> Tuned:
    keep(measured, bundle, state)
    return measured


def run(bundle: Path, source: Source | None = None, **settings: object) -> tuple[str, str, list[str]]:
    """Variant and engine that ran, and what was said of tuning."""
    told: list[Event] = []
    with Loop(bundle, source or Tensors(2), deadline_ms=1_000, on_event=told.append, **settings) as loop:  # type: ignore[arg-type]
        assert len(list(loop)) == 2
        report = loop.report()
    return report.variant, report.engine, [each.message for each in told if each.kind == "tuned"]


def test_the_loop_takes_it_and_says_why(bundle: Path, choice: Tuned) -> None:
    variant, engine, (said,) = run(bundle)
    assert variant == "fast" and "1 thread" in engine
    assert (
        said.startswith("fast on litert, threads=1 runs, as measured here: p50") and "the fastest of 2 measured" in said
    )


def test_without_a_choice_nothing_changes_and_nothing_is_said(bundle: Path) -> None:
    assert run(bundle)[::2] == ("slow", [])


def test_it_takes_no_choice_over_the_users(bundle: Path, choice: Tuned) -> None:
    assert run(bundle, tuned="off")[::2] == ("slow", [])
    assert run(bundle, variant="slow")[::2] == ("slow", [])
    assert run(bundle, engine="litert")[::2] == ("slow", [])
    variant, engine, _ = run(bundle, engine_options={"threads": "2"})
    assert variant == "fast" and "2 threads" in engine, "what the user states goes before"
    with pytest.raises(ConfigError, match="tuned is stored, off or background; found 'on'"):
        run(bundle, tuned="on")


def test_options_that_were_measured_are_used(bundle: Path, choice: Tuned, state: Path) -> None:
    row = choice.taken.model_copy(update={"options": {"threads": "2", "cores": "0"}})
    keep(choice.model_copy(update={"rows": (row,)}), bundle, state)
    _, engine, (said,) = run(bundle)
    assert "2 threads" in engine and "on cores 0" in engine
    assert "fast on litert, threads=2, cores=0" in said


def not_taken(bundle: Path, why: str, **settings: object) -> None:
    variant, _, (said,) = run(bundle, **settings)
    assert variant == "slow"
    assert "is not taken: " in said and why in said and f"edge-sdk tune {bundle}" in said


def test_another_bundle_in_its_place_makes_it_stale(bundle: Path, choice: Tuned) -> None:
    chain_bundle(bundle, {"slow": Chain(13), "fast": Chain(2)})
    not_taken(bundle, "the bundle is another")


def test_another_package_makes_it_stale(bundle: Path, choice: Tuned, monkeypatch: pytest.MonkeyPatch) -> None:
    now = store._versions()
    monkeypatch.setattr(store, "_versions", lambda: {**now, "ai-edge-litert": "99.0"})
    not_taken(bundle, f"ai-edge-litert: {now['ai-edge-litert']} then, 99.0 now")
    monkeypatch.setattr(store, "_versions", lambda: {**now, "openvino-genai": "1.0"})
    not_taken(bundle, "openvino-genai: not installed then, 1.0 now")


def test_another_machine_board_or_accelerator_makes_it_stale(
    bundle: Path, choice: Tuned, monkeypatch: pytest.MonkeyPatch
) -> None:
    not_taken(bundle, "now", board="raspberry-pi-5")
    with monkeypatch.context() as patch:
        patch.setattr(store, "_processor", lambda: "Cortex-A53")
        not_taken(bundle, "Cortex-A53, cores")
    with monkeypatch.context() as patch:
        patch.setattr(store, "usable_cores", lambda: (0,))
        not_taken(bundle, "cores 0 now")


def test_a_board_that_does_not_run_it_does_not_take_it(
    bundle: Path, choice: Tuned, state: Path, tmp_path: Path
) -> None:
    chains = {"tflite-int8": Chain(12, kind="tflite-int8"), "other": Chain(2, kind="openvino")}
    path = chain_bundle(tmp_path / "b.edge", chains)
    with Bundle(path) as opened:
        holds = store.holds_now(opened, "raspberry-pi-5")
    row = choice.taken.model_copy(update={"variant": "other"})
    keep(choice.model_copy(update={"rows": (row,), "holds": holds}), path, state)
    variant, _, said = run(path, board="raspberry-pi-5")
    assert variant == "tflite-int8" and "board raspberry-pi-5 does not run openvino" in said[0]


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda content: b"garbage", "it is no state of edge-sdk"),
        (lambda content: content[: len(content) // 2], "its checksum is wrong"),
        (lambda content: b"", "it is no state of edge-sdk"),
        (lambda content: content.replace(b"edge-sdk-state 1", b"edge-sdk-state 9"), "it is of version 9"),
        (lambda content: store.pack({"rows": []}), "is not used"),
        (lambda content: store.pack({"rows": [{"variant": 7}]}), "is not used"),
    ],
)
def test_a_damaged_file_is_said_and_not_used(spoil, why: str, bundle: Path, choice: Tuned, state: Path) -> None:  # type: ignore[no-untyped-def]
    path = file_of(state, bundle)
    path.write_bytes(spoil(path.read_bytes()))
    variant, _, (said,) = run(bundle)
    assert variant == "slow" and why in said and str(path) in said
    keep(choice, bundle, state)
    assert run(bundle)[0] == "fast", "measured anew it is whole again"


def test_a_folder_that_cannot_be_written_is_an_error_with_the_way_out(
    bundle: Path, choice: Tuned, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", Path("/proc/sys")):
        with pytest.raises(
            OutputError, match=r"cannot be kept in .*; give a folder that can be written: --state-dir DIR"
        ):
            keep(choice, bundle, folder)


def test_a_folder_that_cannot_be_read_is_said(bundle: Path, choice: Tuned, state: Path) -> None:
    file_of(state, bundle).unlink()
    file_of(state, bundle).mkdir()
    said: list[str] = []
    assert stored(bundle, (state,), said.append) is None
    assert "cannot be read: Is a directory" in said[0]


def test_places_are_the_supervisors_systemds_and_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/edge-sdk/doorbell:/elsewhere")
    wanted = (tmp_path / "state", Path("/var/lib/edge-sdk/doorbell"), tmp_path / "user/edge-sdk")
    assert state_dirs() == wanted
    with monkeypatch.context() as patch:
        patch.delenv(STATE_VARIABLE)
        assert state_dirs() == wanted[1:]


def test_a_choice_in_the_users_folder_serves_a_supervised_loop(bundle: Path, choice: Tuned, state: Path) -> None:
    file_of(state, bundle).unlink()
    keep(choice, bundle, state_dirs()[-1])
    assert run(bundle)[0] == "fast"


def test_a_link_to_the_newest_bundle_keeps_its_file(tmp_path: Path, state: Path) -> None:
    (tmp_path / "current.edge").symlink_to("v1.edge")
    before = file_of(state, tmp_path / "current.edge")
    (tmp_path / "current.edge").unlink()
    (tmp_path / "current.edge").symlink_to("v2.edge")
    assert file_of(state, tmp_path / "current.edge") == before
    assert file_of(state, tmp_path / "other.edge") != before


def test_the_engine_of_a_kind_is_not_named_to_the_ladder(bundle: Path, choice: Tuned) -> None:
    """A rung with a variant of another kind runs in that kind's engine."""
    assert engine_for("tflite-float32") == choice.taken.engine
    governor = {"rungs": [{"variant": "slow"}]}
    assert run(bundle, governor=governor)[0] == "fast"
