"""What goes wrong on the way to a server, in words that say what to do."""

from __future__ import annotations

import ssl
import time
from http.client import BadStatusLine, IncompleteRead, RemoteDisconnected

from edge_sdk.printable import printable
from edge_sdk.redact import redacted
from edge_sdk.refusal import refusal

MOST_SHOWN = 300  # characters of what a server says
_NOT_YET_VALID, _EXPIRED, _OTHER_HOST, _OTHER_NUMBER = 9, 10, 62, 64  # X509_V_ERR_ of openssl/x509_vfy.h
_TLS_ALERT = "\x15\x03"  # type and version of a record (RFC 8446, 5.1), which a server with TLS answers to plain HTTP
_PLAIN = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "UNKNOWN_PROTOCOL")
_OUR_CERTIFICATE = (
    "TLSV13_ALERT_CERTIFICATE_REQUIRED",
    "SSLV3_ALERT_HANDSHAKE_FAILURE",
    "SSLV3_ALERT_BAD_CERTIFICATE",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
    "TLSV1_ALERT_UNKNOWN_CA",
    "TLSV1_ALERT_ACCESS_DENIED",
)


def shown(text: str) -> str:
    """What a server says, for a message: one line, printable, short, without passwords."""
    line = redacted(printable(" ".join(text.split())))
    return line if len(line) <= MOST_SHOWN else f"{line[:MOST_SHOWN]}..."


def fault_of_connecting(exc: OSError) -> str:
    """Of a connection that was not made."""
    if isinstance(exc, ssl.SSLError):
        return _fault_of_tls(exc)
    if isinstance(exc, ConnectionRefusedError):
        return "nothing listens there (connection refused); check host and port, and that the server runs"
    if isinstance(exc, ConnectionError):
        return f"the connection broke off while it was made ({refusal(exc)}); if the server has no TLS, the url begins with http or grpc"
    return f"cannot be reached: {refusal(exc)}"


def fault_of_exchange(exc: Exception, *, tls: bool, received: int) -> str:
    """Of a request that was sent, or whose answer was read, in part; ``received`` bytes of the answer came."""
    if isinstance(exc, ssl.SSLError) and not isinstance(exc, ssl.SSLEOFError):
        return _fault_of_tls(exc)
    if isinstance(exc, RemoteDisconnected | OSError) and not received:
        hint = "if it asks for a certificate of ours, give cert_file and key_file"
        hint = hint if tls else "if the server has TLS, the url begins with https or grpcs"
        return f"the server closed the connection without an answer; {hint}"
    if isinstance(exc, BadStatusLine):
        if not tls and str(exc).startswith(_TLS_ALERT):
            return "the server has TLS; let the url begin with https"
        return f"the answer is no HTTP: it begins with {shown(str(exc))!r}; check port and protocol"
    if isinstance(exc, IncompleteRead | OSError):
        return f"the connection broke off in the middle of the answer, of which {received} bytes came"
    return f"the answer is damaged HTTP: {shown(str(exc)) or type(exc).__name__}"


def _fault_of_tls(exc: ssl.SSLError) -> str:
    reason = exc.reason or ""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return _fault_of_certificate(exc)
    if reason in _PLAIN:
        return "the server does not speak TLS on this port; check the port, or begin the url with http or grpc"
    if reason in _OUR_CERTIFICATE:
        return f"the server refuses us ({_words(reason)}): it asks for a certificate of ours that it trusts; give cert_file and key_file"
    if isinstance(exc, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return (
            "the connection broke off while TLS was set up; check the port, and whether the server asks for cert_file"
        )
    return f"TLS failed: {_words(reason) or shown(str(exc))}"


def _fault_of_certificate(exc: ssl.SSLCertVerificationError) -> str:
    said = f"the server's certificate is not trusted: {shown(exc.verify_message or str(exc))}"
    if exc.verify_code in (_NOT_YET_VALID, _EXPIRED):
        today = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
        return f"{said}; this device's clock says {today} UTC: set it if it is wrong, else the server needs a valid certificate"
    if exc.verify_code in (_OTHER_HOST, _OTHER_NUMBER):
        return f"{said}; use the host's name in the url as it stands in the certificate"
    return f"{said}; give the certificate of its authority as ca_file"


def _words(reason: str) -> str:
    return reason.replace("_", " ").lower()
