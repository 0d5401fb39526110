"""Features of micro wake words: the audio frontend's own numbers, whatever the windows, and forgotten on reset."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter
from pymicro_features import MicroFrontend as Frontend

from edge_sdk.contract import Contract, contract_from
from edge_sdk.encoder import Encoder
from edge_sdk.errors import ConfigError, MissingPackageError
from edge_sdk.features import features_from
from edge_sdk.features.micro_frontend import STEP, MicroFrontend
from edge_sdk.features.settings import FeatureSettings
from edge_sdk.tensors import Array, TensorSpec
from edge_sdk.window_settings import WindowSettings

_N = np.arange(16_000, dtype=np.int64)
SOUND = (_N * _N // 37 % 18_000 - 9_000 + np.random.default_rng(0).integers(-500, 500, 16_000)).astype(
    np.int16
)  # a rising saw
SPEC = TensorSpec("input", (1, 3, 40), "int8", 0.10196078568696976, -128)


def window(**told: Any) -> dict[str, Any]:
    return {
        "length": 480,
        "hop": 480,
        "rate_hz": 16_000,
        "channels": ["sound"],
        "units": "full-scale",
        "gap": "drop",
    } | told


def contract(**told: Any) -> Contract:
    return contract_from({"input": "window", "window": window(**told), "features": {"kind": "micro-frontend"}}, "here")


def frontend(length: int = 480) -> MicroFrontend:
    settings = TypeAdapter[Any](FeatureSettings).validate_python({"kind": "micro-frontend"})
    made = features_from(settings, WindowSettings.model_validate(window(length=length, hop=length)))
    assert isinstance(made, MicroFrontend)
    return made


def cut(sound: Array, length: int) -> Iterator[Array]:
    return (sound[start : start + length, None] / 32_768 for start in range(0, len(sound) - length + 1, length))


def test_the_numbers_are_the_frontends_own_after_20_ms_of_silence() -> None:
    own, expected = Frontend(), []
    for start in range(0, 16_320, STEP):
        step = np.concatenate([np.zeros(320, np.int16), SOUND])[start : start + STEP]
        expected += own.process_samples(step.tobytes()).features
    ours = np.concatenate(_all(480))
    assert np.array_equal(ours.reshape(-1), np.array(expected, np.float32)[: ours.size])
    assert ours.shape == (99, 40) and ours.max() > 20


def _all(length: int) -> list[Array]:
    made = frontend(length)
    return [made(each) for each in cut(SOUND, length)]


def test_longer_windows_give_the_same_frames() -> None:
    short, long = np.concatenate(_all(480)), np.concatenate(_all(1_440))
    assert np.array_equal(short[: len(long)], long)


def test_what_came_before_takes_part_until_reset() -> None:
    made = frontend()
    loud = next(cut(SOUND, 480))
    first = made(loud)
    again = made(loud)
    assert not np.array_equal(first, again)
    made.reset()
    assert np.array_equal(made(loud), first)


def test_the_same_bits_on_every_machine() -> None:
    digest = hashlib.sha256(np.concatenate(_all(480)).astype("<f4").tobytes()).hexdigest()
    assert digest == "b1bfbd1a416a7232dcdaaa17ed48031deaf9602bc6d86a3b02e00736a2d6ca79"


def test_the_encoder_quantizes_and_forgets_on_reset() -> None:
    encoder, out = Encoder(contract(), SPEC), np.empty(SPEC.shape, np.int8)
    assert encoder.stateful
    tensors = []
    for _ in range(2):
        encoder.encode(SOUND[:480, None], out)
        tensors.append(out.copy())
    encoder.reset()
    encoder.encode(SOUND[:480], out)
    assert np.array_equal(out, tensors[0]) and not np.array_equal(out, tensors[1])
    real = frontend()(next(cut(SOUND, 480)))
    assert np.array_equal(out[0], SPEC.quantize(real))


def test_floats_and_integers_of_one_sound_are_the_same() -> None:
    outs = []
    for sound in (SOUND[:480], SOUND[:480].astype(np.float32) / 32_768, SOUND[:480] / 32_768):
        outs.append(np.empty(SPEC.shape, np.int8))
        Encoder(contract(), SPEC).encode(sound[:, None], outs[-1])
    assert all(np.array_equal(outs[0], other) for other in outs[1:])


def test_without_its_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymicro_features", None)
    with pytest.raises(
        MissingPackageError, match=r"micro-frontend needs pymicro_features.*edge-device-sdk\[wake-word\]"
    ):
        frontend()


def test_what_is_too_loud_is_clipped() -> None:
    assert np.isfinite(frontend()(np.full((480, 1), 7.0))).all()


@pytest.mark.parametrize(
    ("told", "match"),
    [
        ({"rate_hz": 8_000}, "16000 Hz"),
        ({"channels": ["left", "right"]}, "one channel"),
        ({"units": "Pa"}, "units of full-scale; found .* units Pa"),
        ({"hop": 160}, "hop = length; found length 480, hop 160"),
        ({"length": 500, "hop": 500}, "whole steps of 10 ms"),
    ],
)
def test_windows_that_do_not_fit_are_refused(told: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        contract(**told)
