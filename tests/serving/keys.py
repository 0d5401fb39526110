"""A certificate authority of a test's own, and a server's certificate for localhost by it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Keys:
    """Paths in PEM.

    Attributes:
        authority: the certificate that clients are to trust.
        certificate, key: the server's, for localhost and 127.0.0.1.
    """

    authority: Path
    certificate: Path
    key: Path


def make_keys(folder: Path) -> Keys:
    """Made by openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("missing: apt-get install openssl")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    rsa = ("-newkey", "rsa:2048", "-nodes")
    openssl("req", "-x509", *rsa, "-days", "2", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority")
    openssl("req", *rsa, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    sign = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
    openssl("x509", "-req", "-in", "server.csr", *sign, "-out", "server.pem")
    return Keys(folder / "ca.pem", folder / "server.pem", folder / "server.key")
