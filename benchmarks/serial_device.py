"""A vibration sensor on a pseudo-terminal, 1,000 readings of six axes a second: ``python -m benchmarks.serial_device LINK``, until ended.

A packet is ``aa55``, then ``<I6h``: the time in microseconds, and the axes, of which the first one counts the readings (15 bits). What the
line does not take in time is lost, as on a real one; only by what this program itself is late, which a sensor never is, it waits for room.
"""

from __future__ import annotations

import os
import select
import struct
import sys
import time
import tty
from pathlib import Path

RATE_HZ, AXES, COUNTS = 1_000, 6, 1 << 15
_BATCH = 10  # readings, sent together


def main() -> None:
    """Send."""
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    Path(sys.argv[1]).symlink_to(os.ttyname(slave))
    room = select.poll()
    room.register(master, select.POLLOUT)
    began, sent = time.monotonic(), 0
    while True:
        numbers = range(sent, sent + _BATCH)
        packets = (
            struct.pack("<2sI6h", b"\xaa\x55", n * 1_000 % (1 << 32), n % COUNTS, *[n % 7] * (AXES - 1))
            for n in numbers
        )
        late_s = max(0.0, time.monotonic() - began - sent / RATE_HZ)
        if room.poll(late_s * 1_000):
            os.write(master, b"".join(packets))
        sent += _BATCH
        time.sleep(max(0.0, began + sent / RATE_HZ - time.monotonic()))


if __name__ == "__main__":
    main()
