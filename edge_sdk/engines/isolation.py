"""Opening an engine with or without a process of its own."""

from __future__ import annotations

import os
from typing import Literal

from edge_sdk.engines import Engine, Options, hint, load_engine, try_out
from edge_sdk.engines.process import ProcessEngine
from edge_sdk.engines.wire import memory_file
from edge_sdk.errors import ConfigError, EngineCrashError, EngineHangError

Isolation = Literal["process", "none"]


def open_engine(
    name: str,
    model: bytes,
    options: Options | None = None,
    *,
    isolation: Isolation = "process",
    hang_ms: float = 10_000,
    start: bool = True,
) -> Engine:
    """An engine that runs ``model``.

    Args:
        name: see ``edge_sdk.engines``.
        model: the model's content.
        options: the engine's options; those of any engine in a process of its own, see ``ProcessEngine``.
        isolation: ``"process"`` (a hang or crash raises an error, and ``restart`` brings it back) or ``"none"``.
        hang_ms: the hang budget of one run; without a process of its own an engine that hangs cannot be stopped.
        start: whether to start it at once; an engine in a process of its own may wait for its first ``restart``.

    Raises:
        ConfigError: if isolation is another word, or ``cores`` are stated without a process to keep on them; as the engine does.
        EngineError: as the engine does.
    """
    if isolation == "process":
        try:
            return ProcessEngine(name, model, options, hang_ms=hang_ms, start=start)
        except EngineHangError as exc:
            raise EngineHangError(exc.hang_ms, hint(name, options or {})) from exc
        except EngineCrashError as exc:
            raise EngineCrashError(exc.reason, hint(name, options or {})) from exc
    if isolation != "none":
        raise ConfigError(f"isolation is process or none; found {isolation!r}")
    if "cores" in (options or {}):
        raise ConfigError(
            "cores keeps the engine's process on them, and isolation=none has none: it would be the application's own thread. Take "
            "isolation=process, or start the application by taskset"
        )
    try_out(name, model, options or {})
    fd = memory_file("edge-sdk-model", model)
    try:
        return load_engine(name, f"/proc/self/fd/{fd}", options)
    finally:
        os.close(fd)  # engines map or read the file while they load
