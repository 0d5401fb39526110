"""The wake-word example: the word is heard when it is said, and nothing else is taken for it, in real time under the loop."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_sdk import Loop, Result
from edge_sdk.bundle import Bundle
from edge_sdk.bundle.golden import check_golden
from edge_sdk.encoder import Encoder
from edge_sdk.engines.faulty import order_fault
from edge_sdk.engines.isolation import open_engine
from edge_sdk.sources import Sample, SignalSource
from edge_sdk.sources.pace import Pace
from edge_sdk.tasks import make_task
from edge_sdk.windows import Windows
from examples.wake_word.make import dialogue, make_bundle
from examples.wake_word.speech import RATE_HZ, VOICES, Sound, recorded_prompts, room_noise, say, write_wav

pytestmark = pytest.mark.slow


class Broken(SignalSource):
    """A sound of which ``gap_s`` seconds are missing before the reading ``gap_at``, in real time."""

    def __init__(self, sound: Sound, gap_at: int, gap_s: float) -> None:
        self._sound, self._gap_at, self._gap_ns = sound, gap_at, round(gap_s * 1e9)
        self._given, self._pace = 0, Pace()
        self.began_ns = 0

    def _open(self) -> None:
        self.began_ns = self._pace.due_ns(0)

    def _readings(self) -> tuple[np.ndarray, np.ndarray] | None:
        count = min(
            320, len(self._sound) - self._given, self._gap_at - self._given if self._given < self._gap_at else 320
        )
        if not count:
            return None
        numbers = np.arange(self._given, self._given + count)
        times_ns = np.rint(numbers * (1e9 / RATE_HZ)).astype(np.int64)
        times_ns += self._gap_ns if self._given >= self._gap_at else 0
        due_ns = self._pace.wait(int(times_ns[-1]))
        if due_ns is None:
            return None
        data = self._sound[self._given : self._given + count, None]
        self._given += count
        return data.copy(), times_ns + (due_ns - times_ns[-1])

    def _close(self) -> None:
        self._pace.stop()


ROOT = Path(__file__).parents[1]
SOON_S = 0.6  # after the end of the word, by which it must have been reported
_SECOND = np.zeros(RATE_HZ, np.int16)
OTHER_SPEECH = """
The quick brown fox jumps over the lazy dog. Okay, now do it again. Hey, have you seen the nabob? Okay, not bad at all.
Please turn on the lights in the kitchen and play some music. Alexa, what time is it? Hey Jarvis, set a timer for ten minutes.
A boat sailed over the bay in a light breeze, and nobody on board knew where it would land before nightfall.
Seven hundred and forty two people took part, eleven more than in the year before, said the chairman of the club.
Open the window, it is far too warm in here. Okay, Nancy. Go now. No, boo! The cable car leaves from the lower station.
"""


def no_windows_lost(sentence: str | None, dropped: int) -> None:
    assert not dropped, sentence  # silence of zeros is only remarked upon


@pytest.fixture(scope="module", autouse=True)
def espeak() -> None:
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng, which makes the speech, is not installed (Debian: apt install espeak-ng)")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("wake_word") / "okay_nabu.edge")


@pytest.fixture(scope="module")
def hear(bundle: Path) -> Iterator[Callable[[Sound], list[float]]]:
    """When the word is reported in a sound, in seconds from its beginning: as fast as it goes, by the steps of the loop."""
    with Bundle(bundle) as opened:
        variant = opened.variant()
        contract = opened.contract_of(variant)
        assert contract.window is not None
        encoder = Encoder(contract, variant.inputs[0])
        task = make_task(
            opened.task_of(variant), input_=variant.inputs[0], outputs=variant.outputs, labels=opened.labels()
        )
        with open_engine("litert", opened.read(variant.file), isolation="none") as engine:

            def hear(sound: Sound) -> list[float]:
                for each in (encoder, engine, task):
                    each.reset()
                times_ns = np.rint(np.arange(len(sound)) * (1e9 / RATE_HZ)).astype(np.int64)
                windows = Windows(contract.window, no_windows_lost)
                heard = []
                for window in windows.add(Sample(sound[:, None], 0, int(times_ns[-1]), times_ns=times_ns)):
                    encoder.encode(window.data, engine.input_arrays[0])
                    value = task.decode(engine.run(), None, window.captured_ns)
                    heard += [window.captured_ns / 1e9] if value.keyword else []
                return heard

            yield hear


def test_its_golden_vectors_are_reproduced_in_both_isolations(bundle: Path) -> None:
    with Bundle(bundle) as opened:
        variant = opened.variant()
        for isolation in ("process", "none"):
            with open_engine("litert", opened.read(variant.file), isolation=isolation) as engine:  # type: ignore[arg-type]
                assert engine.stateful
                check = check_golden(opened, variant, engine)
                assert check is not None and check.passed


def test_the_word_is_heard_from_many_voices_once_each_time(hear: Callable[[Sound], list[float]]) -> None:
    said, found = 0, 0
    for voice in VOICES:
        for words_per_minute in (150, 165, 180):
            word = say("okay nabu", voice, words_per_minute)
            heard = hear(room_noise(np.concatenate([_SECOND, word, _SECOND])))
            end_s = 1 + len(word) / RATE_HZ
            assert len(heard) <= 1, voice
            assert all(end_s - 0.5 <= t <= end_s + SOON_S for t in heard), (voice, heard, end_s)
            said, found = said + 1, found + len(heard)
    assert (said, found) == (15, 15)


def test_nothing_else_that_is_said_is_taken_for_it(hear: Callable[[Sound], list[float]]) -> None:
    """Several minutes of made speech: sentences with words that sound alike, and the words of other assistants."""
    sentences = [sentence for sentence in OTHER_SPEECH.replace("\n", " ").split(".") if sentence.strip()]
    speech = np.concatenate([part for v in VOICES for s in sentences for part in (say(s, v, 165), _SECOND[:8_000])])
    assert len(speech) > 120 * RATE_HZ
    assert hear(room_noise(speech)) == []


def test_recorded_speech_is_not_taken_for_it(hear: Callable[[Sound], list[float]]) -> None:
    """Six minutes of a woman's recorded voice."""
    speech: list[Sound] = []
    try:
        for _, sound in recorded_prompts():
            speech += [sound, _SECOND[:4_000]]
            if sum(map(len, speech)) > 360 * RATE_HZ:
                break
    except SystemExit as exc:
        pytest.skip(str(exc))
    assert hear(room_noise(np.concatenate(speech))) == []


def test_noise_and_silence_are_not_taken_for_it(hear: Callable[[Sound], list[float]]) -> None:
    rng = np.random.default_rng(1)
    white = rng.normal(0, 2_000, 60 * RATE_HZ)
    brown = np.cumsum(rng.normal(0, 100, 60 * RATE_HZ))
    brown *= 10_000 / np.abs(brown).max()
    for noise in (white, brown, np.zeros(60 * RATE_HZ)):
        assert hear(np.clip(noise, -32_768, 32_767).astype(np.int16)) == []


def test_the_example_runs_as_written_and_on_time(tmp_path: Path) -> None:
    """make, then app.toml, from a folder of its own."""
    shutil.copytree(ROOT / "examples/wake_word", tmp_path / "examples/wake_word")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for words in (["-m", "examples.wake_word.make"], ["-m", "edge_sdk.cli", "run", "examples/wake_word/app.toml"]):
        (tmp_path / "examples/__init__.py").unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    lines = (tmp_path / "build/wake_word/heard.jsonl").read_text().splitlines()
    results = [line for line in map(json.loads, lines) if line["type"] == "result"]
    began_ns = results[0]["captured_ns"] - 480 / RATE_HZ * 1e9
    heard = [(r["captured_ns"] - began_ns) / 1e9 for r in results if r["value"]["keyword"]]
    assert_heard(heard, dialogue()[1])
    assert done.stdout.count("heard 'okay nabu'") == 3
    late = sum(result["late"] for result in results)
    assert len(results) > 500 and late <= len(results) // 50, late  # a busy machine is late now and then


@pytest.mark.parametrize("order", ["hang", "crash"])
def test_after_a_fault_of_the_engine_it_hears_again(order: str, bundle: Path, tmp_path: Path) -> None:
    """The state is fresh after a restart, and what was begun is not taken for a word."""
    speech, at_s = dialogue()
    write_wav(tmp_path / "speech.wav", speech)
    orders = tmp_path / "orders"
    heard: list[Result] = []
    with Loop(
        bundle,
        source=f"wav:{tmp_path / 'speech.wav'}",
        deadline_ms=100,
        hang_ms=300,
        engine="faulty",
        engine_options={"orders": str(orders)},
    ) as loop:
        first_ns = 0
        for result in loop:
            first_ns = first_ns or result.captured_ns
            heard += [result] if result.value.keyword else []
            if result.sequence == 60:  # in the sentence before the first word
                order_fault(orders, order)
    report = loop.report()
    assert [recovery.kind for recovery in report.recoveries] == [order]
    assert_heard([(r.captured_ns - first_ns) / 1e9 + 0.03 for r in heard], at_s)
    counts = report.counts
    assert counts.captured == counts.on_time + counts.late + counts.dropped + counts.skipped + counts.lost
    assert counts.lost == 1


def test_missing_sound_makes_it_begin_anew(bundle: Path, tmp_path: Path) -> None:
    """Half of the word, a gap, and the other half are not the word; and it is heard when it is said again."""

    word = np.concatenate([_SECOND, say("okay nabu", VOICES[0], 170)])
    cut = len(word) - 5_000  # in the middle of the word
    source = Broken(room_noise(np.concatenate([word, word, _SECOND])), gap_at=cut, gap_s=0.5)
    with Loop(bundle, source=source, deadline_ms=100, isolation="none") as loop:
        heard = [result for result in loop if result.value.keyword]
    assert len(heard) == 1
    assert heard[0].captured_ns - source.began_ns > len(word) / RATE_HZ * 1e9
    assert loop.report().event_counts["gap"] == 1


def assert_heard(heard: list[float], said: list[float]) -> None:
    assert len(heard) == len(said), (heard, said)
    assert all(end - 0.5 <= t <= end + SOON_S for t, end in zip(heard, said, strict=True)), (heard, said)
