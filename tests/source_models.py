"""Small models of Keras 3, Keras 2 and TensorFlow in every form that is read; a script, so that the frameworks stay out of the tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "KERAS_BACKEND": "tensorflow"}

import keras
import tensorflow as tf
import tf_keras


def keras_3(folder: Path) -> None:
    layers = keras.layers
    entry = keras.Input((28, 28, 1), name="picture")
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(entry))
    ends = [layers.Dense(3, name="scores")(layers.Flatten()(x)), layers.Conv2DTranspose(2, 3, name="mask")(x)]
    two = keras.Model(entry, ends)
    two.save(folder / "two.keras")
    two.save(folder / "two.h5")
    two.save_weights(folder / "two.weights.h5")
    two.export(str(folder / "exported"), verbose=False)
    _save("rnn", folder, (12, 6), layers.Bidirectional(layers.LSTM(8, return_sequences=True)), layers.GRU(5))
    _save("long_rnn", folder, (200, 6), layers.LSTM(5))
    _save("dynamic", folder, (None, None, 3), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D())
    _save("lambda", folder, (8,), layers.Lambda(lambda x: x * 2, name="twice"))
    entry = keras.Input((8,), name="entry")
    keras.Model(entry, keras.ops.erfinv(entry / 10)).save(folder / "unknown_operator.keras")
    first = {"data_format": "channels_first"}
    entry = keras.Input((3, 16, 16), name="entry")
    x = layers.MaxPooling2D(**first)(layers.Conv2D(4, 3, **first)(entry))
    x = layers.BatchNormalization(axis=1)(x)
    ends = [layers.Conv2D(2, 1, **first, name="mask")(x), layers.Dense(3, name="scores")(layers.Flatten()(x))]
    keras.Model(entry, ends).save(folder / "channels_first.keras")
    keras.mixed_precision.set_global_policy("mixed_float16")
    _save("mixed", folder, (16, 16, 3), layers.Conv2D(4, 3), layers.Flatten())
    keras.mixed_precision.set_global_policy("float32")
    inputs = [keras.Input((4,), name=name) for name in ("left", "right")]
    keras.Model(inputs, layers.Add()(inputs)).save(folder / "two_inputs.keras")


def _save(name: str, folder: Path, shape: tuple[int | None, ...], *layers: object) -> None:
    model = keras.Sequential([keras.Input(shape, name="entry"), *layers, keras.layers.Dense(3, name="scores")])
    model.save(folder / f"{name}.keras")
    if name == "lambda":
        model.save(folder / "lambda.h5")


def keras_2(folder: Path) -> None:
    layers = tf_keras.layers
    entry = tf_keras.Input((28, 28, 1), name="picture")
    x = tf.nn.relu6(layers.Conv2D(4, 3, activation="relu")(entry)) * 2.0
    model = tf_keras.Model(entry, layers.Dense(3, name="scores")(layers.Flatten()(x)))
    model.save(folder / "keras_2.h5")
    model.save_weights(folder / "keras_2_weights.h5")
    tf.saved_model.save(model, str(folder / "saved_by_keras_2"))


def tensorflow_1(folder: Path) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        entry = v1.placeholder(tf.float32, (None, 8, 8, 3), name="x")
        weights = v1.get_variable("w", (3, 3, 3, 4), use_resource=False)
        bias = v1.get_variable("b", (4,), use_resource=True)
        scores = tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(entry, weights, 1, "SAME") + bias), (1, 2))
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(folder / "tensorflow_1"), {"image": entry}, {"scores": scores})


class Two(tf.Module):
    """Two ways to call it."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = tf.Variable(tf.random.normal((6, 3), seed=1))

    @tf.function(input_signature=[tf.TensorSpec((None, 6), tf.float32, name="features")])
    def scores(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scores": features @ self.weights}

    @tf.function(input_signature=[tf.TensorSpec((None, None, 6), tf.float32, name="window")])
    def both(self, window: tf.Tensor) -> dict[str, tf.Tensor]:
        scores = tf.reduce_mean(window, 1) @ self.weights
        return {"z_scores": scores, "a_best": tf.nn.softmax(scores)}


class WithPython(Two):
    """It calls back into Python."""

    @tf.function(input_signature=[tf.TensorSpec((None, 6), tf.float32, name="features")])
    def calls(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scores": tf.py_function(lambda x: x, [features @ self.weights], tf.float32)}


def main(folder: Path) -> None:
    """Write them all."""
    keras.utils.set_random_seed(1)
    keras_3(folder)
    keras_2(folder)
    tensorflow_1(folder)
    two, python = Two(), WithPython()
    tf.saved_model.save(two, str(folder / "two_signatures"), signatures={"scores": two.scores, "both": two.both})
    tf.saved_model.save(python, str(folder / "with_python"), signatures={"calls": python.calls})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
