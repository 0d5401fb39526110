"""The way to the board profiles. ``boards`` on the package index is another project, which overwrites ours when it is installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edge_sdk.errors import BoardError

if TYPE_CHECKING:
    from boards.profile import Board

REINSTALL = "pip uninstall boards converters; pip install --force-reinstall --no-deps edge-device-sdk"


@contextmanager
def our_boards() -> Iterator[None]:
    """Turn an ImportError from ``boards`` into a message with the fix: ``with our_boards(): from boards import load``.

    Raises:
        BoardError: if the package found is not ours, or is gone; an ImportError of anything else passes through.
    """
    try:
        yield
    except ImportError as exc:
        if exc.name is None or exc.name.partition(".")[0] != "boards":
            raise
        raise BoardError(
            f"the package boards that Python finds is not that of edge-device-sdk: {exc}. Run: {REINSTALL}"
        ) from exc


def load_board(name: str) -> Board:
    """The profile of this name.

    Raises:
        BoardError: if there is none, or it is no good.
    """
    with our_boards():
        import boards
    return boards.load(name)
