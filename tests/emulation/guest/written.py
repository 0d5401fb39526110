"""After a power cut: what became of the state file; runs in the machine."""

from __future__ import annotations

from typing import Any

from scenes import play
from writing import FILE

from edge_sdk.watchdog.state import read_state


def after_the_cut() -> dict[str, Any]:
    said: list[str] = []
    state = read_state(FILE, said.append)
    return {
        "said": said,
        "version": state["version"],
        "beside": sorted(path.name for path in FILE.parent.glob("*edge-sdk*")),
    }


if __name__ == "__main__":
    play({"after_the_cut": after_the_cut})
