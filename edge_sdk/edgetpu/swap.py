"""What it costs to put another model on the Edge TPU: its parameters are loaded anew, as the last model's lie in their place.

Published, of MobileNetV2 (4.1 MB cached): the first inference takes 8.8 ms more than the next on USB 3 (11.8 and 3.0 ms:
github.com/ksivamuthu/cloud-edge-tpu-demo), 141 to 145 ms more on USB 2 (Dev Board Mini: google-coral/edgetpu#497, #793); here 8.1 and 118.
Two models in turn on a Dev Board Micro, on USB 2 as well, take 13 and 176 ms in place of 2.3 and 27 (google-coral/coralmicro#48).
"""

from __future__ import annotations

from edge_sdk.edgetpu.plan import Host, Plan

# Of converters/targets/edgetpu/latency.toml, with their sources there. START_MS: the package has an executable that loads, an inference of
# its own. MS_A_MEGABYTE: ms for a million bytes. PCIe: taken as the Dev Board's.
START_MS: dict[Host, float] = {"usb3": 0.66, "dev-board": 0.66, "usb2": 4.2, "pcie": 0.66}
MS_A_MEGABYTE: dict[Host, float] = {"usb3": 1.81, "dev-board": 2.19, "usb2": 27.8, "pcie": 2.19}


def swap_ms(plan: Plan, host: Host) -> float:
    """The expected time, in milliseconds, that the first inference takes longer after another model's.

    Args:
        plan: of the model that comes.
        host: what the Edge TPU hangs on.
    """
    return START_MS[host] + plan.cached_bytes / 1e6 * MS_A_MEGABYTE[host] if plan.cached_bytes else 0.0
