"""What systemd wants to hear of a service of Type=notify, as sd_notify(3) says it; nothing where it is not listening."""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from time import monotonic_ns

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Notifier:
    """Takes the address out of the environment, so that no child answers for this process.

    Args:
        environment: where systemd's variables stand; they are removed.

    Attributes:
        watchdog_s: half the time within which ``alive`` must be called again, or None where nobody waits for it.
        unsent: messages that could not be sent.
    """

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        address, interval_us, pid = (environment.pop(name, "") for name in _VARIABLES)
        self._address = "\0" + address[1:] if address.startswith("@") else address
        ours = pid in {"", str(os.getpid())}
        wanted = self._address and ours and interval_us.isdecimal() and int(interval_us)  # 0 is nobody who waits
        self.watchdog_s = int(interval_us) / 2e6 if wanted else None
        self.unsent = 0
        self._owes_ready = False

    def ready(self, status: str) -> None:
        """Started, or reloaded; where that could not be sent, the next ``status`` says it too, as systemd would wait for it for ever."""
        self._owes_ready = not self._send("READY=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        """One line for people."""
        if self._owes_ready:
            self.ready(status)
        else:
            self._send(f"STATUS={status}")

    def alive(self) -> None:
        """This process works."""
        self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """The settings are being read again; ``ready`` ends it."""
        self._owes_ready = False
        self._send("RELOADING=1", f"MONOTONIC_USEC={monotonic_ns() // 1_000}")

    def stopping(self, status: str) -> None:
        """On the way to the end."""
        self._owes_ready = False
        self._send("STOPPING=1", f"STATUS={status}")

    def _send(self, *lines: str) -> bool:
        if not self._address:
            return True
        message = "\n".join(line.replace("\n", " ") for line in lines).encode()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)  # a full socket must not stop the watching
                sender.sendto(message, self._address)
        except OSError:
            self.unsent += 1
            return False
        return True
