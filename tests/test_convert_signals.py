"""Models of signals from end to end: .wav and .csv cut as the contract says, features, golden vectors of raw windows."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np
import pytest

from converters import convert
from converters.calibrate.samples import open_samples
from converters.verify.truth import read_classes
from edge_sdk.bundle import Bundle
from edge_sdk.bundle.golden import check_golden, first_golden_input
from edge_sdk.cli.inspect_bundle import contract_text
from edge_sdk.contract import Contract
from edge_sdk.engines.isolation import open_engine
from edge_sdk.errors import ContractError, DataError
from edge_sdk.inputs import tomllib
from edge_sdk.sources import source_from
from edge_sdk.window_settings import WindowSettings
from edge_sdk.windows import Windows
from tests.signal_models import keyword_net

CONTRACT = """
[contract]
input = "window"
mean = [-4.0]
std = [4.0]
[contract.window]
length_s = 1
hop_s = 0.5
rate_hz = 16000
channels = ["mono"]
units = "full-scale"
gap = "drop"
[contract.features]
kind = "log-mel"
frame_length = 640
frame_hop = 320
window_function = "hann"
spectrum = "power"
mel_bins = 40
low_hz = 20
high_hz = 7600
mel_scale = "htk"
mel_triangles = "mel"
mel_norm = "none"
log = "ln"
log_offset = 1e-6
[task]
kind = "classify"
threshold = 0
"""
MOTION = WindowSettings(length=20, rate_hz=100, hop=10, channels=("x", "y"), units="g", gap="hold", longest_fill=2)
SOUND = WindowSettings(length=800, rate_hz=8_000, hop=400, channels=("mono",), units="full-scale", gap="drop")


def tone(path: Path, hz: float, seconds: float = 2.0, *, rate: int = 16_000, channels: int = 1, seed: int = 0) -> Path:
    """A tone in noise, 16-bit PCM."""
    t = np.arange(int(seconds * rate))[:, None] / rate
    noise = np.random.default_rng(seed).normal(0, 0.05, (len(t), channels))
    values = np.rint((0.4 * np.sin(2 * np.pi * hz * t) + noise) * 32_767).astype("<i2")
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(values.tobytes())
    return path


def speech(folder: Path) -> Path:
    """Two classes of three files, of three windows each."""
    for number in range(3):
        tone(folder / "low" / f"{number}.wav", 300 + 40 * number, seed=number)
        tone(folder / "high" / f"{number}.wav", 3_000 + 400 * number, seed=10 + number)
    return folder


def test_a_keyword_model_is_converted_on_recordings_and_its_golden_windows_replay(tmp_path: Path) -> None:
    model, config = tmp_path / "keyword.tflite", tmp_path / "keyword.toml"
    model.write_bytes(keyword_net())
    config.write_text(CONTRACT)
    (tmp_path / "labels.txt").write_text("low\nhigh\nother\n")
    data = str(speech(tmp_path / "speech"))
    result = convert(
        model,
        output=tmp_path / "keyword.edge",
        calibrate=data,
        evaluate=data,
        labels=tmp_path / "labels.txt",
        repair=False,
    )
    assert result.figures.calibration.samples == 18 and result.figures.evaluation is not None
    assert result.figures.evaluation.samples == 18
    assert "6 recordings, 18 windows of 16000 values at 16000 Hz" in result.figures.calibration.data
    assert "frame_length" in result.html.read_text()
    with Bundle(result.bundle) as bundle:
        assert bundle.manifest.schema_version == 3
        variant = bundle.variant()
        raw = first_golden_input(bundle, variant)
        assert raw is not None and raw.dtype == np.int16 and raw.shape == (16_000, 1) and raw.std() > 1_000
        engine = open_engine("litert", bundle.read(variant.file), isolation="none")
        check = check_golden(bundle, variant, engine)
        assert check is not None and check.passed and check.inputs == 2
        assert (
            "windows of 16000 readings at 16000 Hz, 8000 apart, of mono in units of full-scale, gap drop, log-mel"
            in (contract_text(bundle.manifest.contract))
        )
        broken = bundle.manifest.contract.model_dump() | {"mean": (0.0,)}
        assert Contract.model_validate(broken) != bundle.manifest.contract


def test_golden_windows_notice_other_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "keyword.tflite"
    model.write_bytes(keyword_net())
    (tmp_path / "keyword.toml").write_text(CONTRACT)
    data = str(speech(tmp_path / "speech"))
    result = convert(model, output=tmp_path / "k.edge", calibrate=data, golden=data, repair=False)
    with Bundle(result.bundle) as bundle:
        variant = bundle.variant()
        engine = open_engine("litert", bundle.read(variant.file), isolation="none")
        check = check_golden(bundle, variant, engine)
        assert check is not None and check.passed and check.inputs == 4
        monkeypatch.setattr("edge_sdk.features.log_mel.logarithm", lambda x, *rest: np.sqrt(x))
        check = check_golden(bundle, variant, engine)
        assert check is not None and not check.passed


def test_a_model_that_takes_other_features_is_refused_with_both_shapes(tmp_path: Path) -> None:
    model = tmp_path / "keyword.tflite"
    model.write_bytes(keyword_net(bins=32))
    (tmp_path / "keyword.toml").write_text(CONTRACT)
    with pytest.raises(ContractError, match=r"shape \(49, 40\); input 'log_mel' has shape \(1, 49, 32, 1\)"):
        convert(model, output=tmp_path / "k.edge", calibrate=str(speech(tmp_path / "speech")))


# Sound


def windows_of(where: str | Path, window: WindowSettings) -> list[np.ndarray]:
    return [sample.data for sample in open_samples(where, shape=(1,), window=window)]


def test_recordings_are_cut_by_the_contract_and_stay_integers(tmp_path: Path) -> None:
    path = tone(tmp_path / "a.wav", 500, 0.25, rate=8_000)
    with wave.open(str(path)) as file:
        values = np.frombuffer(file.readframes(2_000), "<i2")
    found = windows_of(path, SOUND)
    assert len(found) == 4 and all(each.dtype == np.int16 and each.shape == (800, 1) for each in found)
    for number, each in enumerate(found):
        np.testing.assert_array_equal(each[:, 0], values[number * 400 : number * 400 + 800])
    assert len(windows_of(f"{path}?hop=100", SOUND)) == 13
    samples = open_samples(tone(tmp_path / "short" / "b.wav", 500, 0.05, rate=8_000), shape=(1,), window=SOUND)
    (short,) = samples
    assert "1 files shorter than that and filled with silence" in samples.description
    assert short.data[399].any() and not short.data[400:].any()


def test_recordings_that_do_not_fit_are_named(tmp_path: Path) -> None:
    path = tone(tmp_path / "a.wav", 500)
    with pytest.raises(DataError, match=r"rate of 16000 Hz, the contract's windows have 8000 Hz. Nothing is resampled"):
        windows_of(path, SOUND)
    stereo = tone(tmp_path / "stereo.wav", 500, rate=8_000, channels=2)
    with pytest.raises(DataError, match=r"has 2 channels, the contract 1 \(mono\); say which one is used: .*channel=0"):
        windows_of(stereo, SOUND)
    np.testing.assert_array_equal(
        windows_of(f"{stereo}?channel=1", SOUND)[0][:, 0],
        windows_of(stereo, SOUND.model_copy(update={"channels": ("l", "r")}))[0][:, 1],
    )
    with pytest.raises(DataError, match="has no option rate; it takes hop, channel"):
        windows_of(f"{path}?rate=8000", SOUND)


def test_other_codings_are_taken_only_where_full_scale_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "wide.wav"
    values = np.arange(-400, 400, dtype="<i4") * 2**20
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 4, 8_000, 0, "NONE", ""))
        file.writeframes(values.tobytes())
    (found,) = windows_of(path, SOUND)
    np.testing.assert_allclose(found[:, 0], values / 2**31)
    with pytest.raises(DataError, match="is not 16-bit PCM, and what its values are in units of counts is not known"):
        windows_of(path, SOUND.model_copy(update={"units": "counts"}))


# Tables


def table(
    path: Path, count: int = 100, *, leave_out: tuple[int, ...] = (), time: str = "time_ms", more: str = ""
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{time},y,x,who{more}"]
    lines += [f"{i * 10},{i * 2},{i},{'ab'[i >= count // 2]}" for i in range(count) if i not in leave_out]
    path.write_text("\n".join(lines) + "\n")
    return path


def starts(found: list[np.ndarray]) -> list[int]:
    for each in found:
        assert each.shape == (20, 2)
        np.testing.assert_array_equal(each[:, 1], each[:, 0] * 2)
    return [int(each[0, 0]) for each in found]


def test_tables_are_cut_as_a_device_cuts_them(tmp_path: Path) -> None:
    path = table(tmp_path / "m.csv")
    assert starts(windows_of(path, MOTION)) == [0, 10, 20, 30, 40, 50, 60, 70, 80]
    assert starts(windows_of(f"{path}?group=who&hop=20", MOTION)) == [0, 20, 50, 70]
    assert len(windows_of(f"{table(tmp_path / 's.csv', time='stamp_ms')}?time=stamp_ms", MOTION)) == 9
    assert len(windows_of(f"{table(tmp_path / 'n.csv', time='n')}?time=none", MOTION)) == 9
    table(tmp_path / "several" / "a.csv")
    table(tmp_path / "several" / "deep" / "b.csv")
    samples = open_samples(tmp_path / "several", shape=(1,), window=MOTION, max_samples=3)
    assert samples.available == 18 and starts([s.data for s in samples]) == [0, 80, 80]


def test_windows_are_those_of_a_device_to_the_last_bit(tmp_path: Path) -> None:
    """Of decimal fractions, and of sound of 32 bits, which float32 does not hold."""
    rng = np.random.default_rng(0)
    rows = np.column_stack([np.arange(60) * 10, rng.normal(size=(60, 2)).round(6)])
    np.savetxt(tmp_path / "m.csv", rows, fmt="%.6f", delimiter=",", header="time_ms,x,y", comments="")
    with wave.open(str(tmp_path / "m.wav"), "wb") as file:
        file.setparams((1, 4, 8_000, 0, "NONE", ""))
        file.writeframes(rng.integers(-(2**31), 2**31, 1_600).astype("<i4").tobytes())
    for text, window in (("replay:{}/m.csv?time=time_ms&time_unit=ms", MOTION), ("wav:{}/m.wav?loop=0", SOUND)):
        source, cutter = source_from(text.format(tmp_path) + "&pace=fast"), Windows(window, lambda *_: None)
        with source:
            cut = [each.data for sample in iter(source.read, None) for each in cutter.add(sample)]
        numbers = Contract(input="window", window=window).window_numbers()
        calibrated = windows_of(tmp_path / text.partition("/")[2].partition("?")[0], window)
        assert len(cut) == len(calibrated) > 2
        for device, workstation in zip(cut, calibrated, strict=True):
            np.testing.assert_array_equal(numbers.of(device), numbers.of(workstation))


def test_gaps_of_tables_are_noted(tmp_path: Path) -> None:
    samples = open_samples(table(tmp_path / "m.csv", leave_out=(35, 65, 66, 67)), shape=(1,), window=MOTION)
    assert len(list(samples)) == 7 and len(samples.notes) == 2
    assert "m.csv: 1 readings are missing, 20 ms; they are filled (gap = hold)." in samples.notes[0]
    assert "m.csv: 3 readings are missing, 40 ms" in samples.notes[1] and samples.notes[1].endswith("(2 windows).")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("a,x,y\n0,1,2\n", r"has 0 columns of times; give \?time=NAME, .* Its columns are a, x, y"),
        ("time_s,t_ms,x,y\n0,1,2,3\n", "has 2 columns of times"),
        ("time_s,x,z\n0,1,2\n", "has not exactly one column y; .* It has time_s, x, z"),
        ("time_s,x,y\n0,1,2\n0.01,1,bad\n", "line 3 is not a row of times and readings: '0.01,1,bad'"),
        ("time_s,x,y\n0,1\n", "line 2 is not a row"),
        ("time_s,x,y\nnan,1,2\n", "line 2 has the time nan"),
        ("time_s,x,y\n0,1,2\n", "holds no whole window of 20 readings"),
        (
            "time_s,x,y\n" + "".join(f"{i / 50},1,2\n" for i in range(200)),
            "gives 50 readings a second, the contract states 100",
        ),
        ("", "has 0 columns of times"),
    ],
)
def test_tables_that_cannot_be_used_are_named(tmp_path: Path, content: str, match: str) -> None:
    (tmp_path / "m.csv").write_text(content)
    with pytest.raises(DataError, match=match):
        windows_of(tmp_path / "m.csv", MOTION)


def test_windows_that_lack_a_cell_are_dropped_and_noted(tmp_path: Path) -> None:
    path = table(tmp_path / "m.csv")
    path.write_text(path.read_text().replace("\n450,90,45,", "\n450,,45,"))
    samples = open_samples(path, shape=(1,), window=MOTION)
    assert starts([s.data for s in samples]) == [0, 10, 20, 50, 60, 70, 80]
    assert "readings of y are NaN" in samples.notes[0] and samples.notes[0].endswith("(2 windows).")


# Arrays, and ground truth


def test_arrays_hold_whole_windows(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(size=(5, 20, 2)).astype(np.float32)
    np.save(tmp_path / "w.npy", data)
    np.testing.assert_array_equal(windows_of(tmp_path / "w.npy", MOTION), data)
    np.save(tmp_path / "odd.npy", data[:, :19])
    with pytest.raises(
        DataError, match=r"samples of shape \(19, 2\); the contract's windows have 20 readings of 2 channels"
    ):
        windows_of(tmp_path / "odd.npy", MOTION)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"holds no windows of a signal: a .wav or .csv file"):
        windows_of(tmp_path / "photos", MOTION)


def test_class_folders_are_ground_truth_for_windows(tmp_path: Path) -> None:
    contract = Contract(input="window", window=MOTION)
    table(tmp_path / "idle" / "a.csv")
    table(tmp_path / "run" / "b.csv", 50)
    table(tmp_path / "run" / "c.csv", 50)
    answers = read_classes(tmp_path, contract, ("run", "idle"))
    assert [a.right for a in answers] == [1] * 9 + [0] * 8
    for _ in range(2):
        assert starts([a.read().data for a in answers]) == [0, 10, 20, 30, 40, 50, 60, 70, 80, *[0, 10, 20, 30] * 2]
    assert starts([answers[3].read().data]) == [30]
    with pytest.raises(DataError, match="classes that the model's labels do not name: idle"):
        read_classes(tmp_path, contract, ("run",))
    with pytest.raises(DataError, match=r"holds no class folders of \.wav, \.csv"):
        read_classes(tmp_path / "run", contract, ("run",))


def test_old_bundles_and_contracts_know_nothing_of_windows() -> None:
    content = json.loads(Contract(input="tensor").model_dump_json())
    assert set(content) == {"input", "colour", "range", "mean", "std", "resize", "pad"}


def test_the_contract_of_the_documentation_is_one() -> None:
    text = (Path(__file__).parents[1] / "docs" / "signals.md").read_text()
    told = [line[4:] for line in text.splitlines() if line.startswith("    ") and "edge-sdk convert" not in line]
    contract = Contract.model_validate(tomllib.loads("\n".join(told))["contract"])
    assert contract.window is not None and contract.window.hop == 4_000 and contract.features is not None
