"""``train_digits.py DATA.npz MODEL.tflite``: MobileNetV2 of width 0.35, on digits of 48x48 pixels (``images`` and ``labels`` of DATA)."""

from __future__ import annotations

import sys

import keras
import numpy as np
import tensorflow as tf

_EPOCHS, _BATCH = 6, 64


def main(data: str, target: str) -> None:
    """Train with a fixed seed, on (byte / 127.5 - 1) of three equal channels, and write a float .tflite of one image a time."""
    keras.utils.set_random_seed(0)
    stored = np.load(data)
    images, labels = stored["images"].astype(np.float32) / 127.5 - 1, stored["labels"]
    net = keras.applications.MobileNetV2(input_shape=(48, 48, 3), alpha=0.35, weights=None, classes=10)
    for layer in net.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # of few steps
    rate = keras.optimizers.schedules.CosineDecay(3e-3, len(images) // _BATCH * _EPOCHS)
    net.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    net.fit(images, labels, batch_size=_BATCH, epochs=_EPOCHS, verbose=0)
    with open(target, "wb") as file:  # noqa: PTH123 - as the others here, without a package of ours
        file.write(tf.lite.TFLiteConverter.from_keras_model(net).convert())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
