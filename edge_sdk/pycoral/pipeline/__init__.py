"""A model in segments, one device each."""

from __future__ import annotations

from edge_sdk.pycoral.pipeline import pipelined_model_runner

__all__ = ["pipelined_model_runner"]
