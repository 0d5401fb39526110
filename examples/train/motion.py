"""A one-dimensional convolutional net for a smartwatch's exercises in Keras 3: ``python -m examples.train.motion MODEL.keras``."""

from __future__ import annotations

import sys
from pathlib import Path

import keras

from examples.train.samples import EXERCISE_WINDOW, exercise_windows

_EPOCHS = 12


def train(file: Path) -> float:
    """Train, write the model (raw windows in, 7 probabilities out), and return its accuracy on unseen people."""
    keras.utils.set_random_seed(0)
    x, y = exercise_windows(test=False)
    normalise = keras.layers.Normalization(axis=-1)
    normalise.adapt(x)
    inputs = keras.Input((EXERCISE_WINDOW, 6))
    hidden = normalise(inputs)
    for width in (32, 48, 64):
        hidden = keras.layers.Conv1D(width, 5, strides=2, padding="same", use_bias=False)(hidden)
        hidden = keras.layers.ReLU()(keras.layers.BatchNormalization()(hidden))
    hidden = keras.layers.Dropout(0.3)(keras.layers.GlobalAveragePooling1D()(hidden))
    model = keras.Model(inputs, keras.layers.Dense(7, activation="softmax")(hidden))
    model.compile(keras.optimizers.Adam(2e-3), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=64, epochs=_EPOCHS, verbose=0)
    model.save(file)
    x, y = exercise_windows(test=True)
    return float(model.evaluate(x, y, verbose=0)[1])


if __name__ == "__main__":
    print(f"test accuracy {train(Path(sys.argv[1])):.4f}")
