"""``edge-sdk edgetpu add``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_sdk.cli.model_file import read_model
from edge_sdk.cli.table import facts
from edge_sdk.errors import ConfigError

if TYPE_CHECKING:
    from converters.targets.edgetpu.add import Checked


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path), metavar="BUNDLE.edge")
@click.argument("compiled", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="COMPILED.tflite...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The bundle to write. Default with --overwrite: BUNDLE itself.",
)
@click.option("--variant", metavar="ID", help="That it was compiled of. Default: any of kind tflite-int8.")
@click.option(
    "--weights-unchecked", is_flag=True, help="Do not look for the weights among the compiled model's parameters."
)
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
def add(
    bundle: Path,
    compiled: tuple[Path, ...],
    output: Path | None,
    variant: str | None,
    weights_unchecked: bool,
    overwrite: bool,
) -> None:
    """Pack COMPILED, made by edgetpu_compiler, into BUNDLE, which has the int8 model that it was made of.

    \b
    edge-sdk edgetpu add detector.edge detector_edgetpu.tflite --overwrite
    edge-sdk edgetpu add detector.edge detector_edgetpu.tflite -o coral.edge
    edge-sdk edgetpu add detector.edge detector_segment_*_edgetpu.tflite --overwrite   # a pipeline

    It is checked that COMPILED belongs there: inputs and outputs, every operator that was left on the processor with its constants,
    and the weights, as far as they can be seen. What the Edge TPU computes is proven by the golden vectors, on the device.
    """
    from converters.targets.edgetpu.add import add_compiled, check, in_order
    from converters.targets.edgetpu.plan import make_plan
    from edge_sdk.bundle import Bundle

    if output is None and not overwrite:
        raise ConfigError(
            "give the bundle to write (-o NEW.edge), or --overwrite to put the variant into BUNDLE itself"
        )
    files = [read_model(path) for path in in_order(compiled)]
    with Bundle(bundle) as opened:
        checked = check(opened, files, variant=variant, weights=not weights_unchecked)
        plan = None if checked.variant.plan else make_plan(opened.model_of(checked.variant))
        id_, replaced = add_compiled(opened, checked, output or bundle, plan=plan, overwrite=overwrite)
    click.echo(f"{output or bundle}: {'replaced' if replaced else 'added'} {id_}, compiled of {checked.variant.id}")
    click.echo("\n".join(facts(_facts(checked))))


def _facts(checked: Checked) -> Iterator[tuple[str, str]]:
    seen = checked.weights
    if seen is None:
        yield "weights", "not looked for: nothing says that they are this model's"
    elif not seen.seen_bytes:
        yield "weights", "none can be seen in it: that they are this model's shows on the device, by the golden vectors"
    else:
        share = seen.seen_bytes / seen.all_bytes
        yield "weights", f"{share:.0%} of their bytes were found in it; the others cannot be seen"
    yield (
        "runtime",
        f"it needs libedgetpu of version {max(model.min_runtime_version for model in checked.models)} or newer",
    )
    tokens = sorted({f"{token:016x}" for model in checked.models for token in model.tokens})
    if tokens:
        yield (
            "caching token",
            f"{', '.join(tokens)}: with models of the same token, compiled together with it, it stays on the chip; any other evicts it",
        )
    yield "on the device", "edge-sdk bench replays the golden vectors before it measures: they prove what is computed"
