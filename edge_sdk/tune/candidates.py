"""What may run here: each variant in its engine, with so many threads, on such cores; and what cannot, with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge_sdk.bundle import Bundle, Variant
from edge_sdk.engines import OPTIONS, Options, engine_for, own_options
from edge_sdk.engines.cores import as_text, cores_of
from edge_sdk.engines.variants import ON_ANY_PROCESSOR, known_kind, missing_accelerator, needs_accelerator
from edge_sdk.errors import ConfigError

_SHOWN = ("device", "providers", "precision", "threads", "cores")  # what tells candidates apart
_PLACE = ("device", "providers")  # where an engine runs; a user who states it has chosen
_EVERY_COUNT = 4  # threads: up to here each number is tried, from here on every other


@dataclass(frozen=True, eq=False)
class Candidate:
    """A variant in an engine with its options."""

    variant: Variant
    engine: str
    options: Options

    @property
    def name(self) -> str:
        """Such as ``"tflite-int8 on litert, threads=2"``."""
        return name_of(self.variant.id, self.engine, self.options)

    @property
    def place(self) -> tuple[object, ...]:
        """The same of all that differ in threads and cores alone."""
        where = sorted((key, value) for key, value in self.options.items() if key not in ("threads", "cores"))
        return self.variant.id, self.engine, *where

    @property
    def threads(self) -> int:
        """How many it uses on the processor, as far as its options tell."""
        threads = self.options.get("threads", "")
        return int(threads) if threads.isdecimal() else 1


def name_of(variant: str, engine: str, options: Options) -> str:
    """What a candidate is called."""
    said = (f"{key}={options[key]}" for key in _SHOWN if key in options)
    return ", ".join((f"{variant} on {engine}", *said))


def candidates(
    bundle: Bundle,
    variants: Sequence[Variant],
    clusters: Sequence[tuple[int, ...]],
    *,
    board: str = "",
    kinds: tuple[str, ...] = (),
    engine: str | None = None,
    options: Options | None = None,
    stated: Mapping[str, Options] | None = None,
) -> tuple[list[Candidate], dict[str, str]]:
    """Those to measure, the plain one of each variant and device first; and by variant, why others are not.

    Args:
        bundle: has the variants.
        variants: of it, which are asked about.
        clusters: of cores, see ``edge_sdk.engines.cores``.
        board, kinds: that the user named, and what it runs; without kinds whatever has an engine here.
        engine: that the user named; default the one for the variant's kind.
        options: of the user's, for the engines that have them.
        stated: by the board, for each engine.
    """
    found: list[list[Candidate]] = []
    cannot: dict[str, str] = {}
    for variant in variants:
        if why := _why_not(variant, board, kinds):
            cannot[variant.id] = why
            continue
        try:
            name = engine_for(variant.kind, engine)
        except ConfigError as exc:
            cannot[variant.id] = str(exc)
            continue
        given = own_options(name, options or {}, stated)
        found.append([Candidate(variant, name, each) for each in _ways(name, variant.kind, given, clusters)])
    everything = [way for ways in found for way in ways]
    plain = list({way.place: way for way in reversed(everything)}.values())[::-1]
    return [*plain, *(way for way in everything if way not in plain)], cannot


def _why_not(variant: Variant, board: str, kinds: tuple[str, ...]) -> str:
    if kinds and variant.kind not in (*kinds, ON_ANY_PROCESSOR):
        return f"board {board} runs {', '.join(kinds)}"
    if missing := missing_accelerator(variant.kind):
        return f"no {missing} is seen"
    if variant.segments:
        return f"it is a pipeline of {len(variant.segments) + 1} segments, each for an Edge TPU of its own"
    if len(variant.inputs) != 1:
        return f"it has {len(variant.inputs)} inputs; the loop feeds models of one"
    return ""


def _ways(engine: str, kind: str, given: Options, clusters: Sequence[tuple[int, ...]]) -> list[Options]:
    """Options to try: what the user states is not varied."""
    known = known_kind(kind)
    places = known.places() if known is not None and known.engine == engine and given.keys().isdisjoint(_PLACE) else ()
    if places and known is not None:
        elsewhere, given = [{**given, **place} for place in places], {**given, **known.on_processor}
        return [*elsewhere, *_on_processor(engine, kind, given, clusters)]
    return _on_processor(engine, kind, given, clusters)


def _on_processor(engine: str, kind: str, given: Options, clusters: Sequence[tuple[int, ...]]) -> list[Options]:
    elsewhere = needs_accelerator(kind) or any(given.get(key, "cpu").lower() != "cpu" for key in _PLACE)
    if "threads" not in OPTIONS.get(engine, ()) or "threads" in given or elsewhere:
        return [given]
    pinned, _ = cores_of(given)
    cores = len(pinned) or sum(map(len, clusters))
    ways = [{**given, "threads": str(count)} for count in _counts(cores)]
    for cluster in clusters if len(clusters) > 1 and not pinned else ():
        ways += [{**given, "threads": str(count), "cores": as_text(cluster)} for count in _counts(len(cluster))]
    return ways


def _counts(cores: int) -> list[int]:
    return sorted({*range(1, min(cores, _EVERY_COUNT) + 1), *range(_EVERY_COUNT, cores + 1, 2), cores})
