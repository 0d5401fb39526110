"""Four sources on one engine: in batches, and one by one.

Whether an engine gains from batches is the model's: one whose weights come from memory for every sample does, as with layers that are fully
connected; convolutions in LiteRT on a processor gain next to nothing, which the first row shows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import numpy as np

from benchmarks.models import MOBILENET_INT8, make_models
from benchmarks.rows import Row
from edge_sdk.engines.process import ProcessEngine
from edge_sdk.sharing.batcher import Batcher, in_processes
from edge_sdk.sharing.pool import Pool
from edge_sdk.sharing.requests import Request
from edge_sdk.tensors import Array
from tests.tiny_models import TinyModel, options

SOURCES, RATE_HZ, DEADLINE_MS, HANG_MS = 4, 15.0, 66.0, 10_000
WIDTH, LAYERS = 4_096, 2  # 134 MB of weights, more than a cache holds
ROUNDS = 3

Ask = Callable[[list[Array]], Request]


def run(quick: bool) -> list[Row]:
    """All of it."""
    make_models()
    seconds = 2.0 if quick else 6.0
    return [_gain("int8 MobileNetV2", MOBILENET_INT8.read_bytes()), *_four_sources(_dense(), seconds)]


def _gain(name: str, model: bytes) -> Row:
    with Batcher(in_processes("litert", model, hang_ms=HANG_MS), size=SOURCES) as batcher:
        report = batcher.report()
    ratio = SOURCES * report.single_ms / report.batch_ms
    said = "runs one by one" if "no_gain" in report.event_counts else "runs in batches"
    return Row(
        f"{name} in LiteRT: {SOURCES} samples one by one over a batch of {SOURCES}",
        f"{SOURCES} x {report.single_ms:.2f} ms, {report.batch_ms:.2f} ms; the batcher {said}",
        ratio=ratio,
    )


@dataclass
class _Side:
    """Results a second where each source asks as soon as it has its answer; of sources that are paced, how many were late."""

    per_second: float = 0.0
    asked: int = 0
    late: int = 0


def _four_sources(model: bytes, seconds: float) -> Iterator[Row]:
    yield _gain(f"{LAYERS} fully connected layers of {WIDTH:,}", model)
    sides = {"batches": _Side(), "one by one": _Side()}
    for _ in range(ROUNDS):  # side by side, in turn
        for name, opened in (("batches", _batches), ("one by one", _one_by_one)):
            with opened(model) as ask:
                sides[name].per_second += _closed_loop(ask, seconds / ROUNDS) / ROUNDS
                _paced(ask, seconds / ROUNDS, sides[name])
    ours, other = sides["batches"], sides["one by one"]
    yield Row(
        f"  {SOURCES} sources that ask as fast as they are answered: results a second",
        f"{ours.per_second:.1f} against {other.per_second:.1f} one by one",
        "at least 1.3x",
        ours.per_second / other.per_second,
        ours.per_second >= 1.3 * other.per_second,
    )
    yield Row(
        f"  {SOURCES} sources of {RATE_HZ:g} a second, deadline {DEADLINE_MS:g} ms: late or lost",
        f"{ours.late} of {ours.asked} against {other.late} of {other.asked} one by one",
        "no more than one by one",
        met=ours.late <= other.late,
    )


def _dense() -> bytes:
    net, rng = TinyModel(), np.random.default_rng(0)
    before = first = net.tensor("x", (1, WIDTH))
    for layer in range(LAYERS):
        weights = net.constant(f"w{layer}", (rng.normal(size=(WIDTH, WIDTH)) / WIDTH**0.5).astype(np.float32))
        bias, after = net.constant(f"b{layer}", np.zeros(WIDTH, np.float32)), net.tensor(f"y{layer}", (1, WIDTH))
        net.operator("FULLY_CONNECTED", [before, weights, bias], [after], options("FullyConnected"))
        before = after
    return net.build([first], [before])


@contextmanager
def _batches(model: bytes) -> Iterator[Ask]:
    with Batcher(in_processes("litert", model, hang_ms=HANG_MS), size=SOURCES) as batcher:
        yield lambda inputs: batcher.submit(inputs, deadline_ms=DEADLINE_MS)


@contextmanager
def _one_by_one(model: bytes) -> Iterator[Ask]:
    with Pool({"cpu": partial(ProcessEngine, "litert", model, {}, hang_ms=HANG_MS, start=False)}) as pool:
        yield pool.submit


def _closed_loop(ask: Ask, seconds: float) -> float:
    until, done = perf_counter() + seconds, [0] * SOURCES

    def source(number: int) -> None:
        inputs = _inputs(number)
        while perf_counter() < until:
            ask(inputs).result()
            done[number] += 1

    _together(source)
    return sum(done) / seconds


def _paced(ask: Ask, seconds: float, side: _Side) -> None:
    requests: list[Request] = []
    began = perf_counter()

    def source(number: int) -> None:
        inputs = _inputs(number)
        for turn in range(round(seconds * RATE_HZ)):
            time.sleep(max(0.0, began + (turn + number / SOURCES) / RATE_HZ - perf_counter()))
            requests.append(ask(inputs))

    _together(source)
    for request in requests:
        lost = request.exception() is not None
        side.late += lost or (request.ended_ns - request.submitted_ns) * 1e-6 > DEADLINE_MS
    side.asked += len(requests)


def _inputs(number: int) -> list[Array]:
    return [np.random.default_rng(number).normal(size=(1, WIDTH)).astype(np.float32)]


def _together(source: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=source, args=[number]) for number in range(SOURCES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
