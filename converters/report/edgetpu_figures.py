"""What a conversion knows of the Edge TPU: the plan, and what Google's compiler made of it where it was there."""

from __future__ import annotations

from pydantic import Field

from converters.report.strict import Strict
from edge_sdk.edgetpu.compile_command import compile_command
from edge_sdk.edgetpu.plan import Plan


class OperatorDifference(Strict):
    """An operator that runs elsewhere than planned.

    Attributes:
        index, name, output: as in the plan.
        planned, found: whether it runs on the Edge TPU.
        why: the plan's reason, where it was planned for the processor.
        said: what the compiler's log says of operators of this name that are not mapped.
    """

    index: int
    name: str
    output: str
    planned: bool
    found: bool
    why: str = ""
    said: tuple[str, ...] = ()


class Figure(Strict):
    """One figure of the plan, of the compiled file, and of the log (None where it has none); ``differs`` where they do not agree."""

    name: str
    planned: int | None
    compiled: int
    logged: int | None
    differs: bool


class Comparison(Strict):
    """Plan, compiled file and log side by side.

    Attributes:
        operators: those that run elsewhere than planned.
        figures: counts of operators and bytes.
        log: where the log and the compiled file do not agree, one sentence each.
    """

    operators: tuple[OperatorDifference, ...]
    figures: tuple[Figure, ...]
    log: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether nothing differs."""
        return not (self.operators or self.log or any(figure.differs for figure in self.figures))


class EdgeTpu(Strict):
    """The first int8 variant on the Edge TPU.

    Attributes:
        plan: what is expected of it.
        edges: (maker, taker) of each tensor between two operators, as places in the plan.
        compiler: the version of Google's compiler that made the bundle's compiled variant; empty where there is none.
        not_compiled: why there is none; empty where there is one.
        bundle: the file's name, for the command that compiles it elsewhere.
        compiled_bytes: size of the compiled variant.
        comparison: what the compiler made, against the plan.
        said: lines of the compiler that are not known.
    """

    plan: Plan
    edges: tuple[tuple[int, int], ...] = ()
    compiler: str = ""
    not_compiled: str = ""
    bundle: str = ""
    compiled_bytes: int | None = Field(default=None, ge=0)
    comparison: Comparison | None = None
    said: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """What compiles it and packs it, on a computer that has the compiler; empty where that is done."""
        return compile_command(self.bundle) if self.bundle and not self.compiler else ""
