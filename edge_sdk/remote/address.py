"""Where a server is."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

_PORTS = {"http": 80, "https": 443, "grpc": 80, "grpcs": 443}


@dataclass(frozen=True)
class Address:
    """A server's address.

    Attributes:
        scheme: http, https, grpc or grpcs.
        host: name, or number without brackets.
        port: of TCP.
        path: what stands before every path of the protocol, such as ``"/triton"``, or "".
    """

    scheme: str
    host: str
    port: int
    path: str = ""

    @classmethod
    def parse(cls, url: str) -> Address:
        """The address in a URL.

        Raises:
            ValueError: if it is none; the message does not repeat what may be a secret.
        """
        if any(c <= " " or c == "\x7f" for c in url):
            raise ValueError("a server's url names a host, such as https://host:8443, and has no blanks")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:  # Python's words repeat parts of it
            raise ValueError("a server's url names a host, and a port up to 65535, such as https://host:8443") from None
        if parts.scheme not in _PORTS:
            raise ValueError(f"a server's url begins with {', '.join(f'{s}://' for s in _PORTS)}")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError(
                "a server's url has no user, password, query or fragment; a token stands in token_file or token_env"
            )
        if not parts.hostname:
            raise ValueError("a server's url names a host, such as https://host:8443")
        path = quote(parts.path.rstrip("/"), safe="/%")
        return cls(parts.scheme, parts.hostname, _PORTS[parts.scheme] if port is None else port, path)

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme in ("https", "grpcs")

    @property
    def netloc(self) -> str:
        """Such as ``"host:8443"``, ``"[::1]:8443"``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.path}"
