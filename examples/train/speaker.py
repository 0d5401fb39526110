"""Who says a vowel, by a graph of TensorFlow 1 and its old SavedModel: ``python -m examples.train.speaker FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tensorflow.compat.v1 as tf

from examples.assets.data import vowels

_STEPS, _BATCH = 1200, 32


def train(folder: Path) -> float:
    """Train, write the model (cepstra (batch, 25, 12) in, 9 probabilities out), and return its accuracy on the test recordings."""
    x, y = vowels("TRAIN")
    graph = tf.Graph()
    with graph.as_default(), tf.Session(graph=graph) as session:
        tf.set_random_seed(0)
        inputs = tf.placeholder(tf.float32, (None, 25, 12), "cepstra")
        logits = _network(inputs)
        labels = tf.placeholder(tf.int64, (None,))
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
        step = tf.train.AdamOptimizer(2e-3).minimize(loss)
        outputs = tf.nn.softmax(logits, name="speakers")
        session.run(tf.global_variables_initializer())
        generator = np.random.default_rng(0)
        for _ in range(_STEPS):
            batch = generator.choice(len(x), _BATCH, replace=False)
            session.run(step, {inputs: x[batch], labels: y[batch]})
        tf.saved_model.simple_save(session, str(folder), {"cepstra": inputs}, {"speakers": outputs})
        x, y = vowels("TEST")
        return float((session.run(outputs, {inputs: x}).argmax(1) == y).mean())


def _network(inputs: tf.Tensor) -> tf.Tensor:
    hidden = tf.expand_dims(inputs, 1)  # one row of 25 columns and 12 channels
    channels = 12
    for layer, width in enumerate((32, 48)):
        kernel = tf.get_variable(f"kernel_{layer}", (1, 5, channels, width))
        bias = tf.get_variable(f"bias_{layer}", (width,), initializer=tf.zeros_initializer())
        hidden = tf.nn.relu(tf.nn.conv2d(hidden, kernel, strides=[1, 1, 2, 1], padding="SAME") + bias)
        channels = width
    weights = tf.get_variable("weights", (channels, 9))
    return tf.reduce_mean(hidden, [1, 2]) @ weights + tf.get_variable("bias", (9,), initializer=tf.zeros_initializer())


if __name__ == "__main__":
    print(f"test accuracy {train(Path(sys.argv[1])):.4f}")
