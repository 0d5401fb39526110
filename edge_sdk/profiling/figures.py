"""What a profile says."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class OperatorTime:
    """One operator.

    Attributes:
        number: its place in the order of execution.
        name: of the operator, or of the tensor that it makes.
        kind: such as ``CONV_2D``; as its engine calls it.
        ms: of one run, on average.
        macs: multiply-accumulate operations; 0 where it has none, or they are not known.
        bytes: of what it reads and writes, weights included; 0 where that is not known.
        note: what runs it, where the engine tells, such as ``"brgconv_avx512_I8"``.
    """

    number: int
    name: str
    kind: str
    ms: float
    macs: int = 0
    bytes: int = 0
    note: str = ""


@dataclass(frozen=True)
class Roof:
    """What the machine can do, with one thread.

    Attributes:
        gmacs_s: 10^9 multiply-accumulate operations a second; None where it is not known.
        gbytes_s: 10^9 bytes a second from or to memory.
        origin: where the two come from.
    """

    gmacs_s: float | None
    gbytes_s: float
    origin: str

    def least_ms(self, macs: int, size_bytes: int) -> float:
        """The time that so much work takes at least: the longer of computing and of moving it (Williams et al., CACM 52(4), 2009)."""
        moving_ms = size_bytes / self.gbytes_s * 1e-6
        return max(moving_ms, macs / self.gmacs_s * 1e-6) if self.gmacs_s else moving_ms

    def bound(self, macs: int, size_bytes: int) -> str:
        """What the roof is there: ``"compute"`` or ``"memory"``; empty where that is not known."""
        if not size_bytes or (macs and not self.gmacs_s):
            return ""
        computing = bool(self.gmacs_s) and macs / (self.gmacs_s or 1.0) > size_bytes / self.gbytes_s
        return "compute" if computing else "memory"


@dataclass(frozen=True)
class Profile:
    """One model on one engine.

    Attributes:
        model: its name, with the variant's id.
        engine: what ran it.
        method: how the times were found, in a sentence.
        whole_ms: a run without a profiler.
        operators: in the order of execution.
        library_mb, loaded_mb, ran_mb: memory of the process (PSS, 10^6 bytes): with the engine's library, with the model, after running.
        roof: what the machine can do.
        stated: what its makers say that it can; empty where the board is not known.
    """

    model: str
    engine: str
    method: str
    whole_ms: float
    operators: tuple[OperatorTime, ...]
    library_mb: float
    loaded_mb: float
    ran_mb: float
    roof: Roof
    stated: str = ""

    @property
    def sum_ms(self) -> float:
        """Of all operators."""
        return sum(operator.ms for operator in self.operators)

    @property
    def by_kind(self) -> dict[str, tuple[int, float]]:
        """How many operators of each kind there are and their time in ms, the longest first."""
        found: dict[str, tuple[int, float]] = {}
        for operator in self.operators:
            count, ms = found.get(operator.kind, (0, 0.0))
            found[operator.kind] = count + 1, ms + operator.ms
        return dict(sorted(found.items(), key=lambda item: -item[1][1]))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "sum_ms": self.sum_ms}
