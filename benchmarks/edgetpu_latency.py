"""Fits the times of ``latency.toml`` and prints, leave-one-out, how well known models' published times are met.

python -m benchmarks.edgetpu_latency            # the table
python -m benchmarks.edgetpu_latency --toml     # the fitted numbers
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from benchmarks.edgetpu_architectures import ARCHITECTURES, Net
from converters.targets.edgetpu.latency import ProcessorTimes, estimate, processor_ms, processor_row, tpu_row
from edge_sdk.edgetpu.plan import Host
from edge_sdk.tensors import Array

# ms: desktop processor, desktop with USB 3, embedded processor, Dev Board; coral.ai/docs/edgetpu/benchmarks, table 1. The last one:
# coral.ai/models, with the USB Accelerator; nothing else tells what an inference takes that does next to nothing.
PUBLISHED: dict[str, tuple[float | None, ...]] = {
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
    "MobileNet v1 0.25 128": (None, 0.9, None, None),
}
# ms: USB 2 on a Raspberry Pi 3B, google-coral/pycoral benchmarks/reference. The start and the speed of usb2 were chosen by them.
ON_USB2 = {"Inception v1 224": 19.2, "Inception v4 299": 1060, "MobileNet v1 224": 9.22, "MobileNet v2 224": 10.8}
COLUMNS: dict[Host, tuple[int, int]] = {"usb3": (0, 1), "dev-board": (2, 3)}  # of the processor, of the Edge TPU
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
    """Every published time of the Edge TPU, predicted by the other models: neither its own time nor its processor's is known."""
    rows = []
    for name in ARCHITECTURES:
        others = [other for other in ARCHITECTURES if other != name]
        fitted = np.array(list(fitted_times(others).values()))
        for host, row, published, beside in zip(*_table([name], others), strict=True):
            rows.append(Row(name, host, float(published), float(row @ fitted + beside)))
    return rows


def fitted_times(known: Sequence[str] = tuple(ARCHITECTURES)) -> dict[str, float]:
    """The numbers that these models together give."""
    _, rows, published, beside = _table(known, known)
    names = (*SHARED, *(f"{host}.{key}" for key in OF_A_HOST for host in COLUMNS))
    return dict(zip(names, map(float, _fit(rows, published, beside)), strict=True))


def fitted_processors(known: Sequence[str] = tuple(ARCHITECTURES)) -> dict[Host, ProcessorTimes]:
    """Times of the processors alone, by these models."""
    found = {}
    for host, (column, _) in COLUMNS.items():
        times_of = {name: ms for name in known if (ms := PUBLISHED[name][column]) is not None}
        rows = np.array([processor_row(_net(name).works) for name in times_of])
        gmacs, depthwise, activations = map(float, _fit(rows, np.array(list(times_of.values())), np.zeros(len(rows))))
        found[host] = ProcessorTimes(gmacs=gmacs, depthwise=depthwise, activations=activations)
    return found


def on_usb2() -> list[Row]:
    """What ``latency.toml`` says of USB 2 beside what was published of it."""
    found = []
    for name, published in ON_USB2.items():
        tpu, _ = estimate(_net(name).works, _net(name).memory())
        found.append(Row(name, "usb2", published, tpu["usb2"].ms))
    return found


@cache
def _net(name: str) -> Net:
    return ARCHITECTURES[name]()


def _table(models: Sequence[str], known: Sequence[str]) -> tuple[list[Host], Array, Array, Array]:
    """Hosts, what is multiplied with the times to fit, the published times, and what the processor multiplies beside, in ms."""
    hosts: list[Host] = []
    rows, published, beside = [], [], []
    processors = fitted_processors(known)
    for name in models:
        net = _net(name)
        start, gmacs, activations, streamed, _, processor = tpu_row(net.works, net.memory())
        for host, (_, column) in COLUMNS.items():
            if (ms := PUBLISHED[name][column]) is None:
                continue
            own = [value if host == its else 0.0 for value in (streamed, processor) for its in COLUMNS]
            hosts.append(host)
            rows.append([start, gmacs, activations, *own])
            published.append(ms)
            beside.append(processor_ms(net.works, processors[host]))
    return hosts, np.array(rows), np.array(published, np.float64), np.array(beside)


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
        for host, of in fitted_processors().items():
            print(host, ", ".join(f"{key} = {value:.4g}" for key, value in of.model_dump().items()))
        return
    rows = leave_one_out()
    print("| model | host | published, ms | predicted without it, ms | error |\n|---|---|---|---|---|")
    for row in rows:
        print(f"| {row.model} | {row.host} | {row.published_ms:g} | {row.predicted_ms:.1f} | {row.error:+.0%} |")
    errors = sorted(abs(row.error) for row in rows)
    ratios = sorted(row.published_ms / row.predicted_ms for row in rows)
    low, high = ratios[len(ratios) // 10], ratios[-1 - len(ratios) // 10]
    print(f"\nmedian error {np.median(errors):.1%}, largest {errors[-1]:.0%}")
    print(f"eight of ten published times are {low:.3f} to {high:.3f} times the predicted one\n")
    print("| on USB 2 | published, ms | predicted, ms | error |\n|---|---|---|---|")
    for row in on_usb2():
        print(f"| {row.model} | {row.published_ms:g} | {row.predicted_ms:.1f} | {row.error:+.0%} |")


if __name__ == "__main__":
    main()
