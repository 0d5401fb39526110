"""Applications to which something happens: an app.toml of few lines, and what its run has written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from edge_sdk.bundle.manifest import Manifest, Variant
from edge_sdk.bundle.write import stored_files, write_bundle
from edge_sdk.contract import Contract
from edge_sdk.tasks.settings import RawSettings
from edge_sdk.tensors import TensorSpec
from tests.small_bundles import null_bundle
from tests.supervised import Supervised, eventually

NUMBERS = "kind = 'replay'\npath = 'numbers.npy'\nrate_hz = 20\nloop = true"


def frames_bundle(path: Path) -> Path:
    """A bundle that takes pictures; the engine null needs ``input = "1,24,32,3 float32"``."""
    files = {"model": b"nothing"}
    spec, output = TensorSpec("input", (1, 24, 32, 3), "float32"), TensorSpec("output", (1, 4), "int8")
    manifest = Manifest(
        name="frames",
        created_by="a test",
        contract=Contract(input="image", colour="rgb", range=(0, 1), resize="stretch"),
        task=RawSettings(),
        variants=(Variant(id="null", kind="null", file="model", inputs=(spec,), outputs=(output,)),),
        files=stored_files(files),
    )
    write_bundle(path, manifest, files)
    return path


def app_toml(
    folder: Path,
    *,
    source: str = NUMBERS,
    model: str = "",
    engine: str = "null",
    deadline_ms: float = 100,
    loop: str = "",
    sink: str = "[[sink]]\nkind = 'jsonl'\npath = 'out.jsonl'\n[[sink]]\nkind = 'console'",
    supervisor: str = "",
) -> Path:
    """An app.toml in ``folder``, of a null model over four numbers."""
    import numpy as np

    folder.mkdir(exist_ok=True)
    if not (folder / "null.edge").exists():
        null_bundle(folder / "null.edge")
    np.save(folder / "numbers.npy", np.zeros((100, 4), np.int8))
    path = folder / "app.toml"
    path.write_text(
        f"[model]\nbundle = 'null.edge'\nengine = '{engine}'\n{model}\n[source]\n{source}\n[loop]\ndeadline_ms = {deadline_ms}\n{loop}\n"
        f"{sink}\n[supervisor]\nstate_dir = 'state'\n{supervisor}\n"
    )
    return path


def one_run(
    folder: Path, *flags: str, prefix: tuple[str, ...] = (), **settings: Any
) -> subprocess.CompletedProcess[str]:
    """``edge-sdk run`` of an app.toml to its end."""
    path = app_toml(folder, **settings)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [*prefix, sys.executable, "-m", "edge_sdk.cli", "run", str(path), *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)


def records(app: Supervised, type_: str) -> list[dict[str, Any]]:
    """The results, or the events, that a run has written into out.jsonl so far."""
    path = app.folder / "out.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    read = [json.loads(line) for line in lines if line.endswith("\n")]
    return [record for record in read if record["type"] == type_]


def events(app: Supervised) -> list[str]:
    """The kinds of the events so far."""
    return [record["kind"] for record in records(app, "event")]


def more_results(app: Supervised, number: int = 3, within_s: float = 15.0) -> float:
    """Wait until so many more results are there."""
    before = len(records(app, "result"))
    return eventually(lambda: len(records(app, "result")) >= before + number, within_s)


def exact(app: Supervised) -> bool:
    """Whether every sample of every life is accounted for, once it has ended."""
    [counts] = app.state()["loops"]  # type: ignore[misc]
    outcomes = ("on_time", "late", "dropped", "skipped", "lost")
    return bool(counts["captured"] == sum(counts[name] for name in outcomes) and counts["in_flight"] == 0)
