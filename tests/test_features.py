"""Features of windows: against other implementations and plain formulas, and the same bits everywhere."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from edge_sdk.contract import Contract, contract_from
from edge_sdk.encoder import Encoder
from edge_sdk.errors import ConfigError, ContractError
from edge_sdk.features import Features, features_from
from edge_sdk.features.exact import PER_LN, cosines, natural_log, sines, total
from edge_sdk.features.fourier import Fourier
from edge_sdk.features.frames import taper
from edge_sdk.features.mfcc import dct
from edge_sdk.features.settings import FeatureSettings
from edge_sdk.tensors import TensorSpec
from edge_sdk.window_settings import WindowSettings

MEL: dict[str, Any] = {
    "kind": "log-mel",
    "frame_length": 400,
    "frame_hop": 160,
    "fft_length": 512,
    "window_function": "hann",
    "spectrum": "power",
    "mel_bins": 40,
    "low_hz": 60,
    "high_hz": 7_600,
    "mel_scale": "htk",
    "mel_triangles": "hz",
    "mel_norm": "none",
    "log": "ln",
    "log_floor": 1e-10,
}
MFCC = MEL | {"kind": "mfcc", "coefficients": 13}
SPECTRUM = {
    "kind": "spectrum",
    "frame_length": 128,
    "frame_hop": 64,
    "window_function": "hamming",
    "spectrum": "magnitude",
}
ALL = ("mean", "std", "rms", "min", "max", "peak_to_peak", "crest_factor", "skewness", "kurtosis", "zero_crossings")


def window(length: int = 16_000, channels: int = 1, rate_hz: float = 16_000) -> WindowSettings:
    names = tuple(f"c{i}" for i in range(channels))
    return WindowSettings(length=length, rate_hz=rate_hz, hop=length, channels=names, units="full-scale", gap="drop")


def made(told: dict[str, Any], of: WindowSettings) -> Features:
    return features_from(TypeAdapter[Any](FeatureSettings).validate_python(told), of)


def sound(length: int = 16_000, channels: int = 1) -> np.ndarray:
    """Numbers between -1 and 1 of which every library makes the same: a tone's squares and a generator of integers."""
    count = np.arange(length * channels, dtype=np.int64)
    noise = (count * 1_103_515_245 + 12_345) % 65_536 - 32_768
    tone = (count * 37 % 1_000 - 500) * 40
    return ((noise // 4 + tone) / 32_768).reshape(length, channels)


# Exact arithmetic


@pytest.mark.parametrize("count", [1, 2, 4, 12, 160, 512, 1_023])
def test_cosines_are_cosines(count: int) -> None:
    k = np.arange(count)
    np.testing.assert_allclose(cosines(count), np.cos(2 * np.pi * k / count), atol=1e-15)
    if count % 4 == 0:
        np.testing.assert_allclose(sines(count), np.sin(2 * np.pi * k / count), atol=1e-15)
        assert cosines(count)[count // 4] == 0


@given(st.lists(st.floats(5e-324, 1.7e308), min_size=1, max_size=20))
def test_the_logarithm_is_right_to_two_units_in_the_last_place(numbers: list[float]) -> None:
    x = np.array(numbers)
    np.testing.assert_array_max_ulp(natural_log(x) + 0.0, np.log(x), 3)


def test_sums_by_halves() -> None:
    for count in (1, 2, 3, 7, 1_000):
        assert total(np.arange(count, dtype=np.float64)) == count * (count - 1) / 2


@pytest.mark.parametrize("points", [4, 8, 64, 512, 2_048])
@pytest.mark.parametrize("columns", [1, 3])
def test_the_transform_is_that_of_numpy(points: int, columns: int) -> None:
    x = np.random.default_rng(points).normal(size=(points, columns))
    expected = np.abs(np.fft.rfft(x, axis=0)) ** 2
    np.testing.assert_allclose(Fourier(points, columns).power(x), expected, rtol=1e-9, atol=1e-12 * expected.max())


def test_tapers_and_the_cosine_transform() -> None:
    np.testing.assert_allclose(taper("hann", 64, symmetric=True), np.hanning(64), atol=1e-15)
    np.testing.assert_allclose(taper("hamming", 64, symmetric=True), np.hamming(64), atol=1e-15)
    np.testing.assert_allclose(taper("hann", 64, symmetric=False), np.hanning(65)[:-1], atol=1e-15)
    np.testing.assert_allclose(dct(20, 20).T @ dct(20, 20), np.eye(20), atol=1e-14)


CASES = {
    "log-mel": (MEL, 1, (98, 40), "e73b21d5c3ab70c1"),
    "log-mel, of TensorFlow's kind": (
        MEL | {"mel_triangles": "mel", "log_floor": None, "log_offset": 1e-6},
        1,
        (98, 40),
        "a29b95894361a3ae",
    ),
    "log-mel, of librosa's kind": (
        MEL | {"mel_scale": "slaney", "mel_norm": "slaney", "log": "db", "frame_length": 512, "padding": "reflect"},
        1,
        (101, 40),
        "cf97f38ce9455363",
    ),
    "log-mel of two channels": (MEL, 2, (98, 40, 2), "f616dac061ff3dd9"),
    "mfcc": (MFCC, 1, (98, 13), "879be7722b57bd55"),
    "mfcc, lifted": (MFCC | {"lifter": 22, "preemphasis": 0.97}, 1, (98, 13), "5c611f6544299e1d"),
    "spectrum": (SPECTRUM, 6, (249, 65, 6), "232a93c4d14b21e5"),
    "spectrum in dB": (SPECTRUM | {"log": "db", "log_floor": 1e-6}, 1, (249, 65), "8ed5fa15b06884f9"),
    "statistics": ({"kind": "statistics", "statistics": ALL}, 3, (10, 3), "28b15a99f6f5c5fb"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_bits_are_the_same_on_every_machine(name: str) -> None:
    """Digests taken on x86-64 with NumPy 1.26 and 2.4; a device that gives others computes something else than calibration did."""
    told, channels, shape, digest = CASES[name]
    features = made(told, window(channels=channels))
    found = features(sound(channels=channels))
    assert found.dtype == np.float32 and found.shape == features.shape == shape and np.isfinite(found).all()
    assert hashlib.sha256(found.astype("<f4").tobytes()).hexdigest()[:16] == digest


# What they are


def test_each_frame_and_channel_is_computed_on_its_own() -> None:
    data = sound(channels=3)
    together = made(MEL, window(channels=3))(data)
    alone = made(MEL, window())
    for channel in range(3):
        np.testing.assert_array_equal(together[:, :, channel], alone(data[:, channel : channel + 1]))
    one = made(MEL, window(400))
    for frame in (0, 17, 97):
        np.testing.assert_array_equal(
            one(data[frame * 160 : frame * 160 + 400, :1]), alone(data[:, :1])[frame : frame + 1]
        )


def test_silence_is_the_floor() -> None:
    assert np.unique(made(MEL, window())(np.zeros((16_000, 1)))).tolist() == [np.float32(np.log(1e-10))]
    offset = made(MEL | {"log_floor": None, "log_offset": 1e-6, "log": "log10"}, window())
    np.testing.assert_allclose(offset(np.zeros((16_000, 1))), -6, rtol=1e-7)


def test_a_tone_stands_in_its_bin() -> None:
    t = np.arange(1_000) / 1_000
    spectrum = made(
        SPECTRUM | {"frame_length": 1_000, "frame_hop": 1_000, "fft_length": 1_024}, window(1_000, 2, 1_000)
    )
    found = spectrum(np.stack([np.sin(2 * np.pi * 125 * t), np.sin(2 * np.pi * 250 * t)], axis=1))
    assert found.shape == (1, 513, 2) and found[0].argmax(axis=0).tolist() == [128, 256]


def test_statistics_are_their_formulas() -> None:
    x = np.random.default_rng(0).gamma(2, size=(500, 2)) - 1
    found = dict(zip(ALL, made({"kind": "statistics", "statistics": ALL}, window(500, 2))(x), strict=True))
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    rms = np.sqrt((x**2).mean(axis=0))
    expected = {
        "mean": x.mean(axis=0),
        "std": x.std(axis=0),
        "rms": rms,
        "min": x.min(axis=0),
        "max": x.max(axis=0),
        "peak_to_peak": np.ptp(x, axis=0),
        "crest_factor": np.abs(x).max(axis=0) / rms,
        "skewness": (z**3).mean(axis=0),
        "kurtosis": (z**4).mean(axis=0),
        "zero_crossings": (np.diff(np.signbit(x), axis=0) != 0).mean(axis=0),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_statistics_of_a_channel_that_stands_still_are_numbers(value: float) -> None:
    found = made({"kind": "statistics", "statistics": ALL}, window(50))(np.full((50, 1), value))
    assert np.isfinite(found).all() and found[ALL.index("kurtosis"), 0] == 0


# The contract


def told_contract(features: dict[str, Any], **of_window: Any) -> dict[str, object]:
    described = window().model_dump() | of_window
    return {"input": "window", "window": described, "features": features}


@pytest.mark.parametrize(
    ("features", "match"),
    [
        (MEL | {"kind": "melody"}, "features: .*'log-mel', 'mfcc', 'micro-frontend', 'spectrum', 'statistics'"),
        (MEL | {"mel_bin": 3}, "features.log-mel.mel_bin: no such key"),
        ({k: v for k, v in MEL.items() if k != "mel_scale"}, "features.log-mel.mel_scale: is missing"),
        (MEL | {"fft_length": 500}, "fft_length is a power of 2 and at least frame_length, 400; found 500"),
        (MEL | {"fft_length": 256}, "power of 2 and at least frame_length, 400; found 256"),
        (MEL | {"high_hz": 9_000}, "at most half of rate_hz, 8000; found 60 and 9000"),
        (MEL | {"low_hz": 7_600}, "low_hz is below high_hz"),
        (MEL | {"log_offset": 1}, "give log_floor .* or log_offset"),
        (MEL | {"log_floor": None}, "give log_floor .* or log_offset"),
        (MEL | {"padding": "zero"}, "padding = zero needs frame_length = fft_length; found 400, 512"),
        (
            MEL | {"frame_length": 20_000, "fft_length": 32_768},
            "window of 16000 readings is shorter than a frame of 20000",
        ),
        (MEL | {"frame_hop": 1, "fft_length": 65_536}, "frames of 65536 points are too many; take a larger frame_hop"),
        (MFCC | {"coefficients": 41}, "coefficients are at most mel_bins, 40; found 41"),
        (SPECTRUM | {"log": "ln"}, "with log, give log_floor"),
        (SPECTRUM | {"log_floor": 1}, "without, neither"),
        ({"kind": "statistics", "statistics": ["average"]}, "features.statistics.statistics.0: .*'mean'"),
        ({"kind": "statistics", "statistics": []}, "features.statistics.statistics"),
    ],
)
def test_features_that_make_no_sense_are_refused(features: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        contract_from(told_contract(features), "model.toml [contract]")


def test_features_without_a_window_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"\[contract.features\] are for input = window; found input = tensor"):
        contract_from({"input": "tensor", "features": MEL}, "model.toml [contract]")


def test_the_model_must_take_what_the_features_give() -> None:
    contract = contract_from(told_contract(MEL), "here")
    for shape in ((1, 98, 40), (1, 98, 40, 1), (1, 3_920)):
        contract.check(TensorSpec("in", shape, "int8", 0.1))
    with pytest.raises(
        ContractError,
        match=r"makes log-mel of windows of 16000 readings of 1 channels, shape \(98, 40\); input 'in' has shape \(1, 49, 40\)",
    ):
        contract.check(TensorSpec("in", (1, 49, 40), "int8", 0.1))
    with pytest.raises(ContractError, match="mean has 13 numbers; input 'in' has 40"):
        contract_from(told_contract(MEL) | {"mean": [0] * 13, "std": [1]}, "here").check(
            TensorSpec("in", (1, 98, 40), "int8", 0.1)
        )


def test_a_raw_window_becomes_quantized_features() -> None:
    contract = contract_from(told_contract(MEL) | {"mean": [float(i) for i in range(40)], "std": [2.0]}, "here")
    assert Contract.model_validate_json(contract.model_dump_json()) == contract
    raw = np.round(sound() * 32_767).astype(np.int16)
    spec = TensorSpec("in", (1, 98, 40, 1), "int8", 0.25, -5)
    out = np.empty(spec.shape, np.int8)
    Encoder(contract, spec).encode(raw, out)
    features = made(MEL, window())(raw.astype(np.float64) / 32_768)
    np.testing.assert_array_equal(out[0, :, :, 0], spec.quantize((features.astype(np.float64) - np.arange(40)) / 2))


# Other implementations


LIBROSA = {
    "htk, no norm": {},
    "slaney, normalised": {"mel_scale": "slaney", "mel_norm": "slaney"},
    "magnitude": {"spectrum": "magnitude"},
    "hamming": {"window_function": "hamming"},
    "centred on zeros": {"padding": "zero"},
    "centred, reflected": {"padding": "reflect"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LIBROSA)
def test_log_mel_and_mfcc_are_those_of_librosa(name: str) -> None:
    librosa = pytest.importorskip("librosa", reason="librosa is in the extra judges")
    more = LIBROSA[name]
    told = MEL | {"frame_length": 512} | more
    y = sound()[:, 0]
    padding = more.get("padding", "none")
    mel = librosa.feature.melspectrogram(
        y=y,
        sr=16_000,
        n_fft=512,
        hop_length=160,
        window=told["window_function"],
        center=padding != "none",
        pad_mode={"zero": "constant"}.get(padding, "reflect"),
        power={"power": 2.0, "magnitude": 1.0}[told["spectrum"]],
        n_mels=40,
        fmin=60,
        fmax=7_600,
        htk=told["mel_scale"] == "htk",
        norm={"none": None, "slaney": "slaney"}[told["mel_norm"]],
        dtype=np.float64,
    )
    expected = np.log(np.maximum(mel, 1e-10))
    np.testing.assert_allclose(made(told, window())(y[:, None]).T, expected, rtol=2e-6, atol=2e-6)
    cepstra = librosa.feature.mfcc(S=expected, n_mfcc=13, dct_type=2, norm="ortho")
    found = made(told | {"kind": "mfcc", "coefficients": 13}, window())(y[:, None])
    np.testing.assert_allclose(found.T, cepstra, rtol=2e-6, atol=2e-5)


@pytest.mark.slow
def test_liftering_and_preemphasis_are_those_of_python_speech_features() -> None:
    other = pytest.importorskip("python_speech_features", reason="python_speech_features is in the extra judges")
    told = MFCC | {"lifter": 22, "preemphasis": 0.97, "window_function": "rectangular", "spectrum": "power"}
    y = sound()[:, 0]
    frames = other.sigproc.framesig(other.sigproc.preemphasis(y, 0.97), 400, 160)[:98]
    spectra = made(
        {k: told[k] for k in ("frame_length", "frame_hop", "fft_length", "window_function", "spectrum", "preemphasis")}
        | {"kind": "spectrum"},
        window(),
    )
    np.testing.assert_allclose(spectra(y[:, None]) / 512, other.sigproc.powspec(frames, 512), rtol=1e-6, atol=1e-9)
    plain = made(told | {"lifter": 0}, window())(y[:, None])
    np.testing.assert_allclose(made(told, window())(y[:, None]), other.base.lifter(plain, 22), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_log_mel_and_mfcc_are_those_of_tensorflow() -> None:
    tf = pytest.importorskip("tensorflow", reason="tensorflow is in the extra keras")
    y = sound()[:, 0]
    told = MEL | {"mel_triangles": "mel", "log_floor": None, "log_offset": 1e-6, "spectrum": "magnitude"}
    spectra = tf.abs(tf.signal.stft(tf.constant(y, tf.float64), 400, 160, 512))
    weights = tf.signal.linear_to_mel_weight_matrix(40, 257, 16_000, 60.0, 7_600.0, dtype=tf.float64)
    expected = tf.math.log(tf.matmul(spectra, weights) + 1e-6)
    np.testing.assert_allclose(made(told, window())(y[:, None]), expected, rtol=1e-6, atol=2e-6)
    cepstra = tf.signal.mfccs_from_log_mel_spectrograms(expected)[:, :13].numpy()
    found = made(told | {"kind": "mfcc", "coefficients": 13}, window())(y[:, None])
    cepstra[:, 0] /= np.sqrt(2)  # TensorFlow's 0th is not orthonormal, as its own documentation says of HTK's
    np.testing.assert_allclose(found, cepstra, rtol=1e-5, atol=2e-5)


def test_every_logarithm_is_known() -> None:
    x = np.array([1e-9, 0.5, 3.0])
    for log, scale in PER_LN.items():
        expected = {"ln": np.log(x), "log10": np.log10(x), "db": 10 * np.log10(x)}[log]
        np.testing.assert_allclose(natural_log(x) * scale, expected, rtol=1e-14)


def test_readings_too_large_for_features_are_refused_and_no_number_is_made_up() -> None:
    contract = contract_from(
        {
            "input": "window",
            "window": {"length": 16, "rate_hz": 100, "hop": 16, "channels": ["x"], "units": "g", "gap": "drop"},
            "features": {"kind": "statistics", "statistics": ["mean", "rms", "kurtosis"]},
        },
        "here",
    )
    spec = TensorSpec("in", (1, 3, 1), "int8", 0.1)
    with pytest.raises(ContractError, match=r"readings up to 1.5e\+201, of which features are no finite numbers"):
        Encoder(contract, spec).encode(np.arange(16) * 1e200, np.empty(spec.shape, np.int8))
