"""Where things are in a picture: ``python -m examples.pycoral.detect_image --model MODEL.tflite --labels labels.txt --input photo.jpg``.

The model ends in TFLite_Detection_PostProcess; ``examples.pycoral.make`` makes one.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
from PIL import Image, ImageDraw

from edge_sdk.pycoral.adapters import common, detect
from edge_sdk.pycoral.utils.dataset import read_label_file
from edge_sdk.pycoral.utils.edgetpu import make_interpreter
from examples.pycoral.pixels import as_input

_INK = (255, 60, 30)


@click.command(context_settings={"show_default": True})
@click.option("-m", "--model", required=True, help="A .tflite, compiled for the Edge TPU or not.")
@click.option("-d", "--device", help="The Edge TPU: usb, usb:1, pci:0, :1; any where it is left out.")
@click.option("-i", "--input", "picture", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("-l", "--labels", help="Names of the classes, one a line.")
@click.option("-t", "--threshold", default=0.4, help="The lowest score.")
@click.option("-o", "--output", help="Write the picture with the boxes here.")
@click.option("-c", "--count", default=5, type=click.IntRange(min=1), help="Runs, for the time.")
@click.option("--input_mean", default=127.5, help="The model was trained on (pixel - mean) / std.")
@click.option("--input_std", default=127.5)
def main(
    model: str,
    device: str | None,
    picture: Path,
    labels: str | None,
    threshold: float,
    output: str | None,
    count: int,
    input_mean: float,
    input_std: float,
) -> None:
    """Print the things in a picture, and draw them."""
    names = read_label_file(labels) if labels else {}
    interpreter = make_interpreter(model, device)
    interpreter.allocate_tensors()
    image = Image.open(picture).convert("RGB")
    _, scale = common.set_resized_input(
        interpreter,
        image.size,
        lambda size: as_input(interpreter, image.resize(size, Image.Resampling.LANCZOS), input_mean, input_std),
    )
    for _ in range(count):
        began = time.perf_counter()
        interpreter.invoke()
        click.echo(f"{(time.perf_counter() - began) * 1000:.1f} ms")
    found = detect.get_objects(interpreter, threshold, scale)
    for each in found:
        click.echo(f"{names.get(each.id, each.id)}: {each.score:.2f} at {tuple(each.bbox)}")
    if not found:
        click.echo("nothing found")
    if output:
        draw(image, found, names)
        image.save(output)


def draw(image: Image.Image, found: list[detect.Object], names: dict[int, str]) -> None:
    """Boxes with class and score."""
    canvas = ImageDraw.Draw(image)
    thick = max(2, image.width // 200)
    for each in found:
        canvas.rectangle(tuple(each.bbox), outline=_INK, width=thick)
        at = (max(each.bbox.xmin, 0) + 2 * thick, max(each.bbox.ymin, 0) + 2 * thick)
        said = f"{names.get(each.id, each.id)} {each.score:.2f}"
        canvas.text(at, said, fill="white", font_size=max(12, image.width // 25), stroke_width=2, stroke_fill="black")


if __name__ == "__main__":
    main()
