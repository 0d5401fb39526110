"""What goes wrong with a server or on the way to it: scripts for ``RestServer``."""

from __future__ import annotations

import gzip

from tests.inference_answers import http
from tests.inference_servers import Script, Talk

# Other forms of an answer.


def chunked(answer: bytes) -> bytes:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    pieces = [body[:5], body[5:]]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return b"\r\n".join([*lines, b"Transfer-Encoding: chunked", b"", chunks]) + b"0\r\n\r\n"


def gzipped(answer: bytes) -> bytes:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    packed = gzip.compress(body)
    return b"\r\n".join([*lines, b"Content-Encoding: gzip", b"Content-Length: %d" % len(packed), b"", packed])


def without_length(answer: bytes) -> bytes:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    return b"\r\n".join([*lines, b"Connection: close", b"", body])


def stall(talk: Talk) -> None:
    """Never answer."""
    talk.until_gone()


def drip(talk: Talk) -> None:
    """A byte every 20 ms."""
    talk.close()
    for byte in talk.answer():
        talk.send(bytes([byte]))
        talk.pause(0.02)


def late(seconds: float) -> Script:
    """Answer after so long."""

    def script(talk: Talk) -> None:
        talk.pause(seconds)
        talk.send(talk.answer())

    return script


def says(content: bytes) -> Script:
    """Answer these bytes, and close."""

    def script(talk: Talk) -> None:
        talk.send(content)
        talk.close()

    return script


def cut(talk: Talk) -> None:
    """Break off in the middle of the answer."""
    answer = talk.answer()
    talk.send(answer[: len(answer) - 2])
    talk.close()


def reset(talk: Talk) -> None:
    """Reset the connection without an answer."""
    talk.reset()


def hang_up(talk: Talk) -> None:
    """Close without an answer."""
    talk.close()


FAULTS: dict[str, Script] = {
    "stall": stall,
    "drip": drip,
    "cut": cut,
    "reset": reset,
    "hang up": hang_up,
    "error": says(http("500 Internal Server Error", b'{"error": "out of memory"}')),
    "busy": says(http("503 Service Unavailable")),
    "garbage": says(b"\x00\xff garbage \x1b[31m\r\n\r\n"),
    "not JSON": says(http("200 OK", b"<html>hello</html>")),
    "redirect": says(http("307 Temporary Redirect", Location="http://127.0.0.1:1/elsewhere")),
    "endless": says(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n"),
}
