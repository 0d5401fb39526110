"""Trying a trio in a process of its own before it is used in ours: one that does not fit dies, and would take us with it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from edge_sdk.edgetpu.library import LIBRARY
from edge_sdk.edgetpu.trio import Judgement, Trio, advice, entries, find_trio, judge
from edge_sdk.errors import EngineCrashError, EngineHangError

_HANG_MS, _START_MS = 10_000.0, 30_000.0  # the first use loads the firmware, which takes seconds
_KEPT = 50


def trio_of(options: dict[str, str]) -> Trio:
    """The trio that an engine with these options takes.

    Raises:
        ConfigError, EngineError, MissingPackageError: if its interpreter cannot be had.
    """
    from edge_sdk.engines.edgetpu import interpreters
    from edge_sdk.engines.litert import find_interpreter, version_of

    package, _ = find_interpreter(interpreters(options))
    return find_trio(package, version_of(package), options.get("library") or LIBRARY)


def explanation(trio: Trio) -> str:
    """For who sees it fail: which trio it is, what is known of it, and which to take."""
    known = entries()
    judgement: Judgement = judge(trio, known)
    return f"the trio is {trio}: {judgement}; {advice(known)}"


def probe(model: bytes, options: dict[str, str], *, cache: Path | None = None) -> None:
    """Load the delegate and the model in a child, and run it once; what worked before is not tried again.

    Args:
        model: the compiled model.
        options: of the engine edgetpu.
        cache: the file that remembers what worked; default one of the user's.

    Raises:
        EngineCrashError, EngineHangError: if the child died or hung; the message names the trio and those that are known to work.
        EngineError, ConfigError: as the engine does.
    """
    from edge_sdk.engines.process import ProcessEngine

    trio, cache = trio_of(options), cache or cache_file()
    worked = _read(cache)
    if trio.key in worked:
        return
    try:
        with ProcessEngine("edgetpu", model, options, hang_ms=_HANG_MS, start_ms=_START_MS) as engine:
            engine.run()
    except EngineCrashError as exc:
        raise EngineCrashError(exc.reason, explanation(trio)) from exc
    except EngineHangError as exc:
        raise EngineHangError(exc.hang_ms, explanation(trio)) from exc
    _write(cache, [*worked, trio.key][-_KEPT:])


def cache_file() -> Path:
    """Where it is remembered: a folder of the user's, which may be lost at any time."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "edge-sdk/edgetpu-trios.json"


def _read(cache: Path) -> list[str]:
    try:
        kept = json.loads(cache.read_text())
    except (OSError, ValueError):  # none yet, or cut off: it is probed again
        return []
    return [str(each) for each in kept] if isinstance(kept, list) else []


def _write(cache: Path, worked: list[str]) -> None:
    beside = cache.with_name(f".{cache.name}.{os.getpid()}")
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(worked))
        beside.replace(cache)
    except OSError:  # a read-only system: it is probed at every start
        return
