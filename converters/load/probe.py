"""A first run of an untrusted model in a process of its own: one that hangs or crashes does so there."""

from __future__ import annotations

from edge_sdk.engines.process import ProcessEngine
from edge_sdk.errors import EngineCrashError, EngineError, EngineHangError, ModelError

HANG_MS = 30_000.0


def probe(content: bytes, *, hang_ms: float = HANG_MS) -> None:
    """Load the model and run it once on zeros, in a child process.

    Raises:
        ModelError: if it is refused, crashes, or has not come back after ``hang_ms`` milliseconds.
    """
    try:
        with ProcessEngine("litert", content, hang_ms=hang_ms, start_ms=hang_ms) as engine:
            engine.run()
    except EngineHangError as exc:
        raise ModelError(
            f"the model hangs: one run had not come back after {hang_ms / 1000:g} s, and its process was killed. "
            "Look for a loop whose condition never turns false"
        ) from exc
    except EngineCrashError as exc:
        raise ModelError(
            f"the model crashes the interpreter ({exc.reason}); it is damaged or hostile. Export it again"
        ) from exc
    except EngineError as exc:
        raise ModelError(f"the model does not run: {exc}") from exc
