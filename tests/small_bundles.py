"""Bundles for tests of the loop: a null model of four numbers, and whatever engine the test wants."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_sdk.bundle.manifest import Manifest, Variant
from edge_sdk.bundle.write import stored_files, write_bundle
from edge_sdk.contract import Contract
from edge_sdk.sources import Source
from edge_sdk.tasks.settings import RawSettings
from edge_sdk.tensors import TensorSpec

INPUT = TensorSpec("input", (1, 4), "int8")
OUTPUT = TensorSpec("output", (1, 4), "int8")


def null_bundle(path: Path) -> Path:
    files = {"model": b"nothing"}
    variant = Variant(id="null", kind="null", file="model", inputs=(INPUT,), outputs=(OUTPUT,))
    manifest = Manifest(
        name="null",
        created_by="a test",
        contract=Contract(input="tensor"),
        task=RawSettings(),
        variants=(variant,),
        files=stored_files(files),
    )
    write_bundle(path, manifest, files)
    return path


class Numbers(Source):
    """Gives so many samples of four zeros; a subclass decides the rest."""

    def __init__(self, count: int) -> None:
        self.left = count

    def _open(self) -> None: ...

    def _read(self) -> tuple[np.ndarray, str, str, int | None] | None:
        if not self.left:
            return None
        self.left -= 1
        return np.zeros(4, np.int8), "bgr", "", None

    def _close(self) -> None: ...
