"""The doorbell's own program: says who comes, waits and leaves, and keeps a picture of each. ``edge-sdk run`` starts and watches it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import click
import cv2

from edge_sdk import Event, Loop, Result, sink_from
from edge_sdk.draw import annotate, bgr_image
from edge_sdk.tasks.detect import Detection

DEADLINE_MS = 100.0
LADDER = [  # under overload or heat: the smaller model, then fewer frames
    {"variant": "tflite-int8-small"},
    {"variant": "tflite-int8-small", "run_every": 2},
    {"variant": "tflite-int8-small", "run_every": 4},
]
_WAITS_S = 2.0
_LEFT_S = 1.0  # max_missed_ms in model.toml: an id that was away for longer does not come back
_PICTURES = 100  # the newest; an SD card is not to fill up


@dataclass(frozen=True)
class Visit:
    """What became of somebody.

    Attributes:
        kind: that they came, that they wait (once), or that they left.
        track: the id of their face.
        stayed_s: from when they came to when they were last seen.
    """

    kind: Literal["came", "waits", "left"]
    track: int
    stayed_s: float


class Visits:
    """Follows the ids of faces, by the times of capture: frames that are skipped or dropped make nobody leave."""

    def __init__(self) -> None:
        self._came_ns: dict[int, int] = {}
        self._seen_ns: dict[int, int] = {}
        self._waiting: set[int] = set()

    def update(self, faces: Sequence[Detection], captured_ns: int) -> list[Visit]:
        """What the faces of one frame bring; those without an id are none yet."""
        told = []
        for track in (face.track for face in faces if face.track is not None):
            self._seen_ns[track] = captured_ns
            if track not in self._came_ns:
                self._came_ns[track] = captured_ns
                told.append(self._visit("came", track))
            elif track not in self._waiting and captured_ns - self._came_ns[track] >= _WAITS_S * 1e9:
                self._waiting.add(track)
                told.append(self._visit("waits", track))
        gone = [track for track, seen_ns in self._seen_ns.items() if captured_ns - seen_ns > _LEFT_S * 1e9]
        return told + [self._gone(track) for track in gone]

    def _gone(self, track: int) -> Visit:
        visit = self._visit("left", track)
        del self._came_ns[track], self._seen_ns[track]
        self._waiting.discard(track)
        return visit

    def _visit(self, kind: Literal["came", "waits", "left"], track: int) -> Visit:
        return Visit(kind, track, (self._seen_ns[track] - self._came_ns[track]) / 1e9)


class Diary:
    """A line and, of who comes, a picture."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def write(self, visit: Visit, result: Result) -> None:
        """Note it. Ring, unlock or send something here."""
        now = datetime.now().astimezone()
        stayed = "" if visit.kind == "came" else f", {visit.stayed_s:.1f} s at the door"
        click.echo(f"{now:%H:%M:%S}  #{visit.track} {visit.kind}{stayed}")
        line = {"at": now.isoformat(), "captured_ns": result.captured_ns, "sequence": result.sequence, **asdict(visit)}
        with (self._folder / "visits.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        if visit.kind == "came":
            picture = annotate(bgr_image(result.sample), result, DEADLINE_MS)
            cv2.imwrite(str(self._folder / f"{now:%Y%m%d-%H%M%S}-{visit.track}.png"), picture)
            for old in sorted(self._folder.glob("*.png"))[:-_PICTURES]:
                old.unlink()


@click.command()
@click.option("--bundle", type=click.Path(path_type=Path), required=True)
@click.option("--source", required=True, help="camera:0, or file:VIDEO.")
@click.option("--diary", type=click.Path(path_type=Path), required=True, help="A folder for lines and pictures.")
@click.option("--sink", "sinks", multiple=True, help="As of edge-sdk run, for every result: video:seen.mp4.")
def main(bundle: Path, source: str, diary: Path, sinks: tuple[str, ...]) -> None:
    """Run until the source ends or the supervisor says so."""
    visits, book = Visits(), Diary(diary)
    loop = Loop(
        bundle,
        source,
        deadline_ms=DEADLINE_MS,
        governor={"rungs": LADDER},
        sinks=[sink_from(text, deadline_ms=DEADLINE_MS) for text in sinks],
        on_event=_say,
    )
    with loop:
        for result in loop:
            for visit in visits.update(result.value, result.captured_ns):
                book.write(visit, result)
    click.echo("\n".join(["", *loop.report().lines()]))


def _say(event: Event) -> None:
    click.echo(f"{event.kind}: {event.message}")


if __name__ == "__main__":
    main()
