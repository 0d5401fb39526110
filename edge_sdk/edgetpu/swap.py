"""What it costs to put another model on the Edge TPU: its parameters are loaded anew, as the last model's lie in their place.

Two models in turn took 13 ms where one alone takes 2.3 (google-coral/coralmicro#48).
"""

from __future__ import annotations

from edge_sdk.edgetpu.plan import Host, Plan

START_MS = 0.3  # an inference of its own: the package has an executable that loads
# ms for a million bytes. USB 3 and the Dev Board: fitted to published times of models that stream their parameters (python -m
# benchmarks.edgetpu_latency). USB 2: 36 MB/s, as google-coral/pycoral benchmarks/reference has it on a Raspberry Pi 3B. PCIe: taken as
# the Dev Board's.
MS_A_MEGABYTE: dict[Host, float] = {"usb3": 1.74, "dev-board": 2.13, "usb2": 27.8, "pcie": 2.13}


def swap_ms(plan: Plan, host: Host) -> float:
    """The expected time, in milliseconds, that the first inference takes longer after another model's.

    Args:
        plan: of the model that comes.
        host: what the Edge TPU hangs on.
    """
    return START_MS + plan.cached_bytes / 1e6 * MS_A_MEGABYTE[host] if plan.cached_bytes else 0.0
