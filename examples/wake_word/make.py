"""Makes what the example runs, in build/wake_word/: the bundle of a real wake-word model, and speech to try it on."""

from __future__ import annotations

from pathlib import Path

import click

from converters import convert
from examples.assets.models import okay_nabu
from examples.wake_word.speech import VOICES, room_noise, say, write_wav

OUT = Path("build/wake_word")
_HERE = Path(__file__).parent


def main() -> None:
    """Make both."""
    OUT.mkdir(parents=True, exist_ok=True)
    bundle = make_bundle(OUT / "okay_nabu.edge")
    speech, at_s = dialogue()
    write_wav(OUT / "speech.wav", speech)
    click.echo(f"{bundle}\n{OUT / 'speech.wav'}: 'okay nabu' ends at {', '.join(f'{t:.1f}' for t in at_s)} s")


def make_bundle(bundle: Path) -> Path:
    """The bundle. The model is full-integer already, so it is proven and packed as it is."""
    return convert(okay_nabu(), config=_HERE / "model.toml", output=bundle, overwrite=True).bundle


def dialogue() -> tuple[object, list[float]]:
    """Three people say the word, with other things between: 16 kHz, int16, and the seconds at which the words end."""
    import numpy as np

    others = ("the weather will be fine today", "please close the door behind you", "where is the nearest station")
    parts, at_s, length = [], [], 0
    for voice, other in zip(VOICES, others, strict=False):
        for text, is_word in ((other, False), ("okay nabu", True)):
            part = np.concatenate([np.zeros(16_000, np.int16), say(text, voice, 170)])
            parts.append(part)
            length += len(part)
            at_s += [length / 16_000] if is_word else []
    whole = np.concatenate([*parts, np.zeros(24_000, np.int16)])
    return room_noise(whole), at_s


if __name__ == "__main__":
    main()
