"""Several models on one Edge TPU, and several Edge TPUs for one model: beside first come, first served, and beside one device.

The devices are simulated (tests/edgetpu_delegate): the real interpreter loads a delegate that sleeps as long as a device would take. So the
figures are of scheduling, threads and processes; of a real device they say nothing. Needs gcc.
"""

from __future__ import annotations

import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.blocks import back_to_back, interleave
from benchmarks.rows import Row
from edge_sdk.edgetpu.scheduler import Scheduler
from edge_sdk.edgetpu.segments import Segments
from edge_sdk.engines import Engine, load_engine
from edge_sdk.engines.process import ProcessEngine
from edge_sdk.engines.several import open_together
from edge_sdk.errors import EngineError
from edge_sdk.sharing.pool import Pool, on_devices
from edge_sdk.tensors import Array
from tests.edgetpu_delegate import Bench, build
from tests.edgetpu_models import OPERATOR, compiled_model, custom
from tests.tiny_models import TinyModel

RUN_MS, SWAP_MS = 2.3, 10.7  # of google-coral/coralmicro#48: 2.3 ms alone, 13 in turn
DEVICE_MS = 10.0
MODELS = ("face", "pose")
DEADLINES_MS = (60.0, 200.0)
Ask = Callable[[str, float], "Future[tuple[Array, ...]]"]


def run(quick: bool) -> list[Row]:
    """All of it."""
    with _bench() as (bench, library):
        return [
            *_two_models(bench, library, seconds=2 if quick else 10),
            *_several_devices(bench, library, samples=100 if quick else 600),
            *_overhead(3 if quick else 15),
        ]


def _two_models(bench: Bench, library: str, seconds: float) -> Iterator[Row]:
    rows = {load: _open_loop(bench, library, load, seconds) for load in (0.3, 0.6)}
    for load, sides in rows.items():
        ours, other = sides["scheduler"], sides["fcfs"]
        yield Row(
            f"two models on one TPU, runs alone take {load:.0%} of the time: on time within 60 to 200 ms",
            f"{ours.on_time:.1%} of {ours.asked} against {other.on_time:.1%} first come, first served",
            ratio=ours.on_time / max(other.on_time, 1e-3),
        )
        yield Row("  swaps for 100 runs", f"{ours.swaps:.0f} against {other.swaps:.0f}", ratio=ours.swaps / other.swaps)
    sides = _closed_loop(bench, library, seconds)
    ours, other = sides["scheduler"], sides["fcfs"]
    yield Row(
        "the same, four requests of each model always waiting: results a second",
        f"{ours:.0f} against {other:.0f}",
        "above 1.5x",
        ours / other,
        ours / other > 1.5,
    )


@dataclass(frozen=True)
class _Side:
    asked: int
    on_time: float
    swaps: float


def _open_loop(bench: Bench, library: str, load: float, seconds: float) -> dict[str, _Side]:
    """Requests at random moments, whoever answers; the same for both sides."""
    rng = random.Random(0)
    rate = load * 1_000 / RUN_MS
    plan: list[tuple[float, str, float]] = []
    at_s = rng.expovariate(rate)
    while at_s < seconds:
        plan.append((at_s, rng.choice(MODELS), rng.uniform(*DEADLINES_MS)))
        at_s += rng.expovariate(rate)
    found: dict[str, _Side] = {}
    for name in ("scheduler", "fcfs"):
        with _side(name, bench, library) as ask:
            device = bench.add("usb0")
            swaps, done = device.swaps, device.done
            in_time: list[bool] = []
            began = perf_counter()
            asked = []
            for at_s, model, deadline_ms in plan:
                time.sleep(max(0.0, began + at_s - perf_counter()))
                until = perf_counter() + deadline_ms / 1_000
                try:
                    future = ask(model, deadline_ms)
                except EngineError:
                    continue  # rejected: not on time
                future.add_done_callback(partial(_note, in_time, until))
                asked.append(future)
            for future in asked:
                future.exception()
            runs = max(1, device.done - done)
            found[name] = _Side(len(plan), sum(in_time) / len(plan), 100 * (device.swaps - swaps) / runs)
    return found


def _note(in_time: list[bool], until: float, future: Future[tuple[Array, ...]]) -> None:
    in_time.append(future.exception() is None and perf_counter() <= until)


def _closed_loop(bench: Bench, library: str, seconds: float) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in ("scheduler", "fcfs"):
        with _side(name, bench, library) as ask:
            until = perf_counter() + seconds
            done = [0] * 8

            def client(number: int, ask: Ask = ask, until: float = until, done: list[int] = done) -> None:
                while perf_counter() < until:
                    ask(MODELS[number % 2], 10_000).result()
                    done[number] += 1

            threads = [threading.Thread(target=client, args=[number]) for number in range(len(done))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            found[name] = sum(done) / seconds
    return found


@contextmanager
def _side(name: str, bench: Bench, library: str) -> Iterator[Ask]:
    """What asks for a run of a model: the scheduler, or one thread that takes what comes."""
    bench.add("usb0").takes(run_ms=RUN_MS, swap_ms=SWAP_MS)
    models = {each: compiled_model(each.encode()) for each in MODELS}
    engines = open_together("edgetpu", models, hang_ms=1_000, options={"library": library, "device": "usb:0"})
    sample = [np.ones((1, 4), np.int8)]
    if name == "scheduler":
        with Scheduler(engines, queue_size=64) as tpu:
            yield lambda model, deadline_ms: tpu.submit(model, sample, deadline_ms=deadline_ms)
        return

    def answer(model: str) -> tuple[Array, ...]:
        engines[model].input_arrays[0][...] = sample[0]
        return tuple(output.copy() for output in engines[model].run())

    with ThreadPoolExecutor(1) as worker:
        yield lambda model, deadline_ms: worker.submit(answer, model)
    for engine in engines.values():
        engine.close()


def _several_devices(bench: Bench, library: str, samples: int) -> Iterator[Row]:
    names = ["usb0", "usb1", "pci0", "pci1"]
    for name in names:
        bench.add(name).takes(run_ms=DEVICE_MS, swap_ms=0)
    sample = [np.ones((1, 4), np.int8)]
    found: dict[int, float] = {}
    for count in (1, 2, 4):
        devices = [f"{name[:3]}:{name[3:]}" for name in names[:count]]
        openers = on_devices("edgetpu", compiled_model(), devices, hang_ms=1_000, options={"library": library})
        with Pool(openers) as pool:
            began = perf_counter()
            for request in pool.map([sample] * samples, ahead=4 * count):
                request.result()
            found[count] = samples / (perf_counter() - began)
    for count in (2, 4):
        yield Row(
            f"pool of {count} devices of {DEVICE_MS:g} ms: results a second, beside one",
            f"{found[count]:.0f} against {found[1]:.0f}",
            f"above {0.9 * count:.1f}x",
            found[count] / found[1],
            found[count] / found[1] > 0.9 * count,
        )
    whole = samples / _piped(bench, library, 1, samples)
    cut = samples / _piped(bench, library, 2, samples)
    yield Row(
        f"two segments of {DEVICE_MS:g} ms on two devices, beside both in turn on one",
        f"{cut:.0f} results a second against {whole:.0f}",
        "above 1.8x",
        cut / whole,
        cut / whole > 1.8,
    )


def _piped(bench: Bench, library: str, devices: int, samples: int) -> float:
    """Seconds for so many samples through two segments."""
    options = [{"library": library, "device": f"usb:{number % devices}"} for number in range(2)]
    if devices == 1:
        models = {str(number): _segment(number) for number in range(2)}
        engines = list(open_together("edgetpu", models, hang_ms=1_000, options=options[0]).values())
        sample = np.ones((1, 4), np.int8)
        began = perf_counter()
        for _ in range(samples):
            engines[0].input_arrays[0][...] = sample
            engines[1].input_arrays[0][...] = engines[0].run()[0]
            engines[1].run()
        took_s = perf_counter() - began
        for engine in engines:
            engine.close()
        return took_s
    cut = [ProcessEngine("edgetpu", _segment(number), options[number], hang_ms=1_000) for number in range(2)]
    with Segments(cut) as segments:
        began = perf_counter()
        for number in range(samples):
            segments.push({"t0": np.ones((1, 4), np.int8)})
            if number >= 3:
                segments.pop()
        for _ in range(min(3, samples)):
            segments.pop()
        return perf_counter() - began


def _segment(number: int) -> bytes:
    net = TinyModel()
    first, last = (net.tensor(f"t{number + end}", (1, 4), dtype="INT8") for end in range(2))
    custom(net, [first], [last], f"{OPERATOR} {number}".encode())
    return net.build([first], [last])


def _overhead(rounds: int) -> Iterator[Row]:
    """On engines that take no time: all that is measured is ours."""
    for what, opened in (
        ("in a process of its own", partial(ProcessEngine, "null", b"", hang_ms=10_000)),
        ("inline", partial(load_engine, "null", "")),
    ):
        yield from _added(what, opened, rounds)


def _added(what: str, opened: Callable[[], Engine], rounds: int) -> Iterator[Row]:
    sample = [np.zeros((1, 4), np.int8)]
    bare = opened()

    def direct() -> None:
        bare.input_arrays[0][...] = sample[0]
        bare.run()[0].copy()

    with Pool({"one": opened}) as pool, Scheduler({"one": opened()}) as tpu, Segments([opened()]) as segments:

        def through_segments() -> None:
            segments.push({"input": sample[0]})
            segments.pop()

        sides = {
            "bare": back_to_back(direct),
            "pool": back_to_back(lambda: pool.run(sample)),
            "scheduler": back_to_back(lambda: tpu.run("one", sample)),
            "segments": back_to_back(through_segments),
        }
        found = interleave(sides, rounds=rounds, runs=500)
    bare.close()
    for side in ("pool", "scheduler", "segments"):
        yield Row(
            f"{side} over a bare engine {what}, one request at a time",
            f"adds {found.added_us(side, 'bare'):.0f} us to {found.ms('bare') * 1_000:.0f} us",
        )


@contextmanager
def _bench() -> Iterator[tuple[Bench, str]]:
    with tempfile.TemporaryDirectory() as folder:
        library = build(Path(folder))
        bench = Bench(Path(folder) / "bench")
        os.environ |= {
            "EDGETPU_BENCH": str(bench.folder),
            "EDGE_SDK_ROOT": str(bench.root),
            "XDG_CACHE_HOME": str(Path(folder) / "cache"),
        }
        yield bench, str(library)
