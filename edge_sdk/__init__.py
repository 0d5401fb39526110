"""Neural networks on small computers, on time.

    import edge_sdk

    with edge_sdk.Loop("detector.edge", source="camera:0", deadline_ms=50) as loop:
        for result in loop:
            act_on(result.value, age_ms=result.age_ms, late=result.late)

Every name below loads when it is first used: importing this package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from edge_sdk.bundle.read import Bundle
    from edge_sdk.contract import Contract, Placement
    from edge_sdk.encoder import Encoder
    from edge_sdk.engines import Engine, load_engine
    from edge_sdk.engines.isolation import open_engine
    from edge_sdk.errors import EdgeSdkError
    from edge_sdk.loop import Loop
    from edge_sdk.loop_report import LoopReport
    from edge_sdk.result import Event, Result
    from edge_sdk.sinks import Sink, sink_from
    from edge_sdk.sources import Sample, Source, source_from
    from edge_sdk.tasks import Task
    from edge_sdk.tensors import TensorSpec
    from edge_sdk.watchdog.deadline import Deadline

_HOMES = {
    "Bundle": "edge_sdk.bundle.read",
    "Contract": "edge_sdk.contract",
    "Deadline": "edge_sdk.watchdog.deadline",
    "EdgeSdkError": "edge_sdk.errors",
    "Encoder": "edge_sdk.encoder",
    "Engine": "edge_sdk.engines",
    "Event": "edge_sdk.result",
    "Loop": "edge_sdk.loop",
    "LoopReport": "edge_sdk.loop_report",
    "Placement": "edge_sdk.contract",
    "Result": "edge_sdk.result",
    "Sample": "edge_sdk.sources",
    "Sink": "edge_sdk.sinks",
    "Source": "edge_sdk.sources",
    "Task": "edge_sdk.tasks",
    "TensorSpec": "edge_sdk.tensors",
    "load_engine": "edge_sdk.engines",
    "open_engine": "edge_sdk.engines.isolation",
    "sink_from": "edge_sdk.sinks",
    "source_from": "edge_sdk.sources",
}

__all__ = [
    "Bundle",
    "Contract",
    "Deadline",
    "EdgeSdkError",
    "Encoder",
    "Engine",
    "Event",
    "Loop",
    "LoopReport",
    "Placement",
    "Result",
    "Sample",
    "Sink",
    "Source",
    "Task",
    "TensorSpec",
    "load_engine",
    "open_engine",
    "sink_from",
    "source_from",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'edge_sdk' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
