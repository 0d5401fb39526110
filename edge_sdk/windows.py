"""Windows cut from a signal, whatever the pieces in which it comes; gaps are found by the time stamps of the readings.

Windows begin every ``hop`` readings. Missing readings keep their places: they are filled as the contract declares, else the windows that
lack them are dropped and counted. Nothing is resampled: where the rate is not the contract's, that is said, and no window is given.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

import numpy as np
import numpy.typing as npt

from edge_sdk.errors import ContractError, SourceError
from edge_sdk.signal_rate import RATE_OFF, SignalRate
from edge_sdk.sources import Sample
from edge_sdk.tensors import Array
from edge_sdk.window_settings import WindowSettings

OnGap = Callable[[str | None, int], None]
Times = npt.NDArray[np.int64]

_FEWEST_STUCK = 10  # of fewer readings all may be alike by chance
_ROOM = 4_096  # readings beside two windows; when it is used up, what is needed still moves to the front


class Windows:
    """Cuts windows from pieces of any length. ``reset`` may be called from any thread; pieces come one after the other.

    Args:
        spec: the contract's window.
        on_gap: called with a sentence and how many windows are dropped for it, 0 where it is only said. What goes on over one window
            after the other is said once; further windows dropped for it are counted with None for the sentence.
        hop: readings, instead of the contract's.

    Raises:
        ContractError: if ``hop`` is below 1.
    """

    def __init__(self, spec: WindowSettings, on_gap: OnGap, *, hop: int | None = None) -> None:
        if hop is not None and hop < 1:
            raise ContractError(f"hop is 1 reading or more; found {hop}")
        self.spec = spec
        self._on_gap = on_gap
        self._hop = spec.hop if hop is None else hop
        self._longest_ns = round((1 + spec.jitter) * spec.period_ns)
        self._furthest_back_ns = -round(spec.jitter * spec.period_ns)
        self._data: Array | None = None
        self._times: Times = np.empty(2 * spec.length + _ROOM, np.int64)
        self._rate = SignalRate(spec)
        self._rate_wrong: str | None = None
        self._rate_was_right = False
        self._said: set[str] = set()
        self._goes_on: set[str] = set()
        self._given = 0
        self._after_gap = False
        self._anew = False
        self._adding = Lock()  # a source that was left behind may still be about to add a piece
        self._begin()

    def add(self, sample: Sample) -> list[Sample]:
        """Take the next piece.

        Args:
            sample: readings (count, channels), or (count,) of one channel, and their ``times_ns``; without times, one whole window, which
                is given as it is.

        Returns:
            The windows that it completes, (length, channels), captured when their last reading was.

        Raises:
            SourceError: if the piece is not of that form; the next one may be.
            ContractError: if the source is no signal, or its rate has never been the contract's.
        """
        with self._adding:
            if self._anew:
                self._start_anew()
            return self._add(sample)

    def _add(self, sample: Sample) -> list[Sample]:
        if sample.times_ns is None and self._is_whole(sample.data):
            return [sample]  # a recorded window
        data, times = self._checked(sample)
        if sample.after_gap and self._end:
            self._break("gap", "the source says that readings are missing")
        steps = np.diff(times, prepend=self._times[self._end - 1] if self._end else times[:1] - 1)
        if not steps.all():
            self._say("repeated", "readings with the time of the one before are passed over")
            data, times, steps = data[steps != 0], times[steps != 0], steps[steps != 0]
        if not steps.size:
            return []
        self._measure(steps if self._end else steps[1:])
        if not self._end:
            steps[0] = self.spec.period_ns
        windows: list[Sample] = []
        if steps.min() >= self._furthest_back_ns and steps.max() <= self._longest_ns:
            self._append(data, times, windows)
            return windows
        cuts = np.flatnonzero((steps < self._furthest_back_ns) | (steps > self._longest_ns)).tolist()
        self._append(data[: cuts[0]], times[: cuts[0]], windows)
        for start, stop in zip(cuts, [*cuts[1:], len(data)], strict=True):
            self._mend(int(steps[start]), data[start], windows)
            self._append(data[start:stop], times[start:stop], windows)
        return windows

    def reset(self) -> None:
        """The source was opened again: with the next piece, what was begun is dropped, and the rate is measured anew."""
        self._anew = True

    def _start_anew(self) -> None:
        self._break("reset", "the source was opened again")
        self._rate = SignalRate(self.spec)
        self._data, self._anew = None, False

    def _checked(self, sample: Sample) -> tuple[Array, Times]:
        data, times, channels = sample.data, sample.times_ns, self.spec.channels
        if times is None:
            raise ContractError(
                f"the contract takes windows of a signal; the source gives samples of shape {data.shape} without times, which are no whole "
                f"windows, {self.spec.shape}"
            )
        if data.ndim == 1 and len(channels) == 1:
            data = data[:, None]
        wanted = (times.size, len(channels))
        if data.shape != wanted or data.dtype.kind not in "fiub":
            raise SourceError(
                f"the contract takes readings of {wanted[1]} channels ({', '.join(channels)}), here shape {wanted}; the source gives "
                f"{data.dtype} of shape {data.shape}. Choose these channels at the source, or correct [contract.window]"
            )
        if self._data is None:
            self._data = np.empty((self._times.size, wanted[1]), data.dtype)
        if data.dtype != self._data.dtype:
            raise SourceError(f"the source gave {self._data.dtype} before and gives {data.dtype} now; it must be one")
        return data, times

    def _is_whole(self, data: Array) -> bool:
        length, channels = self.spec.shape
        return data.shape == (length, channels) or (channels == 1 and data.shape == (length,))

    def _begin(self) -> None:
        """Nothing is begun; places are counted in the buffer."""
        self._start = self._end = 0  # of the next window; of what is there
        self._lacking = (0, "")  # the place behind the last reading that is missing and not filled, and a sentence

    def _break(self, kind: str, sentence: str) -> None:
        """Drop the windows that are begun, and begin anew."""
        begun = max(0, -((self._start - self._end) // self._hop))
        self._begin()
        self._after_gap = True
        if begun:
            self._say(kind, f"{sentence}; {begun} windows begun are dropped", begun)

    def _say(self, kind: str, sentence: str, dropped: int = 0) -> None:
        self._goes_on.add(kind)
        new = kind not in self._said
        self._said.add(kind)
        if new or dropped:
            self._on_gap(sentence if new else None, dropped)

    def _measure(self, steps: Times) -> None:
        rate_hz = self._rate.measure(steps)
        if rate_hz is None:
            return
        wanted = self.spec.rate_hz
        if abs(rate_hz / wanted - 1) <= RATE_OFF:
            self._rate_wrong, self._rate_was_right = None, True
            return
        self._rate_wrong = (
            f"the source gives {rate_hz:.4g} readings a second, the contract states {wanted:g}; nothing is resampled here: "
            f"set the source to {wanted:g} Hz, or train for its rate and state it as rate_hz"
        )
        if not self._rate_was_right:
            raise ContractError(self._rate_wrong)

    def _mend(self, step_ns: int, after: Array, windows: list[Sample]) -> None:
        """Deal with a ``step_ns`` that is no period, between the last reading and the one ``after`` it."""
        spec, data = self.spec, self._data
        missing = max(1, round(step_ns / spec.period_ns) - 1)
        if step_ns < 0:
            self._break("backwards", f"time runs backwards by {-step_ns / 1e6:g} ms")
            return
        found = f"{missing} readings are missing, {step_ns / 1e6:g} ms"
        if missing >= spec.length or data is None:
            self._break("gap", found)
            return
        before, last_ns = data[self._end - 1], self._times[self._end - 1]
        share = np.arange(1, missing + 1) / (missing + 1)
        times = last_ns + np.rint(share * step_ns).astype(np.int64)
        filled = np.repeat(before[None], missing, axis=0)
        if missing > spec.longest_fill:
            sentence = f"{found}; filled are up to {spec.longest_fill} (gap = {spec.gap}): the windows that lack them are dropped"
            self._append(filled, times, windows, sentence)
            return
        if spec.gap == "linear":
            line = before + share[:, None] * (after.astype(np.float64) - before)
            filled = (np.rint(line) if data.dtype.kind in "iu" else line).astype(data.dtype)
        self._say("filled", f"{found}; they are filled (gap = {spec.gap})")
        self._append(filled, times, windows)

    def _append(self, data: Array, times: Times, windows: list[Sample], lacking: str | None = None) -> None:
        """Put readings into the buffer, and cut what windows they complete; ``lacking`` says why they are none."""
        buffer = self._data
        assert buffer is not None  # noqa: S101 - made with the first piece
        while (count := min(len(data), len(buffer) - self._end)) or len(data):
            if not count:
                self._move(buffer)
                continue
            end = self._end + count
            buffer[self._end : end], self._times[self._end : end] = data[:count], times[:count]
            if lacking is not None:
                self._lacking = (end, lacking)
            self._end = end
            while self._start + self.spec.length <= end:
                self._cut(buffer, windows)
            data, times = data[count:], times[count:]

    def _move(self, buffer: Array) -> None:
        """Move what the next window needs to the front."""
        first = min(self._start, self._end)
        left = self._end - first
        buffer[:left], self._times[:left] = buffer[first : self._end], self._times[first : self._end]
        self._start, self._end = self._start - first, left
        self._lacking = (self._lacking[0] - first, self._lacking[1])

    def _cut(self, buffer: Array, windows: list[Sample]) -> None:
        """Give the next window, or drop it."""
        start, stop = self._start, self._start + self.spec.length
        self._start += self._hop
        place, why = self._lacking
        if start < place:
            self._drop("gap", why)
        elif self._rate_wrong is not None:
            self._drop("rate", self._rate_wrong)
        elif not_finite := self._not_finite(buffer[start:stop]):
            self._drop("nan", not_finite)
        else:
            data, times = buffer[start:stop].copy(), self._times[start:stop].copy()
            self._look(data)
            windows.append(Sample(data, self._given, int(times[-1]), times_ns=times, after_gap=self._after_gap))
            self._after_gap = False
            self._given += 1
        self._said &= self._goes_on  # what this window has not met has ended
        self._goes_on.clear()

    def _drop(self, kind: str, why: str) -> None:
        self._after_gap = True
        self._say(kind, why, 1)

    def _not_finite(self, data: Array) -> str | None:
        if data.dtype.kind != "f" or np.isfinite(data).all():
            return None
        names = ", ".join(self.spec.channels[i] for i in np.flatnonzero(~np.isfinite(data).all(axis=0)))
        return f"readings of {names} are NaN or infinite: the windows that hold them are dropped"

    def _look(self, data: Array) -> None:
        """Say which channels have stood still for a whole window."""
        if len(data) < _FEWEST_STUCK or not (data[0] == data[-1]).any():
            return
        for channel in np.flatnonzero((data == data[0]).all(axis=0)):
            name, value = self.spec.channels[channel], float(data[0, channel])
            self._say(f"stuck {name}", f"channel {name} stands still: every reading of a window is {value:g}")
