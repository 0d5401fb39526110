"""Certificates of every kind, made by openssl on the spot."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

_CONFIG = """
[ca]
default_ca = here
[here]
dir = {folder}/ca
database = {folder}/ca/index
serial = {folder}/ca/serial
new_certs_dir = {folder}/ca
certificate = {folder}/ca.pem
private_key = {folder}/ca.key
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[names]
subjectAltName = {names}
"""


@dataclass(frozen=True)
class Certificates:
    """An authority in ``folder`` (ca.pem), and what it signs."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def made(self, name: str, *, names: str = "DNS:localhost,IP:127.0.0.1", from_days: int = -1, days: int = 1) -> Path:
        """NAME.pem, with NAME.key beside it; valid from and to so many days from now."""
        (self.folder / "ca.cnf").write_text(_CONFIG.format(folder=self.folder, names=names))
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        self._openssl("req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}", "-batch")
        begin, end = (
            (datetime.now(timezone.utc) + timedelta(days=n)).strftime("%Y%m%d%H%M%SZ") for n in (from_days, days)
        )
        self._openssl(
            *("ca", "-config", "ca.cnf", "-batch", "-notext", "-in", f"{name}.csr", "-out", f"{name}.pem"),
            *("-startdate", begin, "-enddate", end, "-extensions", "names"),
        )
        return self.folder / f"{name}.pem"

    def server(self, name: str = "server", *, asks_for_ours: bool = False, **made: object) -> ssl.SSLContext:
        """Of a server with a certificate like ``made``."""
        certificate = self.made(name, **made)  # type: ignore[arg-type]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        if asks_for_ours:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca)
        return context

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)


def authority(folder: Path) -> Certificates:
    """A new one."""
    (folder / "ca").mkdir(parents=True)
    (folder / "ca/index").touch()
    (folder / "ca/serial").write_text("01")
    certificates = Certificates(folder)
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    certificates._openssl(
        *("req", "-x509", *curve, "-days", "2", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
    )
    return certificates
