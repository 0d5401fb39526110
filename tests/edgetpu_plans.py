"""Plans for the Edge TPU, made up for tests."""

from __future__ import annotations

from typing import Any

from edge_sdk.edgetpu.plan import Plan


def plan_of(**changed: Any) -> Plan:
    """A plan of no operators, with these fields."""
    fields: dict[str, Any] = {
        "model_sha256": "0" * 64,
        "compiler": "16.0",
        "runtime": "14",
        "operators": (),
        "partitions": 1,
        "weight_bytes": 0,
        "cached_bytes": 0,
        "streamed_bytes": 0,
        "input_bytes": 1,
        "output_bytes": 1,
    }
    return Plan(**{**fields, **changed})
