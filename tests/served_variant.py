"""A variant of a bundle on a faulty server; ``python -m tests.served_variant BUNDLE VARIANT PORT [CERTIFICATE STRANGERS_CERTIFICATE]``.

It prints its port, and takes commands as lines on standard input: ``fault NAME``, ``connect NAME``, ``always NAME`` (``always ok`` ends
it), ``cut``, ``down``, ``up``, ``count``; to each it answers how many faults still wait.
"""

from __future__ import annotations

import json
import ssl
import sys
import threading
from pathlib import Path
from typing import Any

from edge_sdk.tensors import Array
from tests.faulty_server import FaultyServer


def serve_variant(path: str, variant_id: str, **settings: Any) -> FaultyServer:
    """A server of a variant of a bundle, in a LiteRT interpreter."""
    from edge_sdk.bundle import Bundle
    from edge_sdk.engines.isolation import open_engine

    with Bundle(path) as bundle:
        variant = bundle.variant(variant_id)
        engine = open_engine("litert", bundle.model_of(variant), {"threads": "1"}, isolation="none")
    lock = threading.Lock()

    def answer(tensor: Array) -> tuple[Array, ...]:
        with lock:
            engine.input_arrays[0][...] = tensor
            return tuple(output.copy() for output in engine.run())

    return FaultyServer(answer, variant.inputs, variant.outputs, **settings)


def tls_from(*certificates: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    contexts = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for context, certificate in zip(contexts, certificates, strict=True):
        context.load_cert_chain(certificate, Path(certificate).with_suffix(".key"))
    return contexts


def main() -> None:
    bundle, variant_id, port, *certificates = sys.argv[1:]
    tls = tls_from(*certificates) if certificates else None
    with serve_variant(bundle, variant_id, port=int(port), tls=tls) as server:
        print(server.port, flush=True)
        for line in sys.stdin:
            command, _, name = line.strip().partition(" ")
            match command:
                case "fault":
                    server.faults.append(name)
                case "connect":
                    server.connection_faults.append(name)
                    server.cut()
                case "always":
                    server.always = name
                case "cut":
                    server.cut()
                case "down":
                    server.down()
                case "up":
                    server.up()
            waiting = len(server.faults) + len(server.connection_faults)
            print(json.dumps({"asked": server.asked, "waiting": waiting}), flush=True)


if __name__ == "__main__":
    main()
