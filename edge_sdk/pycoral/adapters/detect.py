"""The results of a detector that ends in TFLite_Detection_PostProcess, which decodes its boxes and drops overlapping ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from edge_sdk.pycoral.adapters import common
from edge_sdk.tensors import Array

_COUNT, _SCORES, _CLASSES, _BOXES = "output_0", "output_1", "output_2", "output_3"  # of TensorFlow 2's signature


class BBox(NamedTuple):
    """A box; in pixels where ``get_objects`` made it."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float

    @property
    def width(self) -> float:
        """From left to right."""
        return self.xmax - self.xmin

    @property
    def height(self) -> float:
        """From top to bottom."""
        return self.ymax - self.ymin

    @property
    def area(self) -> float:
        """Width times height."""
        return self.width * self.height

    @property
    def valid(self) -> bool:
        """Whether neither width nor height is negative."""
        return self.width >= 0 and self.height >= 0

    def scale(self, sx: float, sy: float) -> BBox:
        """Times ``sx`` along x, ``sy`` along y."""
        return BBox(sx * self.xmin, sy * self.ymin, sx * self.xmax, sy * self.ymax)

    def translate(self, dx: float, dy: float) -> BBox:
        """Moved by ``dx`` to the right, ``dy`` down."""
        return BBox(dx + self.xmin, dy + self.ymin, dx + self.xmax, dy + self.ymax)

    def map(self, f: Callable[[float], float]) -> BBox:
        """With ``f`` of each number."""
        return BBox(f(self.xmin), f(self.ymin), f(self.xmax), f(self.ymax))

    @staticmethod
    def intersect(a: BBox, b: BBox) -> BBox:
        """What both cover; not ``valid`` where they do not meet."""
        return BBox(max(a.xmin, b.xmin), max(a.ymin, b.ymin), min(a.xmax, b.xmax), min(a.ymax, b.ymax))

    @staticmethod
    def union(a: BBox, b: BBox) -> BBox:
        """The smallest box around both."""
        return BBox(min(a.xmin, b.xmin), min(a.ymin, b.ymin), max(a.xmax, b.xmax), max(a.ymax, b.ymax))

    @staticmethod
    def iou(a: BBox, b: BBox) -> float:
        """Intersection over union, by area: 1.0 where they are the same box, 0.0 where they do not meet or have no area."""
        both = BBox.intersect(a, b)
        if not both.valid:
            return 0.0
        either = a.area + b.area - both.area
        return both.area / either if either else 0.0


class Object(NamedTuple):
    """What was found: its class, its score, and where."""

    id: int
    score: float
    bbox: BBox


def get_objects(
    interpreter: Any, score_threshold: float = -float("inf"), image_scale: tuple[float, float] = (1.0, 1.0)
) -> list[Object]:
    """What the detector found, in the order of its outputs: highest score first.

    Args:
        interpreter: after ``invoke``.
        score_threshold: the lowest score that counts.
        image_scale: (x, y) from pixels of the image to pixels of the model's input, as ``common.set_resized_input`` returns it.

    Returns:
        Boxes in whole pixels of the image, cut towards zero; they may lie outside it.

    Raises:
        ValueError: if the model has several signatures, or does not have the four outputs of TFLite_Detection_PostProcess.
    """
    boxes, classes, scores, count = _outputs(interpreter)
    width, height = common.input_size(interpreter)
    sx, sy = width / image_scale[0], height / image_scale[1]

    def found(i: int) -> Object:
        ymin, xmin, ymax, xmax = (float(each) for each in boxes[i])
        return Object(int(classes[i]), float(scores[i]), BBox(xmin, ymin, xmax, ymax).scale(sx, sy).map(int))

    return [found(i) for i in range(min(count, len(scores))) if scores[i] >= score_threshold]


def _outputs(interpreter: Any) -> tuple[Array, Array, Array, int]:
    """Boxes (n, 4) as ymin, xmin, ymax, xmax in 0..1 of the input, classes (n,), scores (n,), how many of them are found."""
    named = _named_outputs(interpreter)
    outputs = [detail["index"] for detail in interpreter.get_output_details()]
    if named is not None:
        order = [named[_BOXES], named[_CLASSES], named[_SCORES], named[_COUNT]]
    elif len(outputs) < 4:
        raise ValueError(
            f"the model has {len(outputs)} outputs; get_objects reads four: boxes, classes, scores and their number, as "
            "TFLite_Detection_PostProcess gives them. Export the detector with it, or decode its raw heads with an edge-sdk "
            "bundle (docs/tasks.md)"
        )
    elif interpreter.tensor(outputs[3])().size == 1:
        order = outputs[:4]  # TensorFlow 1
    else:
        scores, boxes, number, classes = outputs[:4]  # TensorFlow 2
        order = [boxes, classes, scores, number]
    boxes, classes, scores, number = (interpreter.tensor(index)()[0] for index in order)
    return boxes, classes, scores, int(number)


def _named_outputs(interpreter: Any) -> dict[str, int] | None:
    """Tensor indices by their names in the model's signature; None without one, or one with other names."""
    signatures = list(interpreter._get_full_signature_list().values())
    if len(signatures) > 1:
        raise ValueError(f"the model has {len(signatures)} signatures; get_objects reads models with one")
    named: dict[str, int] = signatures[0]["outputs"] if signatures else {}
    return named if {_COUNT, _SCORES, _CLASSES, _BOXES} <= named.keys() else None
