"""What a board's makers say that it can do."""

from __future__ import annotations

from edge_sdk.profiles import load_board, our_boards


def stated_roof(board: str | None) -> str:
    """In words, for one core; empty where the board is not known, or its profile does not tell.

    Args:
        board: name of a profile; None for the board that this is.

    Raises:
        BoardError: if there is no such board.
    """
    with our_boards():
        from boards.detect import detect
        from boards.profile import Computer
    name = board or detect().board
    found = load_board(name) if name is not None else None
    if not isinstance(found, Computer) or found.roof is None:
        return ""
    roof, clock_mhz = found.roof, found.processor.clock_mhz
    said = f"{found.title}: {roof.memory_gb_s:g} GB/s"
    if roof.int8_macs_per_cycle is not None and clock_mhz is not None:
        said += f", {roof.int8_macs_per_cycle * clock_mhz * 1e-3:g} GMAC/s of int8 on one core"
    return said
