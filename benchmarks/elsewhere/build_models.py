"""Builds the models; run by benchmarks/models.py in an environment that has TensorFlow: ``python build_models.py FOLDER``.

Nothing is trained: speed does not depend on what the weights say. But the weights are drawn with a fixed seed and batch
normalisation is set to the statistics of random input, so that every layer's activations have a sane range, as in a trained model.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

_SEED = 20260101
_SAMPLES = 48


def mobilenet_v2() -> keras.Model:
    """MobileNetV2-224 whose inputs are (byte - 128) / 128, so that quantized input is the byte itself (uint8) or byte - 128 (int8)."""
    model = keras.applications.MobileNetV2(input_shape=(224, 224, 3), alpha=1.0, weights=None, classes=1000)
    return _enliven(model, _images(_SAMPLES))


def ds_cnn() -> keras.Model:
    """DS-CNN of MLPerf Tiny: convolution 64 of 10x4 with stride 2, four depthwise-separable blocks of 64, average pool, dense 12."""
    inputs = keras.Input((49, 10, 1))
    x = _normalised(keras.layers.Conv2D(64, (10, 4), strides=2, padding="same")(inputs))
    for _ in range(4):
        x = _normalised(keras.layers.DepthwiseConv2D(3, padding="same")(x))
        x = _normalised(keras.layers.Conv2D(64, 1, padding="same")(x))
    x = keras.layers.AveragePooling2D((25, 5))(x)
    outputs = keras.layers.Dense(12, activation="softmax")(keras.layers.Flatten()(x))
    return _enliven(keras.Model(inputs, outputs), _features(256))


def _normalised(x: keras.KerasTensor) -> keras.KerasTensor:
    return keras.layers.ReLU()(keras.layers.BatchNormalization()(x))


def _enliven(model: keras.Model, batch: np.ndarray) -> keras.Model:
    """Set every batch normalisation to the statistics of ``batch``, and the classifier so that the best class depends on the input."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(batch, training=True)
    classifier = model.layers[-1]
    kernel, _ = classifier.get_weights()
    logits = keras.Model(model.inputs, classifier.input)(batch).numpy() @ kernel
    gain = 3 / logits.std(axis=0)  # a logit's usual deviation from its mean
    classifier.set_weights([kernel * gain, -logits.mean(axis=0) * gain])
    return model


def _images(count: int) -> np.ndarray:
    """Random images (count, 224, 224, 3), from large even areas to fine patches, with little to much noise, as photographs vary.

    Every one touches both ends of the range, so that quantization's scale and zero point are those of bytes.
    """
    generator = np.random.default_rng(_SEED)
    images = np.empty((count, 224, 224, 3), np.float32)
    for number, image in enumerate(images):
        cells = (2, 4, 7, 14, 28, 56)[number % 6]
        coarse = generator.integers(0, 256, (cells, cells, 3)).repeat(224 // cells, axis=0).repeat(224 // cells, axis=1)
        noisy = coarse * generator.uniform(0.3, 1) + generator.normal(0, generator.uniform(0, 16), image.shape)
        image[...] = np.clip(np.round(noisy), 0, 255)
        image[0, 0], image[0, 1] = 0, 255
    return (images - 128) / 128


def _features(count: int) -> np.ndarray:
    return np.random.default_rng(_SEED).standard_normal((count, 49, 10, 1)).astype(np.float32)


def convert(model: keras.Model, data: np.ndarray, io_type: tf.DType | None) -> bytes:
    """The model as .tflite: float, or, with ``io_type`` for input and output, full-integer by post-training quantization."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if io_type is not None:

        def representative() -> Iterator[list[np.ndarray]]:
            yield from ([sample[None]] for sample in data)

        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = io_type
    content: bytes = converter.convert()
    return content


def main(folder: Path) -> None:
    """Write everything into ``folder``."""
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(_SEED)
    kinds = {"float": None, "int8": tf.int8, "uint8": tf.uint8}
    for name, model, data, wanted in (
        ("mobilenet_v2_224", mobilenet_v2(), _images(_SAMPLES), ("float", "int8", "uint8")),
        ("ds_cnn_49x10", ds_cnn(), _features(_SAMPLES), ("float", "int8")),
    ):
        for kind in wanted:
            (folder / f"{name}_{kind}.tflite").write_bytes(convert(model, data, kinds[kind]))
    (folder / "labels.txt").write_text("".join(f"class {index}\n" for index in range(1000)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
