"""Measuring beside a loop: in a process that gives way to it, takes a tenth of the time, and stops while it misses its deadlines."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic_ns

from edge_sdk.engines import Options
from edge_sdk.engines.family import module_path
from edge_sdk.errors import EdgeSdkError
from edge_sdk.tune.pace import MissPage

DUTY, BUDGET_S = 0.1, 30.0  # so it takes five minutes at most, but for the loop's misses
_LOOK_NS = 1_000_000_000
_CODE = """
import sys
sys.path[:] = {path!r}
from edge_sdk.tune.background import main
main({fd}, {order!r})
"""


class Background:
    """The loop's side.

    Args:
        bundle: its path.
        board: that the user named.
        options: of the engines, that the user states.

    Raises:
        OSError: if no process can be started.
    """

    def __init__(self, bundle: Path, board: str | None, options: Options) -> None:
        self._page = MissPage()
        order = json.dumps(
            {
                "bundle": str(bundle.absolute()),
                "tune": {"board": board, "options": options, "budget_s": BUDGET_S},
                "duty": DUTY,
            }
        )
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _CODE.format(path=module_path(), fd=self._page.fd, order=order)],
                pass_fds=[self._page.fd],
                stdin=subprocess.PIPE,  # closes with this process, however that ends
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except BaseException:
            self._page.close()
            raise
        self.pid, self._next_ns = self._process.pid, 0

    def missed(self) -> None:
        """The loop missed a deadline: nothing is measured for a while."""
        self._page.missed()

    def news(self) -> str | None:
        """What came of it, once it has ended; None until then. It looks once a second."""
        if (now_ns := monotonic_ns()) < self._next_ns:
            return None
        self._next_ns = now_ns + _LOOK_NS
        code = self._process.poll()
        if code is None:
            return None
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        said = self._process.stdout.read().decode(errors="replace").strip()
        return said or f"measuring beside the loop ended without a choice (exit code {code}); run: edge-sdk tune"

    def close(self) -> None:
        """End it, at once; the engines that it measures end with it."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._page.close()


def main(page_fd: int, order: str) -> None:
    """The other side: measure, keep the choice, and print in one sentence what came of it."""
    from edge_sdk.bundle import Bundle
    from edge_sdk.tune.contender import Servers, gentle_now
    from edge_sdk.tune.objective import Objective
    from edge_sdk.tune.pace import BackgroundPace, LoopGone
    from edge_sdk.tune.store import keep, state_dirs
    from edge_sdk.tune.tuning import tune

    for number in (signal.SIGINT, signal.SIGHUP):  # they concern the application
        signal.signal(number, signal.SIG_IGN)
    gentle_now()
    wanted = json.loads(order)
    pace = BackgroundPace(MissPage(page_fd), sys.stdin.fileno(), duty=wanted["duty"])
    try:
        with Bundle(wanted["bundle"]) as bundle:
            servers = Servers(gentle=True)
            tuned = tune(bundle, Objective(), pace=pace, servers=servers, **wanted["tune"])
        path = keep(tuned, Path(wanted["bundle"]), state_dirs()[0])
    except LoopGone:
        return
    except EdgeSdkError as exc:
        print(f"measuring beside the loop came to no choice: {exc}", flush=True)
        return
    row = tuned.taken
    print(f"{row.name} is taken at the next start: p50 {row.p50_ms:.3g} ms, {tuned.why}; kept in {path}", flush=True)
