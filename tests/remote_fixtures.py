"""Clients of servers that are closed when their test is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from edge_sdk.remote.client import Client
from tests.inference_servers import LitertModel, RestServer
from tests.remote_models import client_of

Clients = Callable[..., Client]


@pytest.fixture(scope="session")
def face_server(face_model: Path) -> Iterator[RestServer]:
    """The face detector, run by LiteRT behind a socket."""
    model = LitertModel(face_model)
    with RestServer(model, model.inputs, model.outputs) as server:
        yield server


@pytest.fixture
def clients() -> Iterator[Clients]:
    """``client_of``."""
    with ExitStack() as stack:
        yield lambda *args, **settings: stack.enter_context(client_of(*args, **settings))
