"""A machine whose power is cut while it writes its state, as fast as it can: the file is whole afterwards, and nothing safe is lost."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.emulation import run
from tests.emulation.boot import booted
from tests.emulation.machine import Machine, prepare


@pytest.mark.parametrize("writes", [7, 40])
def test_the_state_is_whole_after_a_power_cut(machine: Machine, tmp_path: Path, writes: int) -> None:
    shared = tmp_path / "shared"
    prepare(shared, "python writing.py")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        disk = Path(memory) / "disk.img"
        run("cp", "--sparse=always", machine.disk, disk, timeout_s=100)
        with booted(machine.command(shared, disk), shared) as boot:
            boot.wait_for(f"safe {writes}")
        prepare(shared, "python written.py")
        seen = machine.boot(shared, disk, timeout_s=300)
    scene = seen["after_the_cut"]
    assert scene["said"] == []
    assert scene["version"] >= writes
    assert set(scene["beside"]) <= {"edge-sdk.state", ".edge-sdk.state.new"}
