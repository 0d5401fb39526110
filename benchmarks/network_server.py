"""A server of a bundle's variant in a process of its own, with TLS, that spoils answers and connections on command."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

from tests.certificates import authority


class NetworkServer:
    """``tests.served_variant`` as a process that can be killed and come back on its port; a context manager.

    Args:
        bundle: the bundle.
        variant: id of the variant that it serves.
        folder: for its certificates.
    """

    def __init__(self, bundle: Path, variant: str, folder: Path) -> None:
        certificates = authority(folder / "tls")
        stranger = authority(folder / "stranger")
        self.ca = certificates.ca
        self._words = [str(bundle), variant]
        self._certificates = [str(certificates.made("server")), str(stranger.made("server"))]
        self.port = 0
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the process; 0 where there is none."""
        return self._process.pid if self._process else 0

    def __enter__(self) -> NetworkServer:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()

    def start(self) -> None:
        """Begin, on the port that it had."""
        words = [sys.executable, "-m", "tests.served_variant", *self._words, str(self.port), *self._certificates]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        self.port = int(process.stdout.readline())
        self._process = process

    def kill(self) -> None:
        """End at once, as by a loss of power."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.__exit__(None, None, None)

    def order(self, command: str) -> int:
        """Give a command; how many faults still wait."""
        with self._lock:
            process = self._process
            if process is None:
                return 0
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(f"{command}\n")
            process.stdin.flush()
            waiting: int = json.loads(process.stdout.readline())["waiting"]
            return waiting
