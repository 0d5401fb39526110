"""``edge-sdk bench``."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic_ns, perf_counter

import click

from edge_sdk.bundle import Bundle, Variant
from edge_sdk.bundle.golden import GoldenCheck, check_golden, first_golden_input
from edge_sdk.choice import choose_variant
from edge_sdk.cli.engine_options import engine_options_from
from edge_sdk.cli.milliseconds import milliseconds
from edge_sdk.cli.model_file import read_model, read_start
from edge_sdk.edgetpu.library import is_compiled
from edge_sdk.encoder import Encoder
from edge_sdk.engines import Engine, engine_for, own_options
from edge_sdk.engines.isolation import Isolation, open_engine
from edge_sdk.engines.process import ProcessEngine
from edge_sdk.errors import ConfigError, GateError
from edge_sdk.loop_report import percentile_line
from edge_sdk.noise import noise
from edge_sdk.printable import printable
from edge_sdk.profiles import load_board
from edge_sdk.remote.content import content_for
from edge_sdk.tasks import make_task
from edge_sdk.watchdog.durations import Durations, Percentiles

_WARM_UP = 5


@click.command(epilog="\b\nExit codes: 0 done, 1 error, 3 the golden vectors were not reproduced.")
@click.argument("model", type=click.Path(path_type=Path), metavar="BUNDLE.edge|MODEL.tflite")
@click.option("--runs", default=200, show_default=True, type=click.IntRange(min=1), help="Measured inferences.")
@click.option("--variant", "variant_id", help="Id of the bundle's variant; default its first, or the board's.")
@click.option("--board", help="Board profile, whose first variant is measured; see edge-sdk boards.")
@click.option("--engine", "engine_name", help="What runs it; default by the variant's kind, or the model's.")
@click.option("--engine-option", "engine_options", multiple=True, metavar="KEY=VALUE", help="Such as device=usb:1.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1, 64), help="Threads of the interpreter.")
@click.option(
    "--isolation",
    default="process",
    show_default=True,
    type=click.Choice(["process", "none"]),
    help="Child process or inline.",
)
@click.option(
    "--hang",
    "hang_ms",
    default=10_000.0,
    show_default=True,
    callback=milliseconds,
    metavar="MS",
    help="Hang budget of one inference.",
)
@click.option("--json", "as_json", is_flag=True, help="Figures for machines.")
def bench(
    model: Path,
    runs: int,
    variant_id: str | None,
    board: str | None,
    engine_name: str | None,
    engine_options: tuple[str, ...],
    threads: int,
    isolation: Isolation,
    hang_ms: float,
    as_json: bool,
) -> None:
    """Measure a bundle or a .tflite model on this machine, one inference after the other.

    \b
    edge-sdk bench face.edge
    edge-sdk bench face.edge --threads 2 --isolation none
    edge-sdk bench model.tflite --json

    A bundle is measured from raw input to value, after its golden vectors have been replayed: the figures are of a model that computes
    what the converter proved. A bare .tflite is measured on random input, the engine alone.
    """
    with contextlib.ExitStack() as stack:
        options = {"threads": str(threads), **engine_options_from(engine_options)}
        bundle = stack.enter_context(Bundle(model)) if read_start(model)[:2] == b"PK" else None
        if bundle is not None:
            variant = _variant(bundle, variant_id, board, engine_name)
            engine_name = engine_for(variant.kind, engine_name)
            content, name = content_for(engine_name, bundle, variant), f"{model.name}, {variant.id}"
        else:
            content, name = read_model(model), model.name
            engine_name = engine_name or engine_for("edgetpu" if is_compiled(content) else "tflite-")
        options = own_options(engine_name, options, load_board(board).engine_options if board else None)
        engine = stack.enter_context(open_engine(engine_name, content, options, isolation=isolation, hang_ms=hang_ms))
        golden: GoldenCheck | None = None
        if bundle is not None:
            engine.expect(variant.inputs, variant.outputs)
            golden = _replay_golden(bundle, variant, engine)
            step, stages = _whole_way(bundle, variant, engine)
        else:
            step, stages = _engine_alone(engine)
        pids = [os.getpid()] + ([engine.pid] if isinstance(engine, ProcessEngine) else [])
        seconds, processor_s = _measure(step, stages, runs, pids)
    figures = _Figures(
        model=name,
        engine=engine.description,
        runs=runs,
        per_second=runs / seconds,
        processor_ms=processor_s * 1000 / runs,
        golden=golden,
        stages={stage: durations.percentiles() for stage, durations in stages.items()},
    )
    click.echo(json.dumps(asdict(figures)) if as_json else "\n".join(figures.lines()))


@dataclass(frozen=True)
class _Figures:
    """What was measured; ``processor_ms`` is of all processes together, for one inference."""

    model: str
    engine: str
    runs: int
    per_second: float
    processor_ms: float
    golden: GoldenCheck | None
    stages: dict[str, Percentiles]

    def lines(self) -> list[str]:
        """A table for people."""
        golden = "golden vectors: none"
        if self.golden is not None:
            g = self.golden
            golden = f"golden vectors: {g.inputs} replayed, largest difference {g.worst:g} (tolerance {g.tolerance:g})"
        rate = f"{self.runs} inferences one after the other, {self.per_second:.1f}/s, {self.processor_ms:.2f} ms of processor time each"
        heading = f"{'ms':<16} {'p50':>9} {'p90':>9} {'p99':>9} {'p99.9':>9} {'max':>9}"
        rows = [percentile_line(stage, percentiles) for stage, percentiles in self.stages.items()]
        return [printable(f"{self.model} on {self.engine}"), golden, rate, "", heading, *rows]


def _variant(bundle: Bundle, id_: str | None, board: str | None, engine: str | None) -> Variant:
    choice = choose_variant(bundle, id_, kinds=load_board(board).variants if board else (), engine=engine)
    if choice.instead:
        click.echo(printable(f"cpu_instead: {choice.instead}"), err=True)
    variant = choice.variant
    if len(variant.inputs) != 1:
        raise ConfigError(f"variant {variant.id} has {len(variant.inputs)} inputs; models of one can be fed")
    return variant


def _replay_golden(bundle: Bundle, variant: Variant, engine: Engine) -> GoldenCheck | None:
    check = check_golden(bundle, variant, engine)
    if check is not None and not check.passed:
        raise GateError(
            f"this machine does not reproduce the golden vectors of {variant.id}: largest difference {check.worst:g}, "
            f"tolerance {check.tolerance:g}. Another interpreter version or a faulty delegate computes something else: see edge-sdk doctor"
        )
    return check


Step = Callable[[], None]


def _whole_way(bundle: Bundle, variant: Variant, engine: Engine) -> tuple[Step, dict[str, Durations]]:
    """One sample from raw input to value: a golden input if there is one, else noise of the tensor's own size."""
    contract, spec = bundle.contract_of(variant), variant.inputs[0]
    encoder = Encoder(contract, spec)
    task = make_task(
        bundle.task_of(variant), input_=spec, outputs=variant.outputs, labels=bundle.labels(), heads=variant.heads
    )
    sample = first_golden_input(bundle, variant)
    if sample is None:
        shape = spec.nhwc_shape[1:] if contract.window is None else contract.window.shape
        sample = noise(shape, "uint8" if contract.input == "image" else "float32")
    stages = {name: Durations() for name in ("whole", "encode", "engine", "decode")}

    def step() -> None:
        start = perf_counter()
        placement = encoder.encode(sample, engine.input_arrays[0])
        encoded = perf_counter()
        outputs = engine.run()
        ran = perf_counter()
        task.decode(outputs, placement, monotonic_ns(), engine.input_arrays[0])
        end = perf_counter()
        for stage, took_s in zip(
            stages.values(), (end - start, encoded - start, ran - encoded, end - ran), strict=True
        ):
            stage.add(took_s * 1000)

    return step, stages


def _engine_alone(engine: Engine) -> tuple[Step, dict[str, Durations]]:
    for array in engine.input_arrays:
        array[...] = noise(array.shape, array.dtype.name)
    stages = {"engine": Durations()}

    def step() -> None:
        start = perf_counter()
        engine.run()
        stages["engine"].add((perf_counter() - start) * 1000)

    return step, stages


def _measure(step: Step, stages: dict[str, Durations], runs: int, pids: list[int]) -> tuple[float, float]:
    """Wall seconds of ``runs`` steps, and processor seconds of ``pids`` meanwhile, after a warm-up that is not counted."""
    for _ in range(_WARM_UP):
        step()
    for name in stages:
        stages[name] = Durations()
    started, cpu_started = perf_counter(), _processor_s(pids)
    for _ in range(runs):
        step()
    return perf_counter() - started, _processor_s(pids) - cpu_started


def _processor_s(pids: list[int]) -> float:
    """Processor time of these processes so far, user and system (proc(5), /proc/PID/stat fields 14 and 15)."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(f[11]) + int(f[12]) for f in fields) / os.sysconf("SC_CLK_TCK")
