"""Speech to try a wake word on: made by espeak-ng, or recorded prompts of a telephone exchange. All of it 16 kHz, int16, one channel."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

Sound = npt.NDArray[np.int16]
RATE_HZ = 16_000
VOICES = ("en-gb", "en-us", "en-gb+f2", "en-gb+m7", "en-us+m3")
_HALF = 32  # taps of the resampling filter on each side
_PROMPTS = ("asterisk-core-sounds-en-wav", "1.6.1-1")
_PROMPTS_SHA256 = "2be3ea287d83299d143815fa804f11179a75b7affd4a758b98b55f5afc18a35d"


def say(text: str, voice: str = "en-gb", words_per_minute: int = 150) -> Sound:
    """What espeak-ng makes of a text, at half of full scale.

    Raises:
        SystemExit: if it is not installed.
    """
    if shutil.which("espeak-ng") is None:
        raise SystemExit("speech is made by espeak-ng, which is missing: install it (Debian: apt install espeak-ng)")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        subprocess.run(["espeak-ng", "-v", voice, "-s", str(words_per_minute), "-w", str(path), text], check=True)
        return read_wav(path, gain=0.5)


def recorded_prompts() -> Iterator[tuple[str, Sound]]:
    """A woman's recorded voice: some 550 prompts of Asterisk, US English, 8 kHz. Licence: CC BY-SA 3.0.

    They come from Debian's archive by apt-get, hash checked, and are unpacked without being installed.

    Raises:
        SystemExit: if they cannot be fetched, or are not those that are known.
    """
    folder = _prompts()
    for path in sorted(folder.rglob("*.wav")):
        yield path.stem, read_wav(path)


def read_wav(path: Path, gain: float = 1.0) -> Sound:
    """A .wav of 16 bits, resampled to 16 kHz."""
    with wave.open(str(path), "rb") as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64)
        rate_hz = file.getframerate()
    resampled = sound if rate_hz == RATE_HZ else resample(sound, rate_hz)
    return np.clip(np.rint(resampled * gain), -32_768, 32_767).astype(np.int16)


def write_wav(path: Path, sound: Sound) -> None:
    """16 kHz, 16 bits, one channel."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes(sound.astype("<i2").tobytes())


def room_noise(sound: Sound, level: float = 20.0, seed: int = 0) -> Sound:
    """The sound with a little noise, as no room is without: ``level`` is its deviation, of 32,768."""
    noisy = sound + np.random.default_rng(seed).normal(0, level, len(sound))
    return np.clip(np.rint(noisy), -32_768, 32_767).astype(np.int16)


def resample(sound: npt.NDArray[np.float64], rate_hz: int) -> npt.NDArray[np.float64]:
    """To 16 kHz, by a windowed sinc that ends at half of the lower rate."""
    count = len(sound) * RATE_HZ // rate_hz
    places = np.arange(count) * (rate_hz / RATE_HZ)
    first = np.floor(places).astype(np.int64)
    cutoff = min(1.0, RATE_HZ / rate_hz)
    padded = np.pad(sound, _HALF)
    resampled = np.zeros(count)
    for tap in range(1 - _HALF, _HALF + 1):
        distance = first + tap - places
        weight = cutoff * np.sinc(cutoff * distance) * np.cos(np.pi * distance / (2 * _HALF)) ** 2
        resampled += weight * padded[first + tap + _HALF]
    return resampled


def _prompts() -> Path:
    name, version = _PROMPTS
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "edge-sdk"
    folder = cache / f"{name}-{version}"
    if folder.is_dir():
        return folder
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise SystemExit("the recorded prompts come from Debian's archive, by apt-get and dpkg-deb, which are missing")
    with tempfile.TemporaryDirectory() as downloads:
        command = ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", f"{name}={version}"]
        done = subprocess.run(command, cwd=downloads, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"cannot fetch {name} {version} from Debian's archive:\n{done.stderr}")
        package = next(Path(downloads).iterdir())
        found = hashlib.sha256(package.read_bytes()).hexdigest()
        if found != _PROMPTS_SHA256:
            raise SystemExit(f"{name} {version} has SHA-256 {found}, not {_PROMPTS_SHA256}: not used")
        cache.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=cache))
        subprocess.run(["dpkg-deb", "-x", str(package), str(beside)], check=True)
        beside.replace(folder)
    return folder
