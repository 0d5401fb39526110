"""What is emulated, made once a session in the background, while the first tests run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.emulation import machine as machines
from tests.emulation import userland as userlands
from tests.emulation import what_is_missing
from tests.emulation.machine import Machine, make_machine
from tests.emulation.userland import Userland, foreign_programs, make_userland
from tests.emulation.wheels import build_wheel

Made = Callable[[str], Any]
TOOLS = {"machine": machines.TOOLS, "arm64": userlands.TOOLS, "armhf": userlands.TOOLS}
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The userlands first: the machine, whose scenes need the processors to themselves, is made meanwhile.
    items.sort(key=lambda item: HERE in item.path.parents and item.path.stem != "test_userlands")
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.emulation)
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.filterwarnings("default::tests.emulation.boot.StuckBootWarning"))
            item.add_marker(pytest.mark.timeout(1500))  # the first test of a session waits for what is being made


@pytest.fixture(scope="session")
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """Gives what has this name when it is made, or skips the test if that is impossible here."""
    missing = {name: what_is_missing(tools) for name, tools in TOOLS.items()}
    wanted = [name for name in _wanted(request.session.items) if not missing[name]]
    with ExitStack() as stack:
        # In memory, where there is enough: programs in it start faster.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm", prefix="edge-sdk-")))
        if {"arm64", "armhf"} & set(wanted):
            stack.enter_context(foreign_programs())
        pool = stack.enter_context(ThreadPoolExecutor(2))
        wheel = pool.submit(build_wheel, tmp_path_factory.mktemp("wheel"))
        futures = {name: pool.submit(_make, name, wheel, folder / name) for name in wanted}

        def get(name: str) -> Any:
            if missing[name]:
                pytest.skip(missing[name])
            return futures[name].result()

        yield get


def _make(name: str, wheel: Future[Path], folder: Path) -> Userland | Machine:
    return make_machine(wheel.result(), folder) if name == "machine" else make_userland(name, wheel.result(), folder)


def _wanted(items: list[pytest.Item]) -> list[str]:
    """What the chosen tests ask for, in their order."""
    names: dict[str, None] = {}
    for item in items:
        if "userland" in getattr(item, "fixturenames", ()):
            names[item.callspec.params["userland"]] = None  # type: ignore[attr-defined]  # they are parametrized
        elif "machine" in getattr(item, "fixturenames", ()):
            names["machine"] = None
    return list(names)


@pytest.fixture(scope="session", params=list(userlands.PROCESSORS))
def userland(request: pytest.FixtureRequest, made: Made) -> Userland:
    got: Userland = made(request.param)
    return got


@pytest.fixture(scope="session")
def machine(made: Made) -> Machine:
    got: Machine = made("machine")
    return got
