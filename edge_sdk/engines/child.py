"""The engine's child process: loads one model, then runs it whenever the application asks, on tensors that both share."""

from __future__ import annotations

import os
import select
import socket

from edge_sdk.engines import Engine, load_engine, starting
from edge_sdk.engines.spin import Spin
from edge_sdk.engines.wire import REOPEN, RESET, SharedTensors, receive, send, specs_to_json
from edge_sdk.errors import EdgeSdkError
from edge_sdk.refusal import refusal


def serve(engine_name: str, options: dict[str, str], fds: list[int]) -> int:
    """Load and serve until the application closes the control socket; returns the exit code.

    Args:
        engine_name: see ``edge_sdk.engines``.
        options: the engine's options.
        fds: model, control socket, request eventfd, response eventfd.
    """
    model_fd, control_fd, request_fd, response_fd = fds
    control = socket.socket(fileno=control_fd)
    starting.announce = lambda most_s: send(control, {"takes_s": most_s})
    try:
        engine = load_engine(engine_name, f"/proc/self/fd/{model_fd}", options)
        loaded = {
            "inputs": specs_to_json(engine.inputs),
            "outputs": specs_to_json(engine.outputs),
            "description": engine.description,
            "stateful": engine.stateful,
        }
        send(control, loaded)
    except ConnectionError:
        return 1  # the application has gone meanwhile
    except Exception as exc:  # noqa: BLE001 - an engine of somebody else's may raise anything; it is told, not lost
        send(control, {"error": (type(exc).__name__, _in_words(exc))})
        return 1
    _, shared_fds = receive(control)
    if not shared_fds:
        return 0
    shared = SharedTensors(shared_fds[0], engine.inputs, engine.outputs)
    _serve_requests(engine, shared, control, request_fd, response_fd)
    return 0


def _serve_requests(
    engine: Engine, shared: SharedTensors, control: socket.socket, request_fd: int, response_fd: int
) -> None:
    engine.input_arrays = shared.inputs
    poll = select.poll()
    poll.register(request_fd, select.POLLIN)
    poll.register(control, select.POLLIN)
    spin = Spin()
    while True:
        events = spin.wait(poll, None)
        if any(fd != request_fd for fd, _ in events):
            return
        os.eventfd_read(request_fd)
        try:
            order = shared.take_order()
            if order == REOPEN:
                engine.reopen()
            else:
                if order == RESET:
                    engine.reset()
                for shared_output, output in zip(shared.outputs, engine.run(), strict=True):
                    shared_output[...] = output
        except Exception as exc:  # noqa: BLE001 - as above
            shared.set_error(_in_words(exc))
        os.eventfd_write(response_fd, 1)


def _in_words(exc: Exception) -> str:
    if isinstance(exc, OSError):
        return refusal(exc)[:2_000]
    text = str(exc) if isinstance(exc, EdgeSdkError) else f"{type(exc).__name__}: {exc}"
    return text[:2_000]
