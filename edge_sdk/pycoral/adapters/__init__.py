"""Images in, results out: of any model, a classifier, a detector, a segmentation model."""

from __future__ import annotations

from edge_sdk.pycoral.adapters import classify, common, detect, segment

__all__ = ["classify", "common", "detect", "segment"]
