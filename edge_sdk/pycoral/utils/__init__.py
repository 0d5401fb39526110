"""Interpreters on Edge TPUs, and files of labels."""

from __future__ import annotations

from edge_sdk.pycoral.utils import dataset, edgetpu

__all__ = ["dataset", "edgetpu"]
