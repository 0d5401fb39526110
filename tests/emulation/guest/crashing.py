"""A user's program that dies with its tenth result."""

from __future__ import annotations

import os

from edge_sdk import Loop

CAMERA = "camera:/dev/video0?width=320&height=180"
OPTIONS = {"input": "1,128,128,3 uint8"}

if __name__ == "__main__":
    with Loop("/mnt/host/null.edge", CAMERA, deadline_ms=300, engine="null", engine_options=OPTIONS) as loop:
        for number, _ in enumerate(loop):
            if number == 9:
                os._exit(3)
