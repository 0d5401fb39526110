"""Bundles whose variants differ in speed and worth: chains of convolutions, run by the real interpreter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edge_sdk.bundle.golden import golden_inputs, golden_outputs
from edge_sdk.bundle.manifest import Manifest, Variant, schema_version_for
from edge_sdk.bundle.write import stored_files, write_bundle
from edge_sdk.contract import Contract
from edge_sdk.engines import load_engine
from edge_sdk.tasks.settings import RawSettings
from edge_sdk.tensors import Array
from tests.tiny_models import TinyModel, conv_options

SHAPE = (32, 32, 16)


@dataclass(frozen=True)
class Chain:
    """A variant of so many layers; ``error`` is put into its golden vectors, ``measured`` makes it one of another model."""

    layers: int
    kind: str = "tflite-float32"
    error: float = 0.0
    measured: Mapping[str, float] = field(default_factory=dict)
    content: bytes = b""


def chain_model(layers: int) -> bytes:
    """So many convolutions of one kernel; each takes about 0.1 ms on a desktop processor."""
    random = np.random.default_rng(layers)
    net = TinyModel()
    kernel = net.constant("kernel", random.normal(0, 1 / 12, (SHAPE[-1], 3, 3, SHAPE[-1])).astype(np.float32))
    bias = net.constant("bias", np.zeros(SHAPE[-1], np.float32))
    entry = last = net.tensor("input", (1, *SHAPE))
    for number in range(layers):
        made = net.tensor(f"output{number}", (1, *SHAPE))
        net.operator("CONV_2D", [last, kernel, bias], [made], conv_options())
        last = made
    return net.build([entry], [last])


def chain_bundle(path: Path, chains: Mapping[str, Chain], *, report: object = None) -> Path:
    """A bundle with these variants, by their ids."""
    samples: list[Array] = [np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32) for seed in range(3)]
    files = {"golden/inputs.npz": golden_inputs(samples)}
    if report is not None:
        files["report.json"] = json.dumps(report).encode()
    variants = []
    for id_, chain in chains.items():
        model = chain_model(chain.layers)
        model_file = path.with_name(f"{path.stem}-{id_}.tflite")
        model_file.write_bytes(model)
        with load_engine("litert", str(model_file)) as engine:
            outputs = []
            for sample in samples:
                engine.input_arrays[0][...] = sample
                outputs.append([each + np.float32(chain.error) for each in engine.run()])
            variant = Variant(
                id=id_,
                kind=chain.kind,
                file=f"{id_}.tflite",
                inputs=engine.inputs,
                outputs=engine.outputs,
                golden=f"golden/{id_}.npz",
                golden_tolerance=1e-4,
                measured=dict(chain.measured),
            )
        files[variant.file] = chain.content or model
        files[f"golden/{id_}.npz"] = golden_outputs(outputs)
        variants.append(variant)
    contract, task = Contract(input="tensor"), RawSettings()
    manifest = Manifest(
        schema_version=schema_version_for(variants, task, contract),
        name=path.stem,
        created_by="a test",
        contract=contract,
        task=task,
        variants=tuple(variants),
        golden_inputs="golden/inputs.npz",
        report=None if report is None else "report.json",
        files=stored_files(files),
    )
    write_bundle(path, manifest, files, overwrite=True)
    return path
