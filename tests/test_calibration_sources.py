"""Windows of tables and sound, captured samples, and what is corrupt: read exactly, or named in one kind of error."""

from __future__ import annotations

import contextlib
import struct
import wave
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.calibrate.samples import Samples, open_samples
from converters.calibrate.sources.wav import open_wave
from edge_sdk.errors import DataError

MOTION = (1, 4, 2)  # four rows of two columns
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE


def table(path: Path, rows: int, *, recordings: int = 1, header: bool = True) -> Path:
    """Rows of time, x, y, name of the recording: x counts, y is its negative."""
    lines = ["t,x,y,recording"] if header else []
    lines += [f"{n / 100},{n},{-n},take {n * recordings // rows}" for n in range(rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def windows(samples: Samples) -> list[list[float]]:
    return [sample.data.reshape(4, 2)[:, 0].tolist() for sample in samples]


# Tables


def test_consecutive_rows_become_windows(tmp_path: Path) -> None:
    samples = open_samples(f"{table(tmp_path / 'm.csv', 10)}?window=4&hop=3&columns=x,y", shape=MOTION)
    assert windows(samples) == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    first = next(iter(samples))
    np.testing.assert_array_equal(first.data, [[[0, 0], [1, -1], [2, -2], [3, -3]]])
    assert first.name == "m.csv from line 2"
    assert samples.description == "m.csv, 3 windows of 4 rows, 3 apart"


def test_windows_never_cross_recordings(tmp_path: Path) -> None:
    path = table(tmp_path / "m.csv", 18, recordings=3)  # 6 rows each: one window of 4
    samples = open_samples(f"{path}?window=4&hop=2&columns=x,y&group=recording", shape=MOTION)
    assert windows(samples) == [
        [0, 1, 2, 3],
        [2, 3, 4, 5],
        [6, 7, 8, 9],
        [8, 9, 10, 11],
        [12, 13, 14, 15],
        [14, 15, 16, 17],
    ]
    assert "within one recording" in samples.description


def test_columns_are_counted_where_they_have_no_names(tmp_path: Path) -> None:
    path = table(tmp_path / "m.csv", 4, header=False)
    assert windows(open_samples(f"{path}?window=4&columns=1,2", shape=MOTION)) == [[0, 1, 2, 3]]
    samples = open_samples(f"{path}?window=4&group=3", shape=(1, 4, 3))  # all but the recording
    assert next(iter(samples)).data.shape == (1, 4, 3)


def test_some_columns_of_single_rows(tmp_path: Path) -> None:
    samples = open_samples(f"{table(tmp_path / 'm.csv', 3)}?columns=y,x", shape=(1, 2))
    assert [s.data.tolist() for s in samples] == [[[0, 0]], [[-1, 1]], [[-2, 2]]]


@pytest.mark.parametrize("shape", [(1, 8), (1, 4, 2), (1, 4, 2, 1), (1, 1, 4, 2)])
def test_a_window_takes_every_shape_that_keeps_its_order(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = table(tmp_path / "m.csv", 4)
    (sample,) = open_samples(f"{path}?window=4&columns=x,y", shape=shape)
    assert sample.data.shape == shape
    assert sample.data.reshape(-1).tolist() == [0, 0, 1, -1, 2, -2, 3, -3]


@pytest.mark.parametrize(
    ("query", "match"),
    [
        ("window=2&columns=x,y", r"window of 2 rows of 2 numbers does not fit the model's input, shape \(1, 4, 2\)"),
        ("window=2&columns=x,y,t,x", "window of 2 rows of 4 numbers does not fit"),  # 8 numbers, channels first
        ("window=4&columns=x,z", "0 columns called 'z'; there are t, x, y, recording"),
        ("window=4&columns=x,y&group=take", "0 columns called 'take'"),
        ("window=0", "window is a number of rows, 1 or more"),
        ("window=4&hop=0&columns=x,y", "hop is a number of rows, 1 or more"),
        ("window=4&hop=x&columns=x,y", "hop=x: hop is a number"),
        ("hop=2", "no option hop; it takes window"),
        ("window=4&step=2", "no option step; it takes window, hop, columns, group"),
        ("window=4&columns=x,recording", "line 2 is not numbers: found 'take 0'"),
        ("window=40&columns=x,y", "does not fit"),
    ],
)
def test_windows_that_cannot_be_made_are_named(tmp_path: Path, query: str, match: str) -> None:
    with pytest.raises(DataError, match=match):
        open_samples(f"{table(tmp_path / 'm.csv', 10)}?{query}", shape=MOTION)


def test_a_table_shorter_than_a_window_is_empty(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no window of 4 rows: it has 3\. Give more data"):
        open_samples(f"{table(tmp_path / 'm.csv', 3)}?window=4&columns=x,y", shape=MOTION)


def test_a_short_line_among_windows_is_named(tmp_path: Path) -> None:
    path = table(tmp_path / "m.csv", 5)
    path.write_text(path.read_text() + "1,2\n")
    with pytest.raises(DataError, match="line 7 has 2 cells; the lines before have more"):
        open_samples(f"{path}?window=4&columns=x,y", shape=MOTION)


@given(
    st.lists(st.sampled_from("ab"), max_size=40),
    st.integers(1, 5),
    st.integers(1, 7),
)
def test_windows_are_those_of_slices_of_each_recording(
    tmp_path_factory: pytest.TempPathFactory, groups: list[str], window: int, hop: int
) -> None:
    path = tmp_path_factory.mktemp("windows") / "g.csv"
    path.write_text("x,g\n" + "".join(f"{n},{group}\n" for n, group in enumerate(groups)))
    runs: list[list[int]] = []
    for n, group in enumerate(groups):
        if n and groups[n - 1] == group:
            runs[-1].append(n)
        else:
            runs.append([n])
    wanted = [run[i : i + window] for run in runs for i in range(0, len(run) - window + 1, hop)]
    if wanted:
        samples = open_samples(f"{path}?window={window}&hop={hop}&columns=x&group=g", shape=(1, window))
        assert [sample.data[0].tolist() for sample in samples] == wanted


@given(
    st.one_of(st.text(max_size=300), st.binary(max_size=300)),
    st.sampled_from(["", "?window=4", "?window=4&columns=0,1"]),
)
def test_whatever_a_table_holds_it_is_read_or_named(
    tmp_path_factory: pytest.TempPathFactory, content: str | bytes, query: str
) -> None:
    path = tmp_path_factory.mktemp("hostile") / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(DataError):
        assert all(s.data.shape == MOTION for s in open_samples(f"{path}{query}", shape=MOTION))


# Sound


def wav(
    path: Path, values: np.ndarray, *, rate: int = 16000, bits: int = 16, tag: int = PCM, size: int | None = None
) -> Path:
    """A file of ``values`` (frames, channels), -1 to 1, with a chunk before and behind that is of no interest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.asarray(values, np.float64)
    values = values[:, None] if values.ndim == 1 else values
    inner = tag
    if tag == EXTENSIBLE:
        inner = PCM
    if inner == FLOAT:
        data = values.astype(f"<f{bits // 8}").tobytes()
    elif bits == 8:
        data = np.round(values * 128 + 128).clip(0, 255).astype(np.uint8).tobytes()
    else:
        whole = np.round(values * 2.0 ** (bits - 1)).clip(-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1).astype("<i8")
        data = whole.reshape(-1, 1).view(np.uint8)[:, : bits // 8].tobytes()
    channels, block = values.shape[1], values.shape[1] * bits // 8
    fmt = struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, bits)
    if tag == EXTENSIBLE:
        fmt += struct.pack("<HHIH14s", 22, bits, 0, inner, b"\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71")
    odd = b"LIST" + struct.pack("<I", 3) + b"abc\0"  # of odd length, so padded
    body = b"WAVE" + odd + b"fmt " + struct.pack("<I", len(fmt)) + fmt
    body += b"data" + struct.pack("<I", len(data) if size is None else size) + data + b"\0" * (len(data) % 2) + odd
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


@pytest.mark.parametrize(
    ("tag", "bits"), [(PCM, 8), (PCM, 16), (PCM, 24), (PCM, 32), (FLOAT, 32), (FLOAT, 64), (EXTENSIBLE, 24)]
)
def test_every_coding_gives_the_same_sound(tmp_path: Path, tag: int, bits: int) -> None:
    sound = np.array([0, 0.5, -0.5, 0.25, -1, 0.9, -0.125, 0.0078125])
    (sample,) = open_samples(wav(tmp_path / "a.wav", sound, tag=tag, bits=bits), shape=(1, 8))
    assert sample.data.dtype == np.float32
    np.testing.assert_allclose(sample.data[0], sound, atol=2.0 ** -(min(bits, 24) - 1))
    assert sample.data.min() == -1


def test_sound_is_what_python_s_own_module_writes(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(-32768, 32768, (100, 2), np.int16)
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(values.tobytes())
    (sample,) = open_samples(f"{tmp_path}/a.wav?channel=1&rate=8000", shape=(1, 100))
    np.testing.assert_array_equal(sample.data[0], (values[:, 1] / 32768).astype(np.float32))


def test_a_folder_of_recordings_becomes_windows_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "speech"
    wav(folder / "b.wav", np.full(10, 0.25))
    wav(folder / "a" / "long.wav", np.arange(10) / 16)
    wav(folder / "c.wav", np.full(3, 0.5))
    samples = open_samples(f"{folder}?rate=16000&hop=3", shape=(1, 4, 1))
    assert [s.name for s in samples][:4] == ["a/long.wav from 0.00 s"] * 3 + ["b.wav from 0.00 s"]
    assert len(samples) == 7
    found = [(s.data.reshape(-1) * 16).tolist() for s in samples]
    assert found[:3] == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    assert found[6] == [8, 8, 8, 0]  # shorter than a window: silence behind it, and that is said
    assert "1 files shorter than that and filled with silence" in samples.description
    chosen = open_samples(f"{folder}?rate=16000&hop=3", shape=(1, 4, 1), max_samples=2)
    assert [(s.data.reshape(-1) * 16).tolist() for s in chosen] == [found[0], found[6]]


def test_a_rate_that_differs_is_an_error_with_both(tmp_path: Path) -> None:
    wav(tmp_path / "s" / "a.wav", np.zeros(8), rate=16000)
    wav(tmp_path / "s" / "b.wav", np.zeros(8), rate=44100)
    with pytest.raises(DataError, match=r"b\.wav has a rate of 44100 Hz; rate=16000 is wanted"):
        open_samples(f"{tmp_path / 's'}?rate=16000", shape=(1, 4))
    with pytest.raises(DataError, match=r"b\.wav has a rate of 44100 Hz; a\.wav has 16000 Hz.*sox IN\.wav -r 16000"):
        open_samples(tmp_path / "s", shape=(1, 4))


def test_of_several_channels_one_is_named(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav", np.zeros((8, 2)))
    with pytest.raises(DataError, match=r"has 2 channels; say which one is used: .*\?channel=0"):
        open_samples(path, shape=(1, 4))
    with pytest.raises(DataError, match=r"has 2 channels, counted from 0; channel=2"):
        open_samples(f"{path}?channel=2", shape=(1, 4))


@pytest.mark.parametrize(
    ("query", "match"),
    [
        ("window=5", "window of 5 rows of 1 numbers does not fit the model's input"),
        ("rate=0", "rate is a sampling rate in Hz, 1 or more"),
        ("speed=2", "no option speed; it takes rate, window, hop, channel"),
    ],
)
def test_settings_of_sound_are_checked(tmp_path: Path, query: str, match: str) -> None:
    with pytest.raises(DataError, match=match):
        open_samples(f"{wav(tmp_path / 'a.wav', np.zeros(8))}?{query}", shape=(1, 4))


def test_a_size_that_a_pipe_left_open_reaches_to_the_end(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav", np.full(8, 0.5), size=0xFFFFFFFF)
    assert open_wave(path).frames >= 8


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "ends within its header"),
        (b"OggS" + bytes(60), "is not a .wav file: it begins with b'OggS'"),
        (b"RIFF\x00\x00\x00\x00WAVEdata\x04\x00\x00\x00abcd", "nothing says how its values are coded"),
    ],
)
def test_files_that_are_no_sound_are_named(tmp_path: Path, content: bytes, match: str) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(DataError, match=match):
        open_wave(tmp_path / "a.wav")


def test_damaged_and_unknown_codings_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is cut off: it states 400 bytes of sound and has"):
        open_wave(wav(tmp_path / "cut.wav", np.zeros(8), size=400))
    with pytest.raises(DataError, match="coded by format 1 with 12 bits; read are PCM of 8, 16, 24 or 32"):
        open_wave(wav(tmp_path / "odd.wav", np.zeros(8), bits=12))
    with pytest.raises(DataError, match="holds no sound"):
        open_wave(wav(tmp_path / "none.wav", np.zeros(0)))


@given(st.binary(max_size=200), st.integers(0, 150), st.integers(0, 4), st.sampled_from([PCM, FLOAT, EXTENSIBLE, 85]))
def test_whatever_a_wav_holds_it_is_read_or_named(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, where: int, remove: int, tag: int
) -> None:
    path = wav(tmp_path_factory.mktemp("hostile") / "a.wav", np.zeros(20), bits=32, tag=tag)
    content = path.read_bytes()
    path.write_bytes(content[:where] + noise + content[where + remove * 20 :])
    with contextlib.suppress(DataError):
        assert all(s.data.shape == (1, 4) for s in open_samples(path, shape=(1, 4)))


# Captured samples


def test_one_file_of_captured_samples(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 5, 6, 3), np.uint8)
    np.savez(tmp_path / "c.npz", samples=frames, times_ns=np.arange(3), colour=np.array("rgb"))
    samples = list(open_samples(tmp_path / "c.npz", shape=(1, 5, 6, 3)))
    assert [s.colour for s in samples] == ["rgb"] * 3
    np.testing.assert_array_equal([s.data for s in samples], frames)


def captured(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        np.savez(folder / f"{number:08d}.npz", sample=np.full((2, 3), number, np.float32), captured_ns=number)
    return folder


def test_a_captured_sample_that_is_damaged_is_skipped_and_named(tmp_path: Path) -> None:
    folder = captured(tmp_path / "captured", 40)
    (folder / "00000007.npz").write_bytes((folder / "00000007.npz").read_bytes()[:100])
    np.savez(folder / "00000009.npz", other=np.zeros(3))
    samples = open_samples(folder, shape=(1, 2, 3))
    assert len(list(samples)) == 38
    assert [s.name for s in samples.skipped] == ["00000007.npz", "00000009.npz"]
    assert all("cannot be read as a captured sample" in s.reason for s in samples.skipped)


@given(st.binary(max_size=100), st.integers(0, 600), st.integers(0, 40))
def test_whatever_a_captured_sample_holds_it_is_read_or_named(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, where: int, remove: int
) -> None:
    folder = captured(tmp_path_factory.mktemp("hostile") / "captured", 1)
    content = (folder / "00000000.npz").read_bytes()
    (folder / "00000000.npz").write_bytes(content[:where] + noise + content[where + remove :])
    with contextlib.suppress(DataError):
        list(open_samples(folder, shape=(1, 2, 3)))


# What is corrupt


def photos(folder: Path, count: int) -> Path:
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for number in range(count):
        image = cv2.resize(rng.integers(0, 256, (4, 4, 3), np.uint8), (40, 30))
        cv2.imwrite(str(folder / f"{number:03d}.jpg"), image)
    return folder


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def test_one_corrupt_image_among_500_is_skipped_named_and_counted(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 500)
    cut_off(folder / "250.jpg")
    samples = open_samples(folder, shape=(1, 8, 8, 3), max_samples=500)
    assert len(list(samples)) == 499
    (skipped,) = samples.skipped
    assert skipped.name.endswith("250.jpg") and "cut off" in skipped.reason


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_cut_off_image_is_not_filled_with_grey(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    whole = path.read_bytes()
    path.write_bytes(whole + b"what a telephone appends \xff\xda" * 3)
    assert len(list(open_samples(tmp_path, shape=(1, 8, 8, 3)))) == 1
    for size in (len(whole) // 2, len(whole) - 20):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=rf"a{suffix} cannot be read as an image"):
            list(open_samples(tmp_path, shape=(1, 8, 8, 3)))


def test_more_than_a_twentieth_corrupt_is_an_error_that_names_the_first(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 40)
    for number in (5, 6):
        cut_off(folder / f"{number:03d}.jpg")
    samples = open_samples(folder, shape=(1, 8, 8, 3))
    assert len(list(samples)) == len(list(samples)) == 38  # a second time too
    cut_off(folder / "030.jpg")
    with pytest.raises(
        DataError, match=r"005\.jpg cannot be read .* one of 3 samples .* at most 5% of them are passed over"
    ):
        list(samples)


def test_a_part_passes_over_what_is_known_to_be_corrupt(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 40)
    cut_off(folder / "000.jpg")
    samples = open_samples(folder, shape=(1, 8, 8, 3))
    with pytest.raises(DataError, match=r"000\.jpg cannot be read"):
        list(samples.first(1))
    list(samples)
    assert len(list(samples.first(3))) == len(list(samples.spread(3))) == 3


def test_a_corrupt_recording_is_skipped(tmp_path: Path) -> None:
    folder = tmp_path / "speech"
    for number in range(30):
        wav(folder / f"{number:02d}.wav", np.full(8, number / 64))
    (folder / "04.wav").write_bytes(b"RIFF")
    samples = open_samples(folder, shape=(1, 8))
    assert len(list(samples)) == 29 and [s.name for s in samples.skipped] == ["04.wav"]


def test_a_folder_of_one_filled_class_is_noted(tmp_path: Path) -> None:
    photos(tmp_path / "data" / "cat", 2)
    (tmp_path / "data" / "dog").mkdir()
    (tmp_path / "data" / "owl").mkdir()
    (note,) = open_samples(tmp_path / "data", shape=(1, 8, 8, 3)).notes
    assert note.startswith("All images lie in the class folder 'cat'; 2 others are empty, such as 'dog'")
    photos(tmp_path / "data" / "dog" / "more", 1)
    assert open_samples(tmp_path / "data", shape=(1, 8, 8, 3)).notes == ()


def test_a_folder_of_sound_among_images_is_named(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 2)
    wav(folder / "zz.wav", np.zeros(8))
    with pytest.raises(DataError, match="holds files that are not images: zz"):
        open_samples(folder, shape=(1, 8, 8, 3))
