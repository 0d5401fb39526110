"""What the loop does with a choice by measurement: takes the one that is kept, or has one made beside it for its next start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from edge_sdk.bundle import Bundle, Variant
from edge_sdk.engines import Options, engine_for
from edge_sdk.engines.variants import ON_ANY_PROCESSOR, known_kind, needs_accelerator
from edge_sdk.errors import ConfigError, OutputError
from edge_sdk.refusal import refusal
from edge_sdk.result import Result
from edge_sdk.tune.background import Background
from edge_sdk.tune.taken import Taken

Tuned = Literal["stored", "off", "background"]


class Tuning:
    """Of one loop.

    Args:
        mode: see ``edge_sdk.loop.Loop``.
        say: told, by kind and message, of what is taken and of what is not.
        board: that the user named.
        named: the user has named a variant or an engine, which goes before any choice.

    Raises:
        ConfigError: if there is no such mode.
    """

    def __init__(self, mode: Tuned, say: Callable[[str, str], None], *, board: str | None, named: bool) -> None:
        if mode not in get_args(Tuned):
            raise ConfigError(f"tuned is stored, off or background; found {mode!r}")
        self._mode, self._say, self._board = "off" if named else mode, say, board
        self._wanted = self._mode == "background"
        self._background: Background | None = None

    def taken(self, bundle: Bundle, kinds: tuple[str, ...]) -> Taken | None:
        """The choice that is kept, if it still holds; otherwise why it is not taken is said."""
        if self._mode == "off":
            return None
        from edge_sdk.tune.store import holds_now, state_dirs, stored

        try:
            found = stored(bundle.path, state_dirs(), self._tell)
        except OutputError as exc:
            self._tell(str(exc))
            return None
        if found is None:
            return None
        row = found.taken
        why_not = found.holds.changes_to(holds_now(bundle, self._board))
        kind = bundle.variant(row.variant).kind if not why_not else ""
        if not why_not and kinds and kind not in (*kinds, ON_ANY_PROCESSOR):
            why_not = f"board {self._board} does not run {kind}"
        if why_not:
            again = "it is measured again" if self._wanted else f"measure again: edge-sdk tune {bundle.path}"
            self._tell(f"the choice that was measured here is not taken: {why_not}; {again}")
            return None
        self._wanted = False
        self._tell(f"{row.name} runs, as measured here: p50 {row.p50_ms:.3g} ms, p95 {row.p95_ms:.3g} ms, {found.why}")
        engine = None if row.engine == engine_for(kind) else row.engine
        return Taken(row.variant, engine, row.options)

    def begin(self, bundle: Bundle, configured: Variant, options: Options) -> None:
        """The loop runs: measure beside it, if that is wanted and nothing is kept.

        Args:
            bundle: the loop's.
            configured: the variant that the loop is to run; it may have its device yet to come, and another stand by.
            options: of the engines, that the user states.
        """
        if not self._wanted:
            return
        if needs_accelerator(configured.kind):
            known = known_kind(configured.kind)
            device = known.accelerator if known else "device"
            self._tell(
                f"nothing is measured beside the loop, as it holds the {device}; stop it, and run: edge-sdk tune {bundle.path}"
            )
            return
        try:
            self._background = Background(bundle.path, self._board, options)
        except OSError as exc:
            self._tell(f"nothing is measured beside the loop: a process cannot be started: {refusal(exc)}")

    def took(self, result: Result) -> None:
        """After each result."""
        if self._background is None:
            return
        if result.late:
            self._background.missed()
        if (said := self._background.news()) is not None:
            self._tell(said)
            self.close()

    def close(self) -> None:
        """End what measures beside the loop."""
        if self._background is not None:
            self._background.close()
            self._background = None

    def _tell(self, message: str) -> None:
        self._say("tuned", message)
