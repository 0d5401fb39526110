"""An autoencoder that knows sound heartbeats, as a SavedModel of two signatures: ``python -m examples.train.heartbeat FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from examples.assets.data import Labels, Numbers
from examples.train.samples import HEARTBEAT_WINDOW, heartbeat_windows

_EPOCHS = 40


def area_under_curve(scores: Numbers, labels: Labels) -> float:
    """Of the ROC curve: how often an anomalous window has the higher score, ties counted half (Mann and Whitney's U)."""
    gap = scores[labels == 1][:, None] - scores[labels == 0][None]
    return float((gap > 0).mean() + (gap == 0).mean() / 2)


def anomaly_scores(given: Numbers, rebuilt: Numbers) -> Numbers:
    """Mean squared error of each window (n)."""
    return np.square(given - rebuilt).mean((1, 2))


def train(folder: Path) -> float:
    """Train on beats without anomaly, write the model, and return the area under its ROC curve on others.

    The signature ``rebuild`` gives the window again, ``encode`` its 8 numbers.
    """
    keras.utils.set_random_seed(0)
    x, _ = heartbeat_windows("TRAIN_NA")
    inputs = keras.Input((HEARTBEAT_WINDOW, 1))
    hidden = inputs
    for width in (16, 24, 32):
        hidden = keras.layers.Conv1D(width, 7, strides=2, padding="same", activation="relu")(hidden)
    code = keras.layers.Dense(8)(keras.layers.Flatten()(hidden))
    hidden = keras.layers.Reshape((HEARTBEAT_WINDOW // 8, 32))(
        keras.layers.Dense(HEARTBEAT_WINDOW // 8 * 32, activation="relu")(code)
    )
    for width in (24, 16):
        hidden = keras.layers.UpSampling1D(2)(hidden)
        hidden = keras.layers.Conv1D(width, 7, padding="same", activation="relu")(hidden)
    outputs = keras.layers.Conv1D(1, 7, padding="same")(keras.layers.UpSampling1D(2)(hidden))
    model, encoder = keras.Model(inputs, outputs), keras.Model(inputs, code)
    model.compile(keras.optimizers.Adam(2e-3), loss="mse")
    model.fit(x, x, batch_size=32, epochs=_EPOCHS, verbose=0)
    _save(model, encoder, folder)
    x, y = heartbeat_windows("TEST")
    return area_under_curve(anomaly_scores(x, model.predict(x, verbose=0)), y)


def _save(model: keras.Model, encoder: keras.Model, folder: Path) -> None:
    archive = keras.export.ExportArchive()
    archive.track(model)
    window = tf.TensorSpec((1, HEARTBEAT_WINDOW, 1), tf.float32, "window")
    archive.add_endpoint("rebuild", lambda window: {"rebuilt": model(window)}, [window])
    archive.add_endpoint("encode", lambda window: {"code": encoder(window)}, [window])
    archive.write_out(str(folder), verbose=False)


if __name__ == "__main__":
    print(f"area under the ROC curve {train(Path(sys.argv[1])):.4f}")
