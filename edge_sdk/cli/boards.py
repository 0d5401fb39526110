"""``edge-sdk boards``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_sdk.cli.table import facts, heading, table
from edge_sdk.profiles import our_boards

if TYPE_CHECKING:
    from boards import Board

_MAKERS = r"^(Arm Cortex-|NVIDIA )"  # of cores, that the list has no room for
_ORDER = (
    "processor",
    "gpu",
    "memory_mb",
    "sram_mb",
    "connection",
    "accelerators",
    "variants",
    "thermal",
    "camera",
    "systems",
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("name", required=False)
@click.option("--detect", "detecting", is_flag=True, help="Say which board this is, and what that was seen from.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def boards(name: str | None, detecting: bool, as_json: bool) -> None:
    """List the boards, show one in detail, or say which one this is.

    \b
    edge-sdk boards
    edge-sdk boards raspberry-pi-5
    edge-sdk boards --detect
    """
    with our_boards():
        from boards import load, names
    if name is not None and detecting:
        raise click.UsageError("give a NAME or --detect, not both")
    if detecting:
        _detect(as_json)
    elif name is not None:
        board = load(name)
        click.echo(board.model_dump_json(indent=2, exclude_none=True) if as_json else _detail(board))
    else:
        everything = [load(each) for each in names()]
        if as_json:
            click.echo(json.dumps([board.model_dump(mode="json", exclude_none=True) for board in everything], indent=2))
        else:
            click.echo("\n".join(table(("name", "board", "processor", "memory", "runs first"), map(_row, everything))))


def _detect(as_json: bool) -> None:
    from boards.detect import detect

    detection = detect(Path("/"))
    if as_json:
        found = {
            "board": detection.board,
            "evidence": detection.evidence,
            "accelerators": [{"name": a.name, "id": a.id, "path": str(a.path)} for a in detection.accelerators],
            "variants": detection.variants,
        }
        click.echo(json.dumps(found, indent=2))
        return
    rows = [("board", detection.board or "unknown")]
    rows += [("because", said) for said in detection.evidence]
    rows += [("accelerator", f"{a.name}: {a.evidence}") for a in detection.accelerators] or [("accelerator", "none")]
    rows.append(("runs", ", ".join(detection.variants) or "not known"))
    click.echo("\n".join(facts(rows)))


def _row(board: Board) -> tuple[str, ...]:
    from boards import Computer

    if not isinstance(board, Computer):
        return (board.name, board.title, "its host's", "", board.variants[0])
    processor = board.processor
    core = processor.instruction_set if processor.core == "unknown" else re.sub(_MAKERS, "", processor.core)
    cores = f"{processor.cores} x " if processor.cores else ""
    clock = f", {processor.clock_mhz / 1000:g} GHz" if processor.clock_mhz else ""
    return (board.name, board.title, f"{cores}{core}{clock}", _memory(board.memory_mb), board.variants[0])


def _memory(sizes_mb: tuple[int, ...]) -> str:
    sizes = [f"{mb / 1024:g}" for mb in sizes_mb]
    return f"{'-'.join(dict.fromkeys((sizes[0], sizes[-1])))} GB" if sizes else ""


def _detail(board: Board) -> str:
    """Every fact of a profile, with a mark at what no source was found for."""
    stated = board.model_dump(exclude_none=True, exclude={"name", "kind", "title", "sources", "unverified"})
    rows: list[tuple[str, str]] = []
    for section in sorted(stated, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER)):
        _flatten(section, stated[section], rows)
    marked = [(key, f"{value}  (unverified)" if _covers(board.unverified, key) else value) for key, value in rows]
    sources = [(key, said) for key, saids in board.sources.items() for said in saids]
    lines = [f"{board.title} ({board.name})", *facts(marked), *heading("Sources"), *facts(sources)]
    return "\n".join(lines)


def _covers(keys: tuple[str, ...], key: str) -> bool:
    plain = ".".join(part for part in key.split(".") if not part.isdigit())
    return any(plain == known or plain.startswith(f"{known}.") for known in keys)


def _flatten(prefix: str, value: Any, rows: list[tuple[str, str]]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _flatten(f"{prefix}.{key}", inner, rows)
    elif isinstance(value, tuple) and value and isinstance(value[0], dict):
        for number, inner in enumerate(value, 1):
            _flatten(f"{prefix}.{number}", inner, rows)
    elif value not in ("", ()):
        rows.append((prefix, _text(value)))


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
