"""Clients of servers that are closed when their test is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from edge_sdk.remote.client import Client
from tests.remote_models import client_of

Clients = Callable[..., Client]


@pytest.fixture
def clients() -> Iterator[Clients]:
    """``client_of``."""
    with ExitStack() as stack:
        yield lambda *args, **settings: stack.enter_context(client_of(*args, **settings))
