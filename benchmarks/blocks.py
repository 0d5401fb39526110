"""Interleaved runs: A B A B in blocks, so that whatever else the machine does meets all sides alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from time import perf_counter

import numpy as np
import numpy.typing as npt

Seconds = npt.NDArray[np.float64]
Block = Callable[[int], Seconds]  # runs so many inferences and gives each one's duration


class Measured:
    """Durations of several sides, block by block.

    Attributes:
        blocks: by side, one array of seconds a block.
    """

    def __init__(self, blocks: dict[str, list[Seconds]]) -> None:
        self.blocks = blocks

    def ms(self, side: str, percentile: float = 50) -> float:
        """Median over the blocks of each block's percentile, in milliseconds."""
        return float(np.median(self._percentiles(side, percentile))) * 1000

    def ratio(self, side: str, other: str, percentile: float = 50) -> float:
        """Median over the rounds of ours over the other's, each of blocks that ran next to each other."""
        return float(np.median(self._percentiles(side, percentile) / self._percentiles(other, percentile)))

    def added_us(self, side: str, other: str, percentile: float = 50) -> float:
        """Median over the rounds of ours less the other's, in microseconds."""
        return float(np.median(self._percentiles(side, percentile) - self._percentiles(other, percentile))) * 1e6

    def _percentiles(self, side: str, percentile: float) -> Seconds:
        return np.array([np.percentile(block, percentile) for block in self.blocks[side]])


def interleave(sides: Mapping[str, Block], *, rounds: int, runs: int) -> Measured:
    """Measure every side ``rounds`` times in turn, ``runs`` inferences a block, after one short block each that does not count."""
    for block in sides.values():
        block(max(10, runs // 10))
    found: dict[str, list[Seconds]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, block in sides.items():
            found[name].append(block(runs))
    return Measured(found)


def back_to_back(step: Callable[[], object]) -> Block:
    """A block of steps one after the other."""

    def block(runs: int) -> Seconds:
        took = np.empty(runs)
        for index in range(runs):
            started = perf_counter()
            step()
            took[index] = perf_counter() - started
        return took

    return block


def paced(step: Callable[[], object], per_second: float) -> Block:
    """A block of steps that begin at fixed moments, with the machine idle in between."""

    def block(runs: int) -> Seconds:
        took = np.empty(runs)
        due = perf_counter()
        for index in range(runs):
            time.sleep(max(0.0, due - perf_counter()))
            started = perf_counter()
            step()
            took[index] = perf_counter() - started
            due += 1 / per_second
        return took

    return block
