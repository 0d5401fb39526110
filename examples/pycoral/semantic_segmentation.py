"""The class of every pixel of a picture: ``python -m examples.pycoral.semantic_segmentation --model MODEL.tflite --input photo.jpg``."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from PIL import Image

from edge_sdk.pycoral.adapters import common, segment
from edge_sdk.pycoral.utils.dataset import read_label_file
from edge_sdk.pycoral.utils.edgetpu import make_interpreter
from examples.pycoral.pixels import as_input

_COLOURS = np.random.default_rng(7).integers(60, 255, (256, 3), np.uint8)
_COLOURS[0] = 0  # background


@click.command(context_settings={"show_default": True})
@click.option("-m", "--model", required=True, help="A .tflite, compiled for the Edge TPU or not.")
@click.option("-d", "--device", help="The Edge TPU: usb, usb:1, pci:0, :1; any where it is left out.")
@click.option("-i", "--input", "picture", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("-l", "--labels", help="Names of the classes, one a line.")
@click.option("-o", "--output", default="semantic_segmentation_result.jpg", help="The picture and its classes, beside.")
@click.option("--keep_aspect_ratio", is_flag=True, help="Pad the picture instead of stretching it; as in training.")
@click.option("--input_mean", default=127.5, help="The model was trained on (pixel - mean) / std.")
@click.option("--input_std", default=127.5)
def main(
    model: str,
    device: str | None,
    picture: Path,
    labels: str | None,
    output: str,
    keep_aspect_ratio: bool,
    input_mean: float,
    input_std: float,
) -> None:
    """Print how much of a picture is what, and paint it."""
    names = read_label_file(labels) if labels else {}
    interpreter = make_interpreter(model, device)
    interpreter.allocate_tensors()
    image = Image.open(picture).convert("RGB")

    def resized(size: tuple[int, int]) -> npt.NDArray[np.generic]:
        return as_input(interpreter, image.resize(size, Image.Resampling.LANCZOS), input_mean, input_std)

    width, height = common.input_size(interpreter)
    if keep_aspect_ratio:
        pixels, _ = common.set_resized_input(interpreter, image.size, resized)
        height, width = pixels.shape[:2]
    else:
        common.set_input(interpreter, resized((width, height)))
    interpreter.invoke()
    mask = classes(interpreter)[:height, :width]
    for number, share in sorted(enumerate(np.bincount(mask.ravel()) / mask.size), key=lambda each: -each[1]):
        if share > 0.01:
            click.echo(f"{names.get(number, number)}: {share:.0%}")
    side_by_side(image.resize((width, height)), mask).save(output)


def classes(interpreter: object) -> npt.NDArray[np.uint8]:
    """(height, width). One score a pixel says whether its class is 1; several, which class is its."""
    found = segment.get_output(interpreter)
    if found.ndim == 2:
        return found
    if found.shape[2] == 1:
        middle = 128 if found.dtype == np.uint8 else 0.5
        return (found[..., 0] > middle).astype(np.uint8)
    return np.argmax(found, axis=-1).astype(np.uint8)


def side_by_side(image: Image.Image, mask: npt.NDArray[np.uint8]) -> Image.Image:
    """The picture, and to its right its classes as colours."""
    both = Image.new("RGB", (2 * image.width, image.height))
    both.paste(image, (0, 0))
    both.paste(Image.fromarray(_COLOURS[mask]), (image.width, 0))
    return both


if __name__ == "__main__":
    main()
