"""Records sound in a process of its own, which its ``AudioSource`` starts as a script: PortAudio and ALSA's plugins may hang or abort.

Imports nothing of edge_sdk, so that it starts fast. It writes pieces of one size to a descriptor: ``HEADER``, then the readings.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
import threading
import time
from typing import Any

HEADER = struct.Struct(
    "<qqq"
)  # when the piece came, by time.monotonic_ns; the age of its first reading, in ns; 1 behind an overrun
_UNAVAILABLE, _BAD_RATE, _BAD_CHANNELS = (
    -9985,
    -9997,
    -9998,
)  # paDeviceUnavailable, paInvalidSampleRate, paInvalidChannelCount


def main() -> None:
    """``recorder.py DESCRIPTOR SETTINGS``, these as JSON of ``AudioSettings``."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    descriptor, settings = int(sys.argv[1]), json.loads(sys.argv[2])
    try:
        import sounddevice
    except ModuleNotFoundError:
        _fail("reading sound needs sounddevice, which is not installed. Run: pip install 'edge-device-sdk[audio]'")
    except OSError:
        _fail("reading sound needs PortAudio, which is not installed. Run: sudo apt install libportaudio2")
    number, name = _find(sounddevice, settings["device"])
    finished = threading.Event()

    def came(data: Any, count: int, at: Any, status: Any) -> None:
        delay_ns = round((at.currentTime - at.inputBufferAdcTime) * 1e9)
        piece = memoryview(HEADER.pack(time.monotonic_ns(), delay_ns, status.input_overflow) + bytes(data))
        while piece:  # waits while nobody reads and the pipe is full: the device then overruns, and says so
            piece = piece[os.write(descriptor, piece) :]

    try:
        stream = sounddevice.RawInputStream(
            device=number,
            samplerate=settings["rate_hz"],
            channels=settings["channels"],
            dtype=settings["format"],
            blocksize=settings["piece"],
            latency="high",  # room in the driver, no delay: what is there is read at once
            callback=came,
            finished_callback=finished.set,
        )
        stream.start()
    except sounddevice.PortAudioError as exc:
        _fail(f"the audio input {name!r} cannot be opened: {_why_not(sounddevice, number, settings, exc)}")
    finished.wait()
    _fail(f"the audio device {name!r} ended: it was unplugged. See dmesg")


def _find(sounddevice: Any, wanted: str) -> tuple[int, str]:
    """Number and name of the input that is wanted."""
    inputs = {n: one["name"] for n, one in enumerate(sounddevice.query_devices()) if one["max_input_channels"] > 0}
    if wanted == "default":
        found = [sounddevice.default.device[0]] if sounddevice.default.device[0] in inputs else []
    elif wanted.isascii() and wanted.isdigit():
        found = [n for n in inputs if n == int(wanted)]
    else:
        same = [n for n, name in inputs.items() if name == wanted]
        found = same or [n for n, name in inputs.items() if wanted.lower() in name.lower()]
    if len(found) != 1:
        there = "; ".join(f"{n}: {name}" for n, name in inputs.items())
        missing = "is not there, or taken by another program (fuser -v /dev/snd/*)"
        how_many = missing if not found else f"fits {len(found)} devices"
        _fail(
            f"the audio input {wanted!r} {how_many}. Inputs here: "
            f"{there or 'none. See arecord -l, and whether this user is in the group audio'}"
        )
    return found[0], inputs[found[0]]


def _why_not(sounddevice: Any, number: int, settings: dict[str, Any], exc: Exception) -> str:
    device = sounddevice.query_devices(number)
    code = exc.args[1] if len(exc.args) > 1 else 0
    return {
        _UNAVAILABLE: "it is in use by another program (fuser -v /dev/snd/* shows by which), or was unplugged; audio:default is shared "
        "where the system has PipeWire, PulseAudio or dsnoop",
        _BAD_RATE: f"it does not take rate_hz={settings['rate_hz']}; its own is {device['default_samplerate']:g}. audio:default converts",
        _BAD_CHANNELS: f"it does not take channels={settings['channels']}; it has {device['max_input_channels']}",
    }.get(code, str(exc))


def _fail(message: str) -> Any:
    print(f"ERROR: {message}", file=sys.stderr, flush=True)
    os._exit(1)  # at once: PortAudio's own end may hang


if __name__ == "__main__":
    main()
