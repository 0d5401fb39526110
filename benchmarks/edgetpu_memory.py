"""Planned bytes beside those of compiled models, and how far off they are without what a model alone has shown.

    python -m benchmarks.edgetpu_memory FOLDER      # NAME.tflite beside NAME_edgetpu.tflite

The layout of parameters is computed from shapes. Where a part of it was seen in one model only, that model is planned once more without
that part. The share of the activations that the chip holds is the one fitted number: it is fitted again without each model.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from converters.graph import read_graph
from converters.targets.edgetpu import layout, memory
from converters.targets.edgetpu.mapping import map_operators
from converters.targets.edgetpu.memory import activation_bytes
from converters.targets.edgetpu.plan import make_plan
from edge_sdk.edgetpu.package import read_compiled

TILES = 16
LARGE = 1 << 20  # bytes of activations: of smaller ones, what each tile keeps besides counts for more
SEEN_ONCE: dict[str, tuple[str, dict[str, Any]]] = {
    "posenet": ("scales and zero points a channel", {"_numbers": lambda _: 4}),
    "lstm": ("tables of an LSTM", {"_EXCHANGES": 0, "_table_bytes": lambda _: 0}),
    "split_concat": ("tables of moved channels", {"_moving_bytes": lambda *_: 0}),
}


@dataclass(frozen=True)
class Pair:
    """A model and what the compiler made of it: bytes.

    Attributes:
        largest: the most that its activations take at once.
        held: the "narrow memory" of all tiles.
    """

    name: str
    content: bytes
    cached: int
    streamed: int
    largest: int
    held: int


def pairs_in(folder: Path) -> list[Pair]:
    """Every pair of a folder."""
    found = []
    for path in sorted(folder.glob("*_edgetpu.tflite")):
        original, compiled = path.with_name(path.name.replace("_edgetpu", "")), read_compiled(path.read_bytes())
        if compiled is None or not original.exists():
            continue
        content = original.read_bytes()
        model = read_graph(content)
        operators = [each.operator for each in map_operators(model) if each.maps]
        mains = [operator.package.main for operator in compiled.operators]
        held = TILES * sum(main.used_narrow_memory_bytes_per_tile for main in mains if main is not None)
        largest = activation_bytes(model, operators)
        found.append(Pair(original.stem, content, compiled.cached_bytes, compiled.streamed_bytes, largest, held))
    return found


def share_of(pairs: list[Pair]) -> float:
    """Of the largest activations, what is held: the least squares of these pairs' large ones."""
    large = [pair for pair in pairs if pair.largest > LARGE]
    return sum(pair.held * pair.largest for pair in large) / sum(pair.largest**2 for pair in large)


def rows(pairs: list[Pair]) -> Iterator[str]:
    """The table."""
    for left_out in pairs:
        others = [pair for pair in pairs if pair is not left_out]
        plan = make_plan(left_out.content)
        dropped, without = _without(left_out.name)
        with without:
            blind = make_plan(left_out.content)
        held = f"{share_of(others) * left_out.largest / left_out.held - 1:+.1%}" if left_out.largest > LARGE else ""
        yield (
            f"| {left_out.name} | {left_out.cached:,} | {plan.cached_bytes:,} | {plan.cached_bytes / left_out.cached - 1:+.2%} | "
            f"{left_out.streamed:,} | {plan.streamed_bytes:,} | {dropped} | {blind.cached_bytes / left_out.cached - 1:+.1%} | {held} |"
        )


def _without(name: str) -> tuple[str, Any]:
    for part, (words, patches) in SEEN_ONCE.items():
        if part in name:
            return words, _patched(patches)
    return "nothing", ExitStack()


@contextmanager
def _patched(patches: dict[str, Any]) -> Iterator[None]:
    with ExitStack() as stack:
        for name, value in patches.items():
            stack.enter_context(patch.object(layout, name, value))
        yield


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    pairs = pairs_in(parser.parse_args().folder)
    print(
        "| model | cached | planned | error | streamed | planned | seen here only | error without it | held, left out |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for line in rows(pairs):
        print(line)
    print(f"\nshare of all: {share_of(pairs):.3f} (in use: {memory.ACTIVATION_SHARE})")


if __name__ == "__main__":
    main()
