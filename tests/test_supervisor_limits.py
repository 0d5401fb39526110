"""A machine at its limits: the supervisor itself must be the last to fail."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

from tests.supervised import eventually, program, supervised

ALIVE = "joined = pulse.join(budget_s=0.5)\n"


def test_few_descriptors_are_enough(tmp_path: Path) -> None:
    code = f"{ALIVE}joined.beat()\nPath(f'alive.{{life}}').touch()\nif life < 30: sys.exit('again')\nalive_for_ever()"
    path = program(tmp_path / "app", code, "crash_limit = 1000\nhealthy_s = 0")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))

    with supervised(path, preexec_fn=limit) as app:
        app.lives(30, within_s=30)
        open_now = len(list(Path(f"/proc/{app.process.pid}/fd").iterdir()))
        assert open_now < 16, "no life leaves a descriptor behind"
        app.signal(signal.SIGTERM)
        assert app.ends() == 143


def test_a_reader_of_standard_error_that_sleeps_holds_nobody_up(tmp_path: Path) -> None:
    code = f"{ALIVE}sys.stderr.write('x' * 5_000_000)\nsys.stderr.flush()\nalive_for_ever()"
    read, write = os.pipe()  # nobody reads
    try:
        with supervised(program(tmp_path / "app", code), stderr=write) as app:
            app.lives(1)
            app.signal(signal.SIGTERM)
            assert app.ends() == 143
    finally:
        os.close(read)
        os.close(write)


def test_closed_standard_streams_do_no_harm(tmp_path: Path) -> None:
    def close_all() -> None:
        os.closerange(0, 3)

    path = program(tmp_path / "app", f"{ALIVE}alive_for_ever()")
    with supervised(path, preexec_fn=close_all, stdout=None, stderr=None) as app:
        app.lives(1)
        os.kill(app.application(), signal.SIGKILL)
        app.lives(2)
        app.signal(signal.SIGTERM)
        assert app.ends() == 143
    eventually((tmp_path / "app" / "state" / "state.json").exists)
