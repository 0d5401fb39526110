"""``edge-sdk convert``."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_sdk.cli.ending import end_tidily_on_signals
from edge_sdk.errors import ConfigError

if TYPE_CHECKING:
    from converters.calibrate.statistics import RangeMethod

_EPILOG = """\b
Examples, with the contract and the task in net.toml:
  edge-sdk convert net.tflite --calibrate photos/ -o net.edge
  edge-sdk convert net.onnx --calibrate photos/ -o net.edge        # needs edge-device-sdk[convert,onnx]
  edge-sdk convert net.keras --calibrate photos/ -o net.edge       # needs ...[convert,keras]
  edge-sdk convert saved_model/ --config net.toml --calibrate photos/ -o net.edge
  edge-sdk convert net.pt2 --calibrate photos/ -o net.edge         # needs ...[convert,torch]
  edge-sdk convert net.py:build --trust --calibrate photos/ -o net.edge

\b
  edge-sdk convert net.tflite --calibrate "clip.mp4?stop=60" --holdout "clip.mp4?start=60" \\
      --board raspberry-pi-5 -o net.edge
  edge-sdk convert net.tflite --calibrate photos/ --board jetson-orin-nano -o net.edge     # needs ...[convert,onnx]
  edge-sdk convert net.tflite --calibrate photos/ --board generic-x86-64 -o net.edge       # needs ...[convert,openvino]
  edge-sdk convert net.tflite --calibrate photos/ --evaluate truth/ --max-drop 1% -o net.edge
  edge-sdk convert net.tflite --calibrate photos/ --recipe int8 --recipe int16x8 -o net.edge

\b
Everything in flags:
  edge-sdk convert flowers.tflite --task classify --labels flowers.txt --input image \\
      --colour rgb --range -1,1 --resize stretch --calibrate photos/ -o flowers.edge
  edge-sdk convert motion.tflite --input tensor --calibrate windows.npy -o motion.edge
  edge-sdk convert motion_int8.tflite --input tensor -o motion.edge   # full-integer already: as it is

\b
DATA is a folder of images, of .wav, or of captured .npz files; a video (?start=, ?stop=, ?step= count
frames); .wav (?rate= in Hz, ?window= and ?hop= in values); .npy or .npz (first axis: samples; images need
?colour=rgb or ?colour=bgr); or .csv (one sample a row).
DATA of --evaluate has the right answers: a folder with one folder a class, a .csv of file,label, an .npz
of inputs and truth, or a COCO .json.

\b
Exit codes: 0 done, 1 error, 2 something is missing or unknown, 3 the gate failed, 130 interrupted, 129 and 143 ended by a signal."""


@click.command(epilog=_EPILOG)
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The bundle to write, such as model.edge."
)
@click.option(
    "--config", type=click.Path(path_type=Path), help="A model.toml; default: MODEL's name with .toml, if it is there."
)
@click.option("--calibrate", metavar="DATA", help="Samples as the model will meet them; 100 or more are good.")
@click.option("--holdout", metavar="DATA", help="Samples to compare float and int8 on, kept apart from --calibrate.")
@click.option("--evaluate", metavar="DATA", help="Data with the right answers: gives the task's own metric.")
@click.option(
    "--metric",
    metavar="NAME",
    help="What counts on --evaluate, such as top-1, mAP, iou, auc or mse. Default: the task's own.",
)
@click.option(
    "--max-drop", metavar="DROP", help="Gate: the largest drop allowed, such as 1%. A proven larger one is exit code 3."
)
@click.option(
    "--max-samples",
    type=click.IntRange(min=1),
    metavar="N",
    help="At most so many samples of --calibrate and --holdout, evenly spaced. Default: 200.",
)
@click.option(
    "--board",
    "boards",
    multiple=True,
    metavar="BOARD",
    help="A board it is for, whose variants are made; may be repeated. See edge-sdk boards.",
)
@click.option(
    "--recipe",
    "recipes",
    multiple=True,
    metavar="RECIPE",
    help="How to quantize: int8 (default), int8-per-tensor, int8-uint8-io, int16x8, float16, dynamic or a .toml of your own. "
    "May be repeated: each makes a variant, the first is gated and repaired.",
)
@click.option(
    "--ranges",
    type=click.Choice(["minmax", "percentile", "mse", "auto"]),
    help="How ranges of activations are chosen. Default: as the recipe says, minmax.",
)
@click.option("--budget", metavar="TIME", help="How long repair may take, such as 90s or 1h. Default: 10m.")
@click.option("--no-repair", is_flag=True, help="Leave a model that fails the gate, or has a bad layer, as it is.")
@click.option(
    "--task",
    type=click.Choice(["raw", "classify", "detect", "keyword", "anomaly", "segment", "pose"]),
    help="What the outputs mean. Default: raw.",
)
@click.option("--labels", type=click.Path(path_type=Path), help="A file with one class name a line.")
@click.option(
    "--input",
    type=click.Choice(["image", "tensor", "window"]),
    help="Bytes to resize and normalise, numbers as they are, or windows of a signal (the rest of it in a model.toml).",
)
@click.option(
    "--colour", type=click.Choice(["rgb", "bgr", "gray"]), help="The channel order that the model was trained with."
)
@click.option("--range", "range_", metavar="LO,HI", help="What the bytes 0 and 255 stand for, such as -1,1.")
@click.option("--mean", metavar="X[,X,X]", help="real = (x - mean) / std, in units of the raw input.")
@click.option("--std", metavar="X[,X,X]", help="See --mean.")
@click.option(
    "--resize",
    type=click.Choice(["stretch", "letterbox", "crop"]),
    help="How a picture is brought to the input's size.",
)
@click.option("--pad", type=int, metavar="BYTE", help="The byte that letterboxing fills with. Default: 0.")
@click.option("--golden", metavar="DATA", help="Golden vectors of your choice (4); they travel to every device.")
@click.option("--trust", is_flag=True, help="Run code that comes with the model: pickles, Lambda layers, Python files.")
@click.option("--input-shape", metavar="N,N,..", help="Of a model with dynamic shapes, such as 1,3,48,320.")
@click.option("--signature", metavar="NAME", help="Which one of a model that has several.")
@click.option(
    "--load-timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="Seconds that a framework may work. Default: 1800.",
)
@click.option(
    "--load-memory",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MB",
    help="Memory that a framework may take. Default: what is free.",
)
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def convert(
    model: Path,
    output: Path,
    calibrate: str | None,
    config: Path | None,
    boards: tuple[str, ...],
    task: str | None,
    labels: Path | None,
    holdout: str | None,
    evaluate: str | None,
    metric: str | None,
    max_drop: str | None,
    recipes: tuple[str, ...],
    ranges: RangeMethod | None,
    budget: str | None,
    no_repair: bool,
    golden: str | None,
    max_samples: int | None,
    trust: bool,
    input_shape: str | None,
    signature: str | None,
    load_timeout: float | None,
    load_memory: float | None,
    overwrite: bool,
    as_json: bool,
    **contract: str | int | None,
) -> None:
    """Turn a trained model into a proven int8 bundle.

    MODEL is a Keras file (.keras, .h5), a SavedModel's folder, .onnx, PyTorch (.pt2; .pt and net.py:function with --trust) or a
    .tflite. One that is integer from input to output already is proven and packed as it is, without --calibrate.

    The bundle holds the quantized model, proven to be integer from input to output, and everything a
    device must know of it; the report goes beside it as .report.html and .report.json.

    How pictures become the model's input is the contract. It stands in a model.toml or in the flags, and is never guessed:
    what is missing is asked for by name.
    """
    from converters.conversion import convert as run
    from converters.progress import Bar, quiet
    from converters.report import summary_lines

    used = _used_config(model, config)
    if used is not None and not as_json:
        click.echo(f"settings from {used}", err=True)
    end_tidily_on_signals()
    with Bar() if sys.stderr.isatty() and not as_json else nullcontext(quiet) as progress:
        result = run(
            model,
            output=output,
            calibrate=calibrate,
            config=config,
            contract=_contract_keys(contract),
            task=task,
            labels=labels,
            boards=boards,
            evaluate=evaluate,
            metric=metric,
            max_drop=max_drop,
            recipes=recipes,
            ranges=ranges,
            budget=budget,
            repair=False if no_repair else None,
            holdout=holdout,
            golden=golden,
            max_samples=max_samples,
            loading=_loading(trust, input_shape, signature, load_timeout, load_memory),
            overwrite=overwrite,
            progress=progress,
        )
    if as_json:
        click.echo(result.figures.model_dump_json(indent=1))
        return
    click.echo("\n".join(summary_lines(result.figures)))
    click.echo(f"\nwritten: {result.bundle}, {result.html.name}, {result.json.name}")


def _used_config(model: Path, config: Path | None) -> Path | None:
    beside = model.with_suffix(".toml")
    return config if config is not None else beside if beside.is_file() else None


def _contract_keys(flags: dict[str, str | int | None]) -> dict[str, object]:
    keys: dict[str, object] = {}
    for flag, value in flags.items():
        if value is None:
            continue
        key = flag.rstrip("_")
        keys[key] = _numbers(key, str(value)) if key in ("range", "mean", "std") else value
    return keys


def _loading(
    trust: bool, input_shape: str | None, signature: str | None, timeout_s: float | None, memory_mb: float | None
) -> dict[str, object]:
    shape = None if input_shape is None else axes(input_shape)
    told = {"input_shape": shape, "signature": signature, "timeout_s": timeout_s, "memory_mb": memory_mb}
    return {"trust": trust} | {key: value for key, value in told.items() if value is not None}


def axes(text: str) -> tuple[int, ...]:
    """The shape that ``--input-shape`` gives.

    Raises:
        ConfigError: if it is none.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ConfigError(
            f"--input-shape takes whole numbers with commas between them, such as 1,3,224,224; found {text!r}"
        )
    return tuple(int(part) for part in parts)


def _numbers(flag: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as exc:
        raise ConfigError(f"--{flag} takes numbers with commas between them, such as 0,1; found {text!r}") from exc
