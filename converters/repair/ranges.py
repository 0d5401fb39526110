"""Another range for single tensors: where a few outliers stretch a tensor's range, cutting them off gives the rest finer steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import median

from converters.calibrate.statistics import Ranges, Statistics
from converters.report.accuracy import Layer
from edge_sdk.tflite import describe

OUTLIER_DB, LOW_DB = 10.0, 10.0

Method = Callable[[Statistics], Ranges]
METHODS: Mapping[str, Method] = {
    "mse": lambda statistics: statistics.ranges("mse"),
    "percentile 99.99": lambda statistics: statistics.ranges("percentile", percentile=99.99),
    "percentile 99.9": lambda statistics: statistics.ranges("percentile", percentile=99.9),
}
"""Ways to choose ranges that repair tries, by name."""


def with_ranges_of(ranges: Ranges, other: Ranges, tensors: Iterable[str]) -> Ranges:
    """``ranges`` with those of ``other`` for these tensors."""
    names = [name for name in tensors if name in ranges.minima and name in other.minima]
    return replace(
        ranges,
        minima=ranges.minima | {name: other.minima[name] for name in names},
        maxima=ranges.maxima | {name: other.maxima[name] for name in names},
    )


def differ(ranges: Ranges, other: Ranges, tensor: str) -> bool:
    """Whether both know the tensor, and give it different ranges."""
    if tensor not in ranges.minima or tensor not in other.minima:
        return False
    return (ranges.minima[tensor], ranges.maxima[tensor]) != (other.minima[tensor], other.maxima[tensor])


def outliers(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Layers whose SQNR is more than 10 dB below the median of all, or below 10 dB; the worst first."""
    known = [(layer.sqnr_db, layer) for layer in layers if layer.sqnr_db is not None]
    if not known:
        return ()
    limit = max(median(db for db, _ in known) - OUTLIER_DB, LOW_DB)
    return tuple(layer for db, layer in sorted(known, key=lambda pair: pair[0]) if db < limit)


def most_lossy(content: bytes, layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Layers by what they lose themselves: their SQNR against the worst of their inputs, the largest loss first.

    An outlier spoils all that come after it; treating those would be in vain.

    Args:
        content: the float model.
        layers: all that were compared.
    """
    model = describe(content)
    known = {layer.tensor: layer.sqnr_db for layer in layers if layer.sqnr_db is not None}
    loss: dict[str, float] = {}
    for operator in model.operators:
        before = [known[name] for i in operator.inputs if i >= 0 and (name := model.tensors[i].name) in known]
        for index in operator.outputs:
            own = known.get(model.tensors[index].name)
            if own is not None:
                loss[model.tensors[index].name] = min(before, default=60.0) - own
    return tuple(sorted((l for l in layers if l.tensor in loss), key=lambda layer: -loss[layer.tensor]))  # noqa: E741
