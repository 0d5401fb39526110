"""An application under ``edge-sdk run``, and what its supervisor's page tells of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from edge_sdk.errors import ConfigError
from edge_sdk.watchdog import pulse
from edge_sdk.watchdog.state import unpack

LONGEST_S = 30.0


class Supervised:
    """Runs ``app.toml`` of a folder, whose ``[supervisor] state_dir`` is ``state``; a context manager.

    Args:
        folder: the app.toml is there, and what it says is appended to ``log.txt``.
        environment: of the processes, besides this one's; they find the packages of this checkout.

    Attributes:
        process: the supervisor.
        slot: of its page, the one of the application's loop; see ``edge_sdk.watchdog.pulse``.

    Raises:
        TimeoutError: if it does not start within 30 s; as all methods that wait do.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        command = [sys.executable, "-m", "edge_sdk.cli", "run", str(folder / "app.toml")]
        with (folder / "log.txt").open("a") as log:
            environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **(environment or {})}
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            self.until(self._find_page, "start")
        except BaseException:
            self.process.kill()
            raise

    def __enter__(self) -> Supervised:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def application(self) -> int:
        """Its process, waited for."""
        self.until(lambda: self.slot[pulse.OWNER] != 0, "an application")
        return int(self.slot[pulse.OWNER])

    def results(self) -> int:
        """So many were made, over all its lives."""
        return int(self.slot[pulse.ON_TIME] + self.slot[pulse.LATE])

    def await_results(self, count: int, what: str) -> None:
        """Wait for so many more."""
        results = self.results()
        self.until(lambda: self.results() >= results + count, what)

    def await_another(self, application: int, what: str) -> None:
        """Wait until another process than this one is the application."""
        self.until(lambda: self.slot[pulse.OWNER] not in (0, application), what)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition; ``what`` names it in the error."""
        until = time.monotonic() + LONGEST_S
        while not condition():
            if time.monotonic() > until:
                log = (self._folder / "log.txt").read_text(errors="replace")[-2_000:]
                raise TimeoutError(f"{what}: not over after {LONGEST_S:g} s. The log ends:\n{log}")
            time.sleep(0.002)

    def end(self) -> None:
        """End it in good order; nothing where it has ended by itself."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(5)

    def counts(self) -> dict[str, int]:
        """What its loop counted over all its lives, once it has ended."""
        loops = unpack((self._folder / "state" / "state.json").read_bytes())["loops"]
        assert isinstance(loops, list) and len(loops) == 1, loops
        return {name: int(count) for name, count in loops[0].items()}

    def _find_page(self) -> bool:
        """Map the supervisor's page, once it has one."""
        for entry in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with suppress(FileNotFoundError, ConfigError):  # not there any more, or not whole yet
                if "edge-sdk-pulse" in str(entry.readlink()):
                    self.slot = pulse.slots_at(str(entry))[0]
                    return True
        return False


@contextmanager
def page() -> Iterator[memoryview]:
    """A page without a supervisor, which loops of this process and below join meanwhile: the first one's slot."""
    made = pulse.Page()
    os.environ[pulse.VARIABLE] = made.path
    try:
        yield made.slots[0]
    finally:
        del os.environ[pulse.VARIABLE]


def is_exact(counts: Mapping[str, int]) -> bool:
    """Whether every sample captured has found its end."""
    ends = sum(counts[name] for name in ("on_time", "late", "dropped", "skipped", "lost"))
    return counts["captured"] == ends and counts["in_flight"] == 0
