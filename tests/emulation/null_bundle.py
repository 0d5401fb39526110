"""A bundle for the null engine, where a test is about everything but the model."""

from __future__ import annotations

from pathlib import Path

from edge_sdk.bundle.manifest import Manifest, Variant
from edge_sdk.bundle.write import stored_files, write_bundle
from edge_sdk.contract import Contract
from edge_sdk.tasks.settings import RawSettings
from edge_sdk.tensors import TensorSpec


def image_bundle(path: Path) -> Path:
    """A null model that takes pictures."""
    files = {"model": b"nothing"}
    image, output = TensorSpec("input", (1, 128, 128, 3), "uint8"), TensorSpec("output", (1, 4), "int8")
    manifest = Manifest(
        name="null",
        created_by="a test",
        contract=Contract(input="image", colour="rgb", range=(0, 255), resize="stretch"),
        task=RawSettings(),
        variants=(Variant(id="null", kind="null", file="model", inputs=(image,), outputs=(output,)),),
        files=stored_files(files),
    )
    write_bundle(path, manifest, files)
    return path
