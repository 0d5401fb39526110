"""Recorded sound: as it stands in the file, at its own pace; what is no such file is refused with what to do."""

from __future__ import annotations

import time
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.errors import ConfigError, SourceError
from edge_sdk.sources import Source, source_from
from tests.source_contract import SourceContract, read_all

SOUND = np.arange(-800, 800, dtype=np.int16).reshape(-1, 2)  # 100 ms of 8 kHz in stereo


def wav(path: Path, sound: np.ndarray = SOUND, rate_hz: int = 8_000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((sound.shape[1], sound.dtype.itemsize, rate_hz, 0, "NONE", ""))
        file.writeframes(sound.tobytes())
    return path


class TestWav(SourceContract):
    count = 5

    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Source]:
        path = wav(tmp_path / "sound.wav")
        return lambda: source_from(f"wav:{path}")

    def test_sound_comes_when_it_is_due(self, make: Callable[[], Source]) -> None:
        with make() as source:
            began_ns = time.monotonic_ns()
            samples = read_all(source)
            took_ms = (time.monotonic_ns() - began_ns) / 1e6
        assert source.live and source.rate_hz == 8_000 and source.channels == ("sound0", "sound1")
        assert took_ms >= 79  # five pieces of 20 ms, the first at once
        times = np.concatenate([s.times_ns for s in samples])
        assert np.all(np.diff(times) == 125_000)
        np.testing.assert_array_equal(np.concatenate([s.data for s in samples]), SOUND)


@pytest.mark.parametrize("dtype", ["int16", "int32"])
def test_one_channel_fast(dtype: str, tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav", SOUND.astype(dtype))
    with source_from(f"wav:{path}?channel=1&pace=fast") as source:
        assert not source.live
        samples = read_all(source)
    data = np.concatenate([s.data for s in samples])
    assert data.dtype == dtype and data.shape == (800, 1)
    np.testing.assert_array_equal(data[:, 0], SOUND[:, 1])


def test_a_loop_goes_on_in_time(tmp_path: Path) -> None:
    with source_from(f"wav:{wav(tmp_path / 'a.wav')}?loop=1&pace=fast") as source:
        samples = [source.read() for _ in range(12)]
    assert np.all(np.diff(np.concatenate([s.times_ns for s in samples])) == 125_000)
    np.testing.assert_array_equal(samples[5].data, samples[0].data)


def test_a_reading_that_is_cut_off_is_left_out(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav")
    path.write_bytes(path.read_bytes()[:-3])
    with source_from(f"wav:{path}?pace=fast") as source:
        assert sum(len(s.data) for s in read_all(source)) == 799


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "not a .wav file that can be read: it is cut off"),
        (b"fLaC" + bytes(100), "not a .wav file that can be read"),
        (wav, "0 readings of 16 bits"),
        (
            np.zeros((10, 1), np.uint8),
            "10 readings of 8 bits at 8000 Hz; give a .wav of whole numbers of 16 or 32 bits",
        ),
    ],
)
def test_what_is_no_such_file_is_refused(content: object, match: str, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        wav(path, content if isinstance(content, np.ndarray) else SOUND[:0])
    with pytest.raises(SourceError, match=match):
        source_from(f"wav:{path}").open()


def test_settings_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has 2 channels, counted from 0; found channel 2"):
        source_from(f"wav:{wav(tmp_path / 'a.wav')}?channel=2").open()
    with pytest.raises(SourceError, match=r"does not exist; give a \.wav file"):
        source_from(f"wav:{tmp_path}/absent.wav").open()
    with pytest.raises(ConfigError, match="pace"):
        source_from(f"wav:{tmp_path}/a.wav?pace=slow")
