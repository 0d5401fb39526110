"""Sound through a real PortAudio stream: of a sound server's card that keeps time, and of ALSA's own plugins. No sound card is needed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.errors import ConfigError, MissingPackageError, SourceError, SourceLostError
from edge_sdk.sources import Sample, Source, source_from
from edge_sdk.sources.audio import StreamClock
from tests.test_sources import SourceContract

try:
    import sounddevice  # noqa: F401
except ModuleNotFoundError:
    pytest.skip("sounddevice is not installed; it comes with the extra audio", allow_module_level=True)
except OSError:
    pytest.skip("no PortAudio: apt install libportaudio2", allow_module_level=True)

PERIOD_NS = 1e9 / 16000


class Card:
    """A sound card that can be pulled: PulseAudio with a null sink, whose monitor is the microphone ``mic`` of ALSA."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("pulseaudio") is None:
            pytest.skip("no sound server that keeps time: apt install pulseaudio libasound2-plugins")
        self.folder = folder
        self.socket = folder / "native"
        self.asound = folder / "asound.conf"
        settings = f'{{ type pulse server "unix:{self.socket}" device "card.monitor" }}'
        self.asound.write_text(f"pcm.mic {settings}\npcm.!default {settings}\n")
        self.plug()

    def plug(self) -> None:
        self.socket.unlink(missing_ok=True)
        modules = (
            "module-null-sink sink_name=card rate=16000 channels=1",
            f"module-native-protocol-unix socket={self.socket} auth-anonymous=1",
        )
        command = ["setpriv", "--pdeathsig", "KILL", "pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1"]
        command += ["--use-pid-file=no", "--disallow-exit"]
        command += [part for module in modules for part in ("-L", module)]
        homes = dict.fromkeys(("HOME", "XDG_RUNTIME_DIR", "PULSE_RUNTIME_PATH"), str(self.folder))
        self.process = subprocess.Popen(
            command, env={**os.environ, **homes}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + 10
        while not self.socket.exists():
            assert time.monotonic() < until and self.process.poll() is None
            threading.Event().wait(0.01)

    def pull(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sound")


@pytest.fixture(scope="module")
def one_card(folder: Path) -> Iterator[Card]:
    card = Card(folder)
    yield card
    card.pull()


@pytest.fixture
def card(one_card: Card, monkeypatch: pytest.MonkeyPatch) -> Card:
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(one_card.asound))
    monkeypatch.setenv("PULSE_LATENCY_MSEC", "20")
    if one_card.process.poll() is not None:
        one_card.plug()
    return one_card


@pytest.fixture
def alsa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Devices of ALSA's plugins: ``quiet``, and ``ramp``, which gives 0, 1, 2, ... as fast as it is read."""
    np.arange(32000).astype("<i2").tofile(tmp_path / "ramp.raw")
    asound = tmp_path / "asound.conf"
    asound.write_text(
        "pcm.quiet { type null }\npcm.!default { type plug slave.pcm quiet }\nctl.!default { type hw card 0 }\n"
        f'pcm.ramp {{ type file slave.pcm "quiet" file "/dev/null" infile "{tmp_path}/ramp.raw" format "raw" }}\n'
    )
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(asound))


class TestAudio(SourceContract):
    count = None

    @pytest.fixture
    def make(self, card: Card) -> Callable[[], Source]:
        return lambda: source_from("audio:mic?rate_hz=16000&timeout_s=10")

    def test_readings_are_evenly_spaced_and_fresh(self, make: Callable[[], Source]) -> None:
        with make() as source:
            samples = [source.read() for _ in range(50)]
            age_ms = (time.monotonic_ns() - samples[-1].captured_ns) / 1e6
        assert source.live and source.channels == ("sound",) and source.rate_hz == 16000
        assert all(s.data.shape == (320, 1) and s.data.dtype == np.int16 and len(s.times_ns) == 320 for s in samples)
        steps = np.diff(np.concatenate([s.times_ns for s in samples]))
        assert steps.min() > 0.9 * PERIOD_NS
        assert np.median(steps) == pytest.approx(PERIOD_NS, rel=0.005)
        assert (steps > 1.01 * PERIOD_NS).sum() <= source.lost
        assert 0 <= age_ms < 1000  # the sound server passes on a third of a second at once

    def test_other_forms(self, card: Card) -> None:
        with source_from("audio:default?rate_hz=44100&channels=2&format=float32&piece_ms=100") as source:
            sample = source.read()
        assert (
            sample.data.shape == (4410, 2)
            and sample.data.dtype == np.float32
            and source.channels == ("sound0", "sound1")
        )


def test_the_readings_are_those_of_the_device(alsa: None) -> None:
    with source_from("audio:ramp") as source:
        read = [source.read() for _ in range(5)]
    np.testing.assert_array_equal(np.concatenate([s.data[:, 0] for s in read])[:320], np.arange(320))
    for sample in read:
        np.testing.assert_array_equal(np.diff(sample.data[:, 0]), 1)


@pytest.mark.slow
def test_a_card_that_is_pulled_is_lost_and_comes_back(card: Card) -> None:
    source = source_from("audio:mic")
    source.open()
    source.read()
    card.pull()
    with pytest.raises(
        SourceLostError, match=r"the recorder (ended .*audio device 'mic' ended: it was unplugged|gave nothing in 2 s)"
    ):
        while source.read() is not None:
            pass
    source.close()
    with pytest.raises(SourceError, match=r"the audio input 'mic' (is not there|cannot be opened)"):
        source.open()
    card.plug()
    source.open()
    assert source.read().data.shape == (320, 1)
    source.close()


@pytest.mark.slow
def test_a_card_that_falls_silent_is_lost_in_time(card: Card) -> None:
    source = source_from("audio:mic?timeout_s=0.5")
    source.open()
    source.read()
    os.kill(card.process.pid, signal.SIGSTOP)
    try:
        last = time.monotonic()
        with pytest.raises(SourceLostError, match=r"the recorder gave .* in 0\.5 s: it hangs"):
            while source.read() is not None:
                last = time.monotonic()
        assert time.monotonic() - last < 1
        began = time.monotonic()
        source.close()
        assert time.monotonic() - began < 0.2
    finally:
        os.kill(card.process.pid, signal.SIGCONT)
    source.open()
    assert source.read() is not None
    source.close()


def test_closing_ends_a_read(card: Card) -> None:
    source = source_from("audio:mic?timeout_s=30&piece_ms=1000")
    source.open()
    got: list[Sample | None] = []
    thread = threading.Thread(target=lambda: got.extend(iter(source.read, None)))
    thread.start()
    began = time.monotonic()
    source.close()
    assert time.monotonic() - began < 0.2
    thread.join(1)
    assert not thread.is_alive() and source.read() is None


@pytest.mark.slow
def test_what_is_not_read_in_time_is_lost_and_shown_as_a_gap(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small pipe, so that the recorder must wait, and the device overruns."""
    monkeypatch.setattr("edge_sdk.sources.pipe.PIPE_BYTES", 4096)
    with source_from("audio:mic?timeout_s=10") as source:
        before = source.read()
        threading.Event().wait(4)  # more than the sound server holds
        steps = []
        while not source.lost:
            after = source.read()
            steps.append(after.times_ns[0] - before.times_ns[-1])
            before = after
    assert steps[-1] > 100e6 and max(steps[:-1]) < 1.01 * PERIOD_NS


@pytest.mark.slow
def test_a_recorder_that_was_stopped_goes_on_and_shows_the_gap(card: Card) -> None:
    """As a machine does that has no time for it: sound is lost, and the times say where."""
    with source_from("audio:mic?timeout_s=20") as source:
        before = source.read()
        recorder = source._opened[0]._process.pid
        os.kill(recorder, signal.SIGSTOP)
        threading.Event().wait(6)  # more than the sound server holds
        os.kill(recorder, signal.SIGCONT)
        steps = []
        while not source.lost:
            after = source.read()
            steps.append(after.times_ns[0] - before.times_ns[-1])
            before = after
    assert steps[-1] > 100e6 and max(steps[:-1], default=0) < 1.01 * PERIOD_NS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("audio:nosuch", r"the audio input 'nosuch' is not there, or taken .*. Inputs here: 0: .*mic"),
        ("audio:99", r"the audio input '99' is not there, or taken .*. Inputs here: 0: "),
        ("audio:mic?channels=60", r"'mic' cannot be opened: it does not take channels=60; it has 32"),
    ],
)
def test_what_cannot_be_opened_says_why(card: Card, text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        source_from(text).open()


@pytest.mark.skipif(Path("/dev/snd").exists(), reason="there is a sound card")
def test_a_machine_without_inputs_says_so() -> None:
    for device in ("default", "0"):
        with pytest.raises(
            SourceError, match=f"'{device}' is not there, or taken .*. Inputs here: none. See arecord -l"
        ):
            source_from(f"audio:{device}").open()


REFUSES = """
class PortAudioError(Exception): pass
class default: device = [0, 0]
def query_devices(number=None):
    one = {"name": "mic", "max_input_channels": 2, "default_samplerate": 48000.0}
    return [one] if number is None else one
def RawInputStream(**settings): raise PortAudioError("Error opening RawInputStream", %s)
"""


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (-9985, r"in use by another program \(fuser -v /dev/snd/\*"),
        (-9997, "does not take rate_hz=16000; its own is 48000"),
        (-9999, r"'mic' cannot be opened: .*Error opening RawInputStream"),
    ],
)
def test_a_device_that_is_taken_or_of_another_rate_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, message: str
) -> None:
    """A module in sounddevice's place, with PortAudio's error: no device here can be taken."""
    (tmp_path / "sounddevice.py").write_text(REFUSES % code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(SourceError, match=message):
        source_from("audio:mic").open()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("audio:", "lacks its device; write audio:DEVICE"),
        ("audio:default?rate_hz=16", "greater than or equal to 1000"),
        ("audio:default?format=int8", "'int16' or 'float32'"),
        ("audio:default?channels=0", "greater than or equal to 1"),
    ],
)
def test_wrong_settings_name_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        source_from(text)


def test_a_machine_without_portaudio_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(SourceError, match=r"reading sound needs PortAudio, .* Run: sudo apt install libportaudio2"):
        source_from("audio:default").open()
    monkeypatch.setattr("edge_sdk.sources.audio.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"needs sounddevice, .* 'edge-device-sdk\[audio\]'"):
        source_from("audio:default").open()


class TestStreamClock:
    """Pieces of 20 ms of a device of 16 kHz, on a clock that begins at 0."""

    @staticmethod
    def run(
        pieces: int, *, ppm: float = 0, jitter_ns: float = 0, delay_ns: int = 30_000_000
    ) -> tuple[np.ndarray, np.ndarray]:
        """The times that the clock gives, and the true ones."""
        rng, clock = np.random.default_rng(3), StreamClock(16000)
        period_ns = PERIOD_NS * (1 + ppm / 1e6)
        given, true = [], []
        for piece in range(pieces):
            first_ns = piece * 320 * period_ns
            came_ns = round(first_ns + delay_ns + abs(rng.normal(0, jitter_ns)))
            said_ns = round(came_ns - first_ns + rng.normal(0, jitter_ns))
            given.append(clock(320, came_ns, said_ns, False))
            true.append(first_ns + np.arange(320) * period_ns)
        assert clock.gaps == 0
        return np.concatenate(given), np.concatenate(true)

    @pytest.mark.parametrize("ppm", [-100, 0, 100])
    def test_a_crystal_is_followed_for_an_hour_without_a_step(self, ppm: float) -> None:
        given, true = self.run(20_000, ppm=ppm, jitter_ns=1e6)
        assert np.abs(given - true)[16000:].max() < 5e6
        steps = np.diff(given)
        assert steps.min() > 0.99 * PERIOD_NS and steps.max() < 1.01 * PERIOD_NS

    def test_an_overrun_is_a_gap_of_what_is_missing(self) -> None:
        clock = StreamClock(16000)
        first = clock(320, 50_000_000, 30_000_000, False)
        later = clock(320, 550_000_000, 30_000_000, True)
        assert later[0] - first[-1] == pytest.approx(500e6 - 319 * PERIOD_NS, abs=1e5)
        short = clock(320, 570_000_000, 30_000_000, True)  # one that the clock does not show
        assert short[0] - later[-1] >= 2 * PERIOD_NS and clock.gaps == 2

    @pytest.mark.parametrize("delay_ns", [0, -5, 10**12])
    def test_a_driver_that_states_nonsense_gives_times_of_arrival(self, delay_ns: int) -> None:
        clock = StreamClock(16000)
        for came_ns in range(100_000_000, 1_000_000_000, 20_000_000):
            times = clock(320, came_ns, delay_ns, False)
            assert times[-1] == pytest.approx(came_ns - PERIOD_NS, abs=1e6) and times[-1] <= came_ns

    def test_times_never_lie_in_the_future(self) -> None:
        """ALSA's null device gives readings as fast as they are taken."""
        clock = StreamClock(16000)
        pieces = [clock(320, now_ns, 0, False) for now_ns in range(10**9, 10**9 + 10**6, 1000)]
        for (piece, later), now_ns in zip(pairwise(pieces), range(10**9, 10**9 + 10**6, 1000), strict=False):
            assert piece[-1] <= now_ns and later[-1] >= piece[-1]
