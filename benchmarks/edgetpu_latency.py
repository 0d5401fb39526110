"""Fits the times of ``latency.toml`` and prints, leave-one-out, how well known models' published times are met.

python -m benchmarks.edgetpu_latency            # the table
python -m benchmarks.edgetpu_latency --toml     # the fitted numbers
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from benchmarks.edgetpu_architectures import ARCHITECTURES
from converters.targets.edgetpu.latency import ProcessorTimes, processor_ms, processor_row, tpu_row
from edge_sdk.tensors import Array

# ms: desktop processor, desktop with USB 3, embedded processor, Dev Board; coral.ai/docs/edgetpu/benchmarks, table 1.
PUBLISHED = {
    "DeepLab V3 513x513": (394, 52, 1139, 241),
    "DenseNet 224": (380, 20, 1032, 25),
    "Inception v1 224": (90, 3.4, 392, 4.1),
    "Inception v4 299": (700, 85, 3157, 102),
    "MobileNet v1 224": (53, 2.4, 164, 2.4),
    "MobileNet v2 224": (51, 2.6, 122, 2.6),
    "MobileNet v1 SSD 224": (109, 6.5, 353, 11),
    "MobileNet v2 SSD 224": (106, 7.2, 282, 14),
    "ResNet-50 V1 299": (484, 49, 1763, 56),
    "VGG16 224": (867, 296, 4595, 343),
}
SHARED = ("start", "gmacs", "activations")
OF_A_HOST = ("streamed", "processor")


@dataclass(frozen=True)
class Row:
    """One published time and its prediction by a fit without this model."""

    model: str
    host: str
    published_ms: float
    predicted_ms: float

    @property
    def error(self) -> float:
        """Of the prediction, as a share."""
        return self.predicted_ms / self.published_ms - 1


def leave_one_out() -> list[Row]:
    """Every published time of the Edge TPU, predicted by the other models."""
    names, features, published, beside = _table()
    rows = []
    for name in ARCHITECTURES:
        out = np.array([each == name for each, _ in names])
        fitted = _fit(features[~out], published[~out], beside[~out])
        for place in np.flatnonzero(out):
            rows.append(Row(*names[place], float(published[place]), float(features[place] @ fitted + beside[place])))
    return rows


def fitted_times() -> dict[str, float]:
    """The numbers of all models together."""
    _, features, published, beside = _table()
    names = (*SHARED, *(f"{host}.{key}" for key in OF_A_HOST for host in ("usb3", "dev-board")))
    return dict(zip(names, map(float, _fit(features, published, beside)), strict=True))


def fitted_processors() -> dict[str, dict[str, float]]:
    """Times of the processors alone."""
    rows = np.array([processor_row(make().works) for make in ARCHITECTURES.values()])
    found = {}
    for host, column in (("usb3", 0), ("dev-board", 2)):
        wanted = np.array([PUBLISHED[name][column] for name in ARCHITECTURES], np.float64)
        found[host] = dict(
            zip(
                ("gmacs", "depthwise", "activations"),
                map(float, _fit(rows, wanted, np.zeros(len(wanted)))),
                strict=True,
            )
        )
    return found


def _table() -> tuple[list[tuple[str, str]], Array, Array, Array]:
    """Names, what is multiplied with the times to fit, the published times, and what the processor multiplies beside, in ms."""
    names, features, published, beside = [], [], [], []
    processors = fitted_processors()
    for name, make in ARCHITECTURES.items():
        net = make()
        start, gmacs, activations, streamed, _, processor = tpu_row(net.works, net.load())
        for place, (host, column) in enumerate((("usb3", 1), ("dev-board", 3))):
            own = [value if place == where else 0.0 for value in (streamed, processor) for where in (0, 1)]
            names.append((name, host))
            features.append([start, gmacs, activations, *own])
            stays = processor_ms(net.works, ProcessorTimes(**processors[host]))
            published.append(PUBLISHED[name][column])
            beside.append(stays)
    return names, np.array(features), np.array(published, np.float64), np.array(beside)


def _fit(features: Array, published: Array, beside: Array) -> Array:
    """Least squares of the relative errors, no number below zero: what would be negative is left out, one after the other."""
    rows, used = features / published[:, None], list(range(features.shape[1]))
    while True:
        solved = np.linalg.lstsq(rows[:, used], 1 - beside / published, rcond=None)[0]
        if (solved >= 0).all():
            fitted = np.zeros(features.shape[1])
            fitted[used] = solved
            return fitted
        used.pop(int(solved.argmin()))


def main() -> None:
    """See the module."""
    if "--toml" in sys.argv:
        for name, value in fitted_times().items():
            print(f"{name} = {value:.4g}")
        for host, times in fitted_processors().items():
            print(host, ", ".join(f"{key} = {value:.4g}" for key, value in times.items()))
        return
    rows = leave_one_out()
    print("| model | host | published, ms | predicted without it, ms | error |\n|---|---|---|---|---|")
    for row in rows:
        print(f"| {row.model} | {row.host} | {row.published_ms:g} | {row.predicted_ms:.1f} | {row.error:+.0%} |")
    errors = sorted(abs(row.error) for row in rows)
    ratios = sorted(row.published_ms / row.predicted_ms for row in rows)
    low, high = ratios[len(ratios) // 10], ratios[-1 - len(ratios) // 10]
    print(f"\nmedian error {np.median(errors):.1%}, largest {errors[-1]:.0%}")
    print(f"eight of ten published times are {low:.2f} to {high:.2f} times the predicted one")


if __name__ == "__main__":
    main()
