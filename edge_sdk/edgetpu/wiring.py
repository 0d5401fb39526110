"""How the segments of a model fit together: by the names of their tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_sdk.engines import Engine
from edge_sdk.errors import ConfigError, ModelError
from edge_sdk.tensors import TensorSpec


@dataclass(frozen=True)
class Wiring:
    """Which tensors go where.

    Attributes:
        inputs: of the model: those of the first segment.
        outputs: of the model: those of the last segment, and of earlier ones what no later segment takes.
        kept: for each segment, the names of the tensors that are still wanted behind it.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    kept: tuple[frozenset[str], ...]


def wire(segments: Sequence[Engine]) -> Wiring:
    """Connect each segment's inputs to what the model takes, or any segment before it gives.

    Raises:
        ConfigError: if there is no segment.
        ModelError: if an input has no origin or another form than it, or two tensors share a name.
    """
    if not segments:
        raise ConfigError("a pipeline has one segment or more")
    known = {spec.name: ("the input", spec) for spec in segments[0].inputs}
    taken: set[str] = set()
    for index, segment in enumerate(segments):
        for spec in segment.inputs:
            _check(index, spec, known)
            taken.add(spec.name)
        for spec in segment.outputs:
            if spec.name in known:
                raise ModelError(f"segment {index} gives {spec.name!r}, which is that of {known[spec.name][0]} already")
            known[spec.name] = (f"segment {index}", spec)
    last = segments[-1].outputs
    between = tuple(spec for segment in segments[:-1] for spec in segment.outputs if spec.name not in taken)
    outputs = (*last, *between)
    return Wiring(segments[0].inputs, outputs, _kept(segments, outputs))


def _check(index: int, wanted: TensorSpec, known: dict[str, tuple[str, TensorSpec]]) -> None:
    if wanted.name not in known:
        before = ", ".join(str(spec) for _, spec in known.values())
        raise ModelError(
            f"segment {index} takes {wanted}, which nothing before it gives; there are {before}. Are these all segments of one "
            "model, in their order?"
        )
    giver, given = known[wanted.name]
    if given != wanted:
        raise ModelError(
            f"segment {index} takes {wanted}, but that of {giver} is {given}: they are not segments of one model"
        )


def _kept(segments: Sequence[Engine], outputs: tuple[TensorSpec, ...]) -> tuple[frozenset[str], ...]:
    found: list[frozenset[str]] = []
    there = {spec.name for spec in segments[0].inputs}
    for index, segment in enumerate(segments):
        there |= {spec.name for spec in segment.outputs}
        wanted = {spec.name for later in segments[index + 1 :] for spec in later.inputs}
        found.append(frozenset(there & (wanted | {spec.name for spec in outputs})))
    return tuple(found)
