"""Whether an engine that runs several samples at once computes what it does for each of them alone."""

from __future__ import annotations

import numpy as np

from edge_sdk.errors import ConfigError
from edge_sdk.noise import noise
from edge_sdk.sharing.device import Device
from edge_sdk.tensors import Array, TensorSpec

_STEPS, _SHARE = 1.0, 1e-3  # what kernels for several samples may differ by: steps, or of the largest value


def prove_rows(
    single: Device, batch: Device, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], size: int
) -> None:
    """Run noise on both.

    Raises:
        ConfigError: if the model mixes the samples of a batch.
        EngineError: if a run failed.
    """
    rng = np.random.default_rng(0)
    samples = [[noise(spec.shape, spec.dtype, rng) for spec in inputs] for _ in range(size)]
    together = batch.run_rows(samples)
    for row, sample in enumerate(samples):
        for spec, one, several in zip(outputs, single.run(sample), together, strict=True):
            if not _alike(spec, one[0], several[row]):
                raise ConfigError(
                    f"the model mixes the samples of a batch: output {spec.name!r} of sample {row} is another one in a batch of {size}. "
                    "Run it one by one"
                )


def _alike(spec: TensorSpec, one: Array, other: Array) -> bool:
    gap = float(np.abs(one.astype(np.float64) - other).max(initial=0))
    return gap <= (_STEPS if spec.quantized else _SHARE * max(1e-6, float(np.abs(one).max(initial=0))))
