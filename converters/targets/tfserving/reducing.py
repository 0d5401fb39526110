"""Reductions, normalisations, and what looks for the largest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from converters.targets.tfserving.call import Call, Translators

_LEAST_NORM = 1e-6  # TensorFlow Lite's kernel divides by no less


def _reduce(name: str) -> Callable[[Call], Any]:
    def translate(call: Call) -> Any:
        made = getattr(call.tf, name)(call.x(), call.integers(1), keepdims=bool(call.option("keepDims", False)))
        return call.tf.reshape(made, call.shape)

    return translate


def _l2_normalization(call: Call) -> Any:
    x, tf = call.x(), call.tf
    return x / tf.maximum(tf.sqrt(tf.reduce_sum(x * x, -1, keepdims=True)), _LEAST_NORM)


def _local_response_normalization(call: Call) -> Any:
    options = call.options
    return call.tf.nn.local_response_normalization(
        call.x(), int(options.radius), float(options.bias), float(options.alpha), float(options.beta)
    )


def _arg(name: str) -> Callable[[Call], Any]:
    return lambda call: getattr(call.tf, name)(call.x(), call.integers(1)[0], output_type=call.made[0].dtype)


def _top_k(call: Call) -> Any:
    values, places = call.tf.math.top_k(call.x(), call.integers(1)[0])
    return values, call.tf.cast(places, call.made[1].dtype)


def _cumsum(call: Call) -> Any:
    how = {"exclusive": bool(call.option("exclusive", False)), "reverse": bool(call.option("reverse", False))}
    return call.tf.cumsum(call.x(), call.integers(1)[0], **how)


TRANSLATORS: Translators = {
    "MEAN": _reduce("reduce_mean"),
    "SUM": _reduce("reduce_sum"),
    "REDUCE_MAX": _reduce("reduce_max"),
    "REDUCE_MIN": _reduce("reduce_min"),
    "REDUCE_PROD": _reduce("reduce_prod"),
    "REDUCE_ANY": _reduce("reduce_any"),
    "REDUCE_ALL": _reduce("reduce_all"),
    "L2_NORMALIZATION": _l2_normalization,
    "LOCAL_RESPONSE_NORMALIZATION": _local_response_normalization,
    "ARG_MAX": _arg("argmax"),
    "ARG_MIN": _arg("argmin"),
    "TOPK_V2": _top_k,
    "CUMSUM": _cumsum,
}
