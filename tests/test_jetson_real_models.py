"""Real models as QDQ for TensorRT: symmetric and repaired, they agree with float as asymmetric ones do, on pictures not calibrated on."""

from __future__ import annotations

import pytest

pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

from benchmarks.qdq import measured
from benchmarks.qdq_models import NotHereError, subjects

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
NAMES = ("BlazeFace", "selfie segmentation", "MobileNetV2, ImageNet")


@pytest.mark.parametrize("name", NAMES)
def test_symmetric_after_repair_is_no_worse_than_asymmetric(name: str) -> None:
    subject = next(each for each in subjects() if each.name == name)
    try:
        found = measured(subject, quick=False)
    except NotHereError as exc:
        pytest.skip(str(exc))
    assert found.repaired.agreement >= max(found.asymmetric.agreement, found.peer.agreement) - 1.0
    assert found.repaired.db > found.plain.db
