"""Outputs of inputs that are known are given again: equal ones, or near ones where that is wanted, and no older than allowed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk import Loop, result_cache
from edge_sdk.engines import Engine
from edge_sdk.errors import ConfigError, EngineError
from edge_sdk.result_cache import CacheSettings, ResultCache, cache_from, summed
from edge_sdk.tensors import Array, TensorSpec
from tests.small_bundles import Numbers, null_bundle

DTYPES = ("int8", "uint8", "int16", "int32", "float32")


class Doubling(Engine):
    """Gives twice its input, and counts its runs."""

    def __init__(self, dtype: str = "float32") -> None:
        self.inputs, self.outputs = (TensorSpec("x", (4,), dtype),), (TensorSpec("y", (4,), dtype),)
        self.input_arrays = (np.zeros(4, dtype),)
        self.runs, self.fails = 0, False
        self._output = np.zeros(4, dtype)

    def run(self) -> tuple[Array, ...]:
        self.runs += 1
        if self.fails:
            raise EngineError("as told")
        self._output[...] = self.input_arrays[0] * 2  # the same memory each time, as engines have it
        return (self._output,)


def ask(cache: ResultCache, engine: Doubling, *numbers: float) -> list[float]:
    engine.input_arrays[0][...] = numbers
    return [float(n) for n in cache.run(engine)[0]]


def test_a_known_input_has_its_own_outputs_without_the_engine() -> None:
    cache, engine = ResultCache(CacheSettings(ttl_ms=1e6)), Doubling()
    for numbers in ((1, 2, 3, 4), (5, 6, 7, 8), (1, 2, 3, 4), (5, 6, 7, 8)):
        assert ask(cache, engine, *numbers) == [2 * n for n in numbers]
    assert engine.runs == 2
    report = cache.report()
    assert (report.hits, report.near, report.misses, report.hit_ratio) == (2, 0, 2, 0.5)
    assert report.saved_ms > 0


def test_the_least_recently_used_gives_way() -> None:
    cache, engine = ResultCache(CacheSettings(ttl_ms=1e6, entries=2)), Doubling()
    for first in (1, 2, 1, 3, 1, 2):
        ask(cache, engine, first, 0, 0, 0)
    assert engine.runs == 4  # 2 gave way to 3


def test_old_outputs_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = 0
    monkeypatch.setattr(result_cache, "monotonic_ns", lambda: now_ns)
    cache, engine = ResultCache(CacheSettings(ttl_ms=100, tolerance=1)), Doubling()
    ask(cache, engine, 1, 1, 1, 1)
    now_ns = 99_999_999
    ask(cache, engine, 1, 1, 1, 1)
    assert engine.runs == 1
    now_ns = 100_000_000
    ask(cache, engine, 1, 1, 1, 1)
    assert engine.runs == 2


def test_a_hash_that_is_the_same_by_chance_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_cache, "crc32", lambda data, value: 7)
    cache, engine = ResultCache(CacheSettings(ttl_ms=1e6)), Doubling()
    assert ask(cache, engine, 1, 0, 0, 0) == [2, 0, 0, 0]
    assert ask(cache, engine, 3, 0, 0, 0) == [6, 0, 0, 0]


def test_near_inputs_are_the_same_only_within_the_tolerance_of_what_was_computed() -> None:
    cache, engine = ResultCache(CacheSettings(ttl_ms=1e6, tolerance=2)), Doubling("int8")
    assert ask(cache, engine, 10, 10, 10, 10)[0] == 20
    assert ask(cache, engine, 12, 8, 10, 10)[0] == 20
    assert ask(cache, engine, 13, 10, 10, 10)[0] == 26  # it does not drift along with what was only near
    assert (cache.report().near, engine.runs) == (1, 2)


def test_no_number_is_not_near_anything_but_equal_to_itself() -> None:
    cache, engine = ResultCache(CacheSettings(ttl_ms=1e6, tolerance=2)), Doubling()
    ask(cache, engine, 1, 1, 1, 1)
    ask(cache, engine, float("nan"), 1, 1, 1)
    ask(cache, engine, float("nan"), 1, 1, 1)
    assert engine.runs == 2


@given(data=st.data(), dtype=st.sampled_from(DTYPES))
def test_the_gap_of_integers_does_not_overflow(data: st.DataObject, dtype: str) -> None:
    limits = np.iinfo(dtype) if dtype != "float32" else np.iinfo("int16")
    numbers = st.lists(st.integers(int(limits.min), int(limits.max)), min_size=3, max_size=3)
    a, b = data.draw(numbers), data.draw(numbers)
    found = float(result_cache._gap(np.array(a, dtype), np.array(b, dtype)))
    assert found == max(abs(x - y) for x, y in zip(a, b, strict=True))


def test_a_failure_is_not_kept() -> None:
    cache, engine = ResultCache(CacheSettings()), Doubling()
    engine.fails = True
    with pytest.raises(EngineError):
        ask(cache, engine, 1, 1, 1, 1)
    engine.fails = False
    assert ask(cache, engine, 1, 1, 1, 1) == [2, 2, 2, 2]


def test_a_model_with_a_state_is_refused() -> None:
    engine = Doubling()
    engine.stateful = True
    with pytest.raises(ConfigError, match="keeps a state"):
        ask(ResultCache(CacheSettings()), engine, 1, 1, 1, 1)


def test_settings_are_refused_by_name() -> None:
    assert cache_from(False) is None
    assert cache_from(True) == CacheSettings()
    with pytest.raises(ConfigError, match="ttl_ms"):
        cache_from({"ttl_ms": -1})
    with pytest.raises(ConfigError, match="colour"):
        cache_from({"colour": "red"})


def test_several_are_summed() -> None:
    caches = [ResultCache(CacheSettings()) for _ in range(2)]
    for cache in caches:
        engine = Doubling()
        ask(cache, engine, 1, 1, 1, 1)
        ask(cache, engine, 1, 1, 1, 1)
    assert (summed(caches).hits, summed(caches).misses) == (2, 2)


@pytest.fixture
def still(tmp_path: Path) -> Iterator[Loop]:
    bundle = null_bundle(tmp_path / "null.edge")
    with Loop(bundle, Numbers(10), deadline_ms=10_000, isolation="none", cache={"ttl_ms": 60_000}) as loop:
        yield loop


def test_a_loop_says_what_its_cache_saved(still: Loop) -> None:
    assert len(list(still)) == 10
    report = still.report()
    assert report.cache is not None
    assert (report.cache.hits, report.cache.misses, report.counts.on_time) == (9, 1, 10)
    assert any("9 of 10 inputs were known (90 %)" in line for line in report.lines())


def test_there_is_none_unless_it_is_wanted(tmp_path: Path) -> None:
    with Loop(null_bundle(tmp_path / "n.edge"), Numbers(3), deadline_ms=10_000, isolation="none") as loop:
        list(loop)
        assert loop.report().cache is None
