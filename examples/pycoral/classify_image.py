"""What is in a picture: ``python -m examples.pycoral.classify_image --model MODEL.tflite --labels labels.txt --input photo.jpg``."""

from __future__ import annotations

import time
from pathlib import Path

import click
from PIL import Image

from edge_sdk.pycoral.adapters import classify, common
from edge_sdk.pycoral.utils.dataset import read_label_file
from edge_sdk.pycoral.utils.edgetpu import make_interpreter
from examples.pycoral.pixels import as_input


@click.command(context_settings={"show_default": True})
@click.option("-m", "--model", required=True, help="A .tflite, compiled for the Edge TPU or not.")
@click.option("-d", "--device", help="The Edge TPU: usb, usb:1, pci:0, :1; any where it is left out.")
@click.option("-i", "--input", "picture", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("-l", "--labels", help="Names of the classes, one a line.")
@click.option("-k", "--top_k", default=3, help="So many classes at most.")
@click.option("-t", "--threshold", default=0.0, help="The lowest score.")
@click.option("-c", "--count", default=5, type=click.IntRange(min=1), help="Runs, for the time.")
@click.option("--input_mean", default=127.5, help="The model was trained on (pixel - mean) / std.")
@click.option("--input_std", default=127.5)
def main(
    model: str,
    device: str | None,
    picture: Path,
    labels: str | None,
    top_k: int,
    threshold: float,
    count: int,
    input_mean: float,
    input_std: float,
) -> None:
    """Print the classes of a picture."""
    names = read_label_file(labels) if labels else {}
    interpreter = make_interpreter(model, device)
    interpreter.allocate_tensors()
    image = Image.open(picture).convert("RGB").resize(common.input_size(interpreter), Image.Resampling.LANCZOS)
    common.set_input(interpreter, as_input(interpreter, image, input_mean, input_std))
    for _ in range(count):
        began = time.perf_counter()
        interpreter.invoke()
        click.echo(f"{(time.perf_counter() - began) * 1000:.1f} ms")
    for found in classify.get_classes(interpreter, top_k, threshold):
        click.echo(f"{names.get(found.id, found.id)}: {found.score:.5f}")


if __name__ == "__main__":
    main()
