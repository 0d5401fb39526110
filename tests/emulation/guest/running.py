"""``edge-sdk run`` under way in the virtual machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from scenes import FAR, wait_until

SDK = [sys.executable, "-m", "edge_sdk.cli"]
BUNDLE = Path("/mnt/host/null.edge")
NULL = ["--engine", "null", "--engine-option", "input=1,128,128,3 uint8"]


class Run:
    """One ``edge-sdk run`` under way."""

    def __init__(
        self,
        source: str,
        *flags: str,
        as_user: int | None = None,
        supervised: bool = False,
        tables: str = "",
        **loop: float,
    ) -> None:
        """Start it.

        Args:
            source: of the samples.
            flags: further ones.
            as_user: whose process it is; default root's.
            supervised: from a parent that looks after it, which takes some seconds more to start here.
            tables: further ones of its app.toml.
            loop: changes to its table ``[loop]``.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="app-"))
        os.chown(self.folder, as_user or 0, -1)
        self.out = self.folder / "out.jsonl"
        app = self.folder / "app.toml"
        settings = "\n".join(f"{key} = {value}" for key, value in {"deadline_ms": 100, **loop}.items())
        supervisor = '[supervisor]\nstate_dir = "state"\n'
        app.write_text(f'source = "{source}"\n[model]\nbundle = "{BUNDLE}"\n[loop]\n{settings}\n{supervisor}{tables}')
        how = [] if supervised else ["--no-supervise"]
        command = [*SDK, "run", str(app), *NULL, *how, "--sink", f"jsonl:{self.out}", "--json", *flags]
        self.started = time.monotonic()
        self.errors = Path("/mnt/host", f"{self.folder.name}.err")  # there it outlives the machine
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, user=as_user, cwd="/tmp"
            )

    def until(self, kind: str, count: int = 1) -> Run:
        """Wait for so many records with this text."""
        wait_until(lambda: self.count(kind) >= count or self.process.poll() is not None, f"{count} records with {kind}")
        if self.count(kind) < count:
            raise RuntimeError(f"it ended before it had {count} records with {kind}: {self.end()}")
        return self

    def count(self, kind: str) -> int:
        """How many records with this text there are."""
        return self.out.read_text().count(kind) if self.out.exists() else 0

    def end(self) -> dict[str, Any]:
        """What became of it."""
        printed, _ = self.process.communicate(timeout=FAR)
        content = self.out.read_text() if self.out.exists() else ""
        records = [json.loads(line) for line in content.splitlines()]
        return {
            "exit": self.process.returncode,
            "seconds": time.monotonic() - self.started,
            "error": self.errors.read_text(),
            "whole": content.endswith("\n"),
            "results": [record for record in records if record["type"] == "result"],
            "events": [record for record in records if record["type"] == "event"],
            "report": json.loads(printed) if printed.strip() else None,
        }
