"""A variant on MLServer, on loopback, exported as a user would."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_sdk.bundle import Variant
from edge_sdk.engines import Options
from tests.serving.keys import make_keys
from tests.serving.servers import mlserver

NAME = "model"


@contextmanager
def served(bundle: Path, variant: Variant) -> Iterator[tuple[Options, str]]:
    """The options of the engine ``remote``, and the address for a client by hand: its fragment is the input's name."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, "-m", "edge_sdk.cli", "export", str(bundle), "--to", "kserve"]
        command += ["--variant", variant.id, "--name", NAME, "-o", str(folder / "models")]
        subprocess.run(command, check=True, capture_output=True)
        with mlserver(folder / "models", folder, make_keys(folder)) as server:
            options = {"url": server.url, "protocol": "v2-rest", "model": NAME, "timeout_ms": "10000"}
            yield options, f"{server.url}/v2/models/{NAME}/infer#{variant.inputs[0].name}"
