"""Hostile models against our readers: a ModelError or a model, never another exception, a hang or a crash.

    pip install atheris
    python -m tests.fuzz.readers tflite --minutes 30
    python -m tests.fuzz.readers onnx --minutes 30
    python -m tests.fuzz.readers edgetpu --minutes 30

Coverage guides it through our own code. What survives reading is run too, one in eight, by the probe in a process of its own. A finding is
left as crash-HASH in the folder of the corpus and ends the run with exit code 77.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["converters", "edge_sdk"]):
    from converters.load import tflite
    from converters.load.onnx import import_onnx
    from edge_sdk.cli.inspect_edgetpu import compiled_facts, compiled_lines
    from edge_sdk.edgetpu.package import read_compiled
    from edge_sdk.errors import ModelError

from tests.edgetpu_files import EXECUTION_ONLY, ExecutableSpec, PackageSpec, compiled_model, custom_options, model_with
from tests.tiny_models import between_convolutions, image_net, options

_LONGEST_S = 60  # one input
_LARGEST_SEED = 4096  # bytes; small ones are mutated to more effect
tflite.probe = partial(
    tflite.probe, hang_ms=2_000.0
)  # a hostile model may hang; that is found out sooner than for people


def read_tflite(content: bytes) -> None:
    with contextlib.suppress(ModelError):
        tflite.prepare(content, None)
        if hashlib.sha256(content).digest()[0] < 32:
            tflite.normalise(content, "fuzz")


def read_onnx(content: bytes) -> None:
    with contextlib.suppress(ModelError):
        import_onnx(content)


def read_edgetpu(content: bytes) -> None:
    """What is read is also shown: no field may break that."""
    with contextlib.suppress(ModelError):
        compiled = read_compiled(content)
        if compiled is not None:
            json.dumps(compiled_facts(compiled), allow_nan=False)
            list(compiled_lines(compiled))


def tflite_seeds() -> Iterator[bytes]:
    yield image_net()
    yield between_convolutions("LEAKY_RELU", op_options=options("LeakyRelu", alpha=0.1))
    yield between_convolutions("PAD", constants=(((0, 0), (1, 1), (1, 1), (0, 0)),), output_shape=(1, 6, 6, 8))


def onnx_seeds() -> Iterator[bytes]:
    from tests import test_load_onnx as cases

    for family in (cases.CONVOLUTIONS, cases.POOLS, cases.DENSE, cases.SHAPING, cases.RESIZES, cases.RECURRENT):
        for case in family[::4]:
            content = case.values[0]()
            if len(content) < _LARGEST_SEED:
                yield content


def edgetpu_seeds() -> Iterator[bytes]:
    yield compiled_model(cached=8)
    yield compiled_model(cached=0, streamed=8, cpu="RELU")
    caching = ExecutableSpec(1, parameters=8, token=7, instructions=(8, 8), use_tpu_dram=True)
    package = PackageSpec((caching, ExecutableSpec(EXECUTION_ONLY, token=7)), signature=8, identifier="seed")
    yield model_with([custom_options(package, PackageSpec(runtime=10), _3=b"old"), custom_options(PackageSpec())])


TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[], Iterator[bytes]]]] = {
    "tflite": (read_tflite, tflite_seeds),
    "onnx": (read_onnx, onnx_seeds),
    "edgetpu": (read_edgetpu, edgetpu_seeds),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--corpus", type=Path, default=None, help="folder that keeps what was found between runs")
    told = parser.parse_args()
    target, seeds = TARGETS[told.target]
    corpus = told.corpus or Path(tempfile.mkdtemp(prefix="edge-sdk-fuzz-"))
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
        target(seed)  # a seed that fails is no seed
    flags = [
        f"-max_total_time={round(told.minutes * 60)}",
        f"-timeout={_LONGEST_S}",
        "-rss_limit_mb=4096",
        f"-artifact_prefix={corpus}/",
    ]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
