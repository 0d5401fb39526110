"""A loop on a null engine, helped by a server with faults, that a test looks at while it runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge_sdk.bundle.golden import golden_inputs, golden_outputs
from edge_sdk.bundle.manifest import Manifest, Variant
from edge_sdk.bundle.write import stored_files, write_bundle
from edge_sdk.contract import Contract
from edge_sdk.errors import EdgeSdkError
from edge_sdk.hybrid.figures import RemoteFigures
from edge_sdk.loop import Loop
from edge_sdk.loop_report import LoopReport
from edge_sdk.result import Event, Result
from edge_sdk.tasks.settings import ClassifySettings, TaskSettings
from edge_sdk.tensors import Array, TensorSpec
from tests.faulty_server import FaultyServer
from tests.test_loop_ladder import Ticking

INPUT, OUTPUT = TensorSpec("input", (1, 4), "float32"), TensorSpec("output", (1, 4), "float32")
NULL = {"input": "1,4 float32", "output": "1,4 float32"}
DEADLINE_MS, PERIOD_S = 200.0, 0.04  # what runs beside must not make a result late
QUICK = {"first_wait_s": 0.02, "longest_wait_s": 0.05, "healthy_s": 0.0, "protocol": "v2-rest", "model": "model"}


def answer(tensor: Array) -> tuple[Array, ...]:
    """What the server's model makes of a tensor; the local engine gives zeros."""
    return (tensor * 0 + np.array([0.1, 0.9, 0.2, 0.3], np.float32),)


def make_bundle(path: Path, task: TaskSettings, *, golden: bool = True) -> Path:
    samples = [np.full(4, number, np.float32) for number in (1, 2)]
    files = {"model": b"nothing"}
    if golden:
        files["golden/inputs.npz"] = golden_inputs(samples)
        files["golden/null.npz"] = golden_outputs([answer(sample[None]) for sample in samples])
    variant = Variant(
        id="null", kind="null", file="model", inputs=(INPUT,), outputs=(OUTPUT,),
        golden="golden/null.npz" if golden else None, golden_tolerance=0.01,
    )  # fmt: skip
    manifest = Manifest(
        schema_version=3,
        name="null",
        created_by="a test",
        contract=Contract(input="tensor"),
        task=task,
        variants=(variant,),
        golden_inputs="golden/inputs.npz" if golden else None,
        files=stored_files(files),
    )
    write_bundle(path, manifest, files)
    return path


class Bench:
    """A loop on a null engine with faults, helped by a server with faults; it runs in a thread of its own."""

    def __init__(
        self,
        folder: Path,
        server: FaultyServer,
        *,
        task: TaskSettings | None = None,
        golden: bool = True,
        remote: dict[str, object] | None = None,
        period_s: float = PERIOD_S,
        **settings: object,
    ) -> None:
        self.orders, self.server = folder / "orders", server
        self.events: list[Event] = []
        self.results: list[Result] = []
        self.failure: EdgeSdkError | None = None
        self._told = threading.Condition()
        bundle = make_bundle(folder / "null.edge", task or ClassifySettings(kind="classify"), golden=golden)
        given = {"engine": "null", "engine_options": NULL, "isolation": "none", "deadline_ms": DEADLINE_MS}
        self.loop = Loop(
            bundle,
            Ticking(100_000, period_s),
            on_event=self._tell,
            remote={"url": server.url, **QUICK, **(remote or {})},
            **{**given, **settings},  # type: ignore[arg-type]
        )
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Bench:
        self.loop.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.loop.close()
        self._thread.join(20)
        assert not self._thread.is_alive()
        assert_accounts(self.loop.report())

    def until(self, condition: Callable[[], bool]) -> None:
        """Looked at with every event and result, and now and then, as what is lost tells nobody."""
        until = time.monotonic() + 20
        with self._told:
            while not (condition() or self.failure is not None):
                assert time.monotonic() < until, (self.events, self.loop.report().remote)
                self._told.wait(0.02)
        if self.failure:
            raise self.failure

    def until_event(self, kind: str, count: int = 1) -> Event:
        self.until(lambda: self.kinds().count(kind) >= count)
        return [event for event in self.events if event.kind == kind][count - 1]

    def more(self, count: int, by: str | None = None) -> list[Result]:
        """So many further results, by the server (``"remote"``) or not (``"null"``)."""
        seen = len(self.results)
        self.until(lambda: len([r for r in self.results[seen:] if by is None or r.by.endswith(by)]) >= count)
        return self.results[seen:]

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    @property
    def remote(self) -> RemoteFigures:
        figures = self.loop.report().remote
        assert figures is not None
        return figures

    def _run(self) -> None:
        try:
            for result in self.loop:
                with self._told:
                    self.results.append(result)
                    self._told.notify_all()
        except EdgeSdkError as exc:  # raised in the test's thread
            with self._told:
                self.failure = exc
                self._told.notify_all()

    def _tell(self, event: Event) -> None:
        with self._told:
            self.events.append(event)
            self._told.notify_all()


def assert_accounts(report: LoopReport) -> None:
    c, remote = report.counts, report.remote
    assert c.captured == c.on_time + c.late + c.dropped + c.skipped + c.lost + c.in_flight
    assert remote is not None
    assert remote.asked == remote.used + remote.late + sum(remote.failed.values()) + remote.in_flight
