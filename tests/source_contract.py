"""What every source promises: a template for a short subclass each."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.errors import SourceError
from edge_sdk.sources import Sample, Source


def read_all(source: Source) -> list[Sample]:
    return list(iter(source.read, None))


def open_files() -> set[Path]:
    return {path.resolve() for path in Path("/proc/self/fd").iterdir()}


class SourceContract:
    """What holds for every source. A subclass gives ``make`` and the number of samples it ends after, or None if it does not end."""

    count: int | None

    @pytest.fixture
    def make(self) -> Callable[[], Source]:
        raise NotImplementedError

    def test_samples_are_numbered_and_in_the_order_of_time(self, make: Callable[[], Source]) -> None:
        before = time.monotonic_ns()
        with make() as source:
            samples = [source.read() for _ in range(4)]
        after = time.monotonic_ns()
        assert [s.sequence for s in samples] == [0, 1, 2, 3]
        stamps = [s.captured_ns for s in samples]
        assert before <= stamps[0] and all(a <= b for a, b in pairwise(stamps)) and stamps[-1] <= after
        assert all(s.data.size for s in samples)

    def test_samples_are_not_overwritten_by_later_ones(self, make: Callable[[], Source]) -> None:
        with make() as source:
            first = source.read()
            kept = first.data.copy()
            second = source.read()
        assert not np.shares_memory(first.data, second.data)
        np.testing.assert_array_equal(first.data, kept)

    def test_none_at_the_end_and_ever_after(self, make: Callable[[], Source]) -> None:
        if self.count is None:
            pytest.skip("does not end")
        with make() as source:
            assert len(read_all(source)) == self.count
            assert source.read() is None
            assert source.read() is None

    def test_begins_again_when_opened_again_and_counts_on(self, make: Callable[[], Source]) -> None:
        source = make()
        source.open()
        first, second = source.read(), source.read()
        source.close()
        assert source.read() is None
        source.open()
        again = source.read()
        source.close()
        source.close()
        assert again.sequence == second.sequence + 1
        if self.count is not None:
            np.testing.assert_array_equal(again.data, first.data)
            assert again.name == first.name

    def test_reading_before_opening_is_an_error(self, make: Callable[[], Source]) -> None:
        with pytest.raises(SourceError, match="is not open; call open"):
            make().read()
