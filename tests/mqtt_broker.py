"""A real broker on loopback: mosquitto, which tests start, kill and start again."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

SECRET = "correct horse"


class Mosquitto:
    """A broker whose files are in ``folder``; ``secure`` is with TLS, and passwords for the user ``me``, who may not read ``secret``.

    Its log is read up to the line that says that it runs, so ``start`` returns when it can be used.
    """

    def __init__(self, folder: Path, *, secure: bool = False, more: str = "") -> None:
        if shutil.which("mosquitto") is None:
            pytest.skip("missing: apt-get install --no-install-recommends mosquitto")
        self.folder, self.secure = folder, secure
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        settings = f"listener {self.port} 127.0.0.1\nuser root\npersistence false\nlog_dest stderr\n{more}"
        if secure:
            self._make_keys()
            settings += f"allow_anonymous false\npassword_file {folder}/passwords\nacl_file {folder}/acl\n"
            settings += f"cafile {folder}/ca.crt\ncertfile {folder}/server.crt\nkeyfile {folder}/server.key\n"
        else:
            settings += "allow_anonymous true\n"
        (folder / "mosquitto.conf").write_text(settings)
        self._process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        command = ["mosquitto", "-c", str(self.folder / "mosquitto.conf")]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        said = []
        for line in self._process.stderr:
            said.append(line)
            if "running" in line:
                break
        else:
            raise AssertionError("".join(said))
        self._rest = threading.Thread(target=self._process.stderr.read)  # so that it never waits to be read
        self._rest.start()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._rest.join()
            self._process.stderr.close()
            self._process = None

    def freeze(self) -> None:
        """From now on it does not answer, and keeps its connections."""
        self._process.send_signal(signal.SIGSTOP)

    def _make_keys(self) -> None:
        def openssl(*words: str) -> None:
            subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)

        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        openssl(
            "req", "-x509", *curve, "-days", "2", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=test authority"
        )
        openssl("req", *curve, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
        (self.folder / "names").write_text("subjectAltName=DNS:localhost\n")
        sign = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
        openssl("x509", "-req", "-in", "server.csr", *sign, "-out", "server.crt")
        subprocess.run(
            ["mosquitto_passwd", "-b", "-c", str(self.folder / "passwords"), "me", SECRET],
            check=True,
            capture_output=True,
        )
        (self.folder / "acl").write_text("user me\ntopic readwrite open/#\ntopic write secret\n")
