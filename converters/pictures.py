"""Pictures for the report: raw samples, and what the network sees of them."""

from __future__ import annotations

import base64
from collections.abc import Iterable

import numpy as np

from converters.calibrate.samples import RawSample
from converters.report.figures import SamplePicture
from edge_sdk.contract import Contract
from edge_sdk.encoder import Encoder
from edge_sdk.errors import needs
from edge_sdk.tensors import Array, TensorSpec

_WIDEST = 320


def sample_pictures(samples: Iterable[RawSample], contract: Contract, spec: TensorSpec) -> tuple[SamplePicture, ...]:
    """Each sample beside its input tensor shown as bytes: size, resize mode, border and colour order as the network gets them.

    Args:
        samples: raw samples.
        contract: what is true of the model's input; without an image there is no picture.
        spec: of the float input tensor.
    """
    if contract.input != "image":
        return ()
    as_bytes = contract.model_copy(update={"range": (0.0, 255.0), "mean": None, "std": None})
    encoder = Encoder(as_bytes, TensorSpec(spec.name, spec.shape, "uint8", 1.0, 0))
    pictures = []
    for sample in samples:
        seen = np.empty(spec.shape, np.uint8)
        encoder.encode(sample.data, seen, colour=sample.colour)
        raw = sample.data[:, :, ::-1] if sample.colour == "rgb" and sample.data.ndim == 3 else sample.data
        shown = seen[0, :, :, ::-1] if contract.colour == "rgb" else seen[0]
        pictures.append(SamplePicture(caption=sample.name.rpartition("/")[2], raw=_png(_shrunk(raw)), seen=_png(shown)))
    return tuple(pictures)


def _shrunk(image: Array) -> Array:
    import cv2

    height, width = image.shape[:2]
    if width <= _WIDEST:
        return image
    return cv2.resize(image, (_WIDEST, max(1, round(height * _WIDEST / width))), interpolation=cv2.INTER_AREA)  # type: ignore[no-any-return]


def _png(image: Array) -> str:
    with needs("cv2", for_="the report's pictures", extra="convert"):
        import cv2
    _, content = cv2.imencode(".png", np.ascontiguousarray(image))
    return base64.b64encode(content.tobytes()).decode()
