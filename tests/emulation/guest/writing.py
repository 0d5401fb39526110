"""Writes a state file again and again and says on the console which version is safe; runs in the machine until its power is cut."""

from __future__ import annotations

from pathlib import Path

from edge_sdk.watchdog.state import pack, write_whole

FILE = Path("/var/lib/edge-sdk.state")

if __name__ == "__main__":
    for version in range(1_000_000):
        write_whole(FILE, pack({"version": version, "padding": "x" * (version * 997 % 20_000)}))
        print(f"safe {version}", flush=True)
