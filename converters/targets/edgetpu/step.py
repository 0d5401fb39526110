"""The Edge TPU in a conversion: the plan of every int8 variant and, where Google's compiler is there, the compiled one beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from converters.gather import board_runs, unserved
from converters.graph import main_graph, read_graph
from converters.pack import Packed
from converters.report.edgetpu_figures import EdgeTpu
from converters.report.figures import Figures
from converters.targets.edgetpu.add import EDGETPU, INT8
from converters.targets.edgetpu.compare import compare
from converters.targets.edgetpu.compiler import Compilation, Options, Source, find_compiler, run_compiler
from converters.targets.edgetpu.plan import make_plan
from edge_sdk.errors import CompilerError, CompilerMissingError, ModelError
from edge_sdk.profiles import our_boards


def has_edgetpu(boards: Sequence[str]) -> bool:
    """Whether one of these boards is an Edge TPU, or has one.

    Raises:
        BoardError: if there is no such board.
    """
    with our_boards():
        import boards as profiles
    return any(EDGETPU in profiles.load(name).variants for name in boards)


def plan_and_compile(
    figures: Figures, packed: Sequence[Packed], boards: Sequence[str], bundle: str
) -> tuple[Figures, list[Packed]]:
    """Plan every int8 variant and compile it.

    What stands in the way (no compiler, one that fails, a model that cannot be planned) is said in the figures; the bundle then goes
    without the compiled variant or the plan.

    Args:
        figures: of the conversion.
        packed: the variants for the bundle, the first in front.
        boards: of ``--board``.
        bundle: the name of its file.
    """
    made, warnings, shown = [], list[str](), None
    for each in packed:
        if each.model.kind != INT8:
            made.append(each)
            continue
        try:
            plan = make_plan(each.model.content)
        except ModelError as exc:
            warnings.append(f"There is no plan for the Edge TPU: {exc}")
            made.append(each)
            continue
        found = EdgeTpu(plan=plan, edges=edges(each.model.content), bundle=bundle)
        found, compiled = _compile(each.model.content, found, figures.name)
        made.append(replace(each, plan=plan, compiled=compiled))
        shown = shown or found
    return _told(figures, boards, [each.model.kind for each in made], shown, warnings), made


def _compile(content: bytes, found: EdgeTpu, name: str) -> tuple[EdgeTpu, bytes | None]:
    try:
        done = run_compiler(find_compiler(), [Source(name, content)], Options())
        ((_, compiled),) = done.models[0].files
        comparison = compare(content, [compiled], found.plan, done.models[0].logs)
    except CompilerMissingError:
        return found.model_copy(update={"not_compiled": "edgetpu_compiler is not here"}), None
    except (CompilerError, ModelError) as exc:
        return found.model_copy(update={"not_compiled": f"Google's compiler failed: {exc}"}), None
    if not comparison.figures[0].compiled:
        return found.model_copy(update={"not_compiled": _nothing(done), "comparison": comparison}), None
    told = {
        "compiler": done.compiler.version,
        "compiled_bytes": len(compiled),
        "comparison": comparison,
        "said": (*done.log.failures, *done.log.unknown),
    }
    return found.model_copy(update=told), compiled


def _nothing(done: Compilation) -> str:
    reasons = sorted({row.status for model in done.log.models for row in model.rows})
    return f"edgetpu_compiler {done.compiler.version} maps nothing of it: {'; '.join(reasons) or 'it does not say why'}"


def _told(
    figures: Figures, boards: Sequence[str], kinds: list[str], shown: EdgeTpu | None, warnings: list[str]
) -> Figures:
    """The figures, with what the boards run now."""
    known = unserved(figures.boards)
    kinds += [made.kind for made in figures.targets]
    if shown is not None and shown.compiler:
        kinds.append(EDGETPU)
    runs = board_runs(boards, kinds, to_compile=shown is not None and not shown.compiler)
    if shown is not None and shown.not_compiled.startswith("Google's"):
        warnings.append(f"It was not compiled for the Edge TPU. {shown.not_compiled}")
    if shown is not None and shown.comparison is not None and not shown.comparison.agrees:
        warnings.append("The Edge TPU compiler made something else of the model than was planned; see there.")
    return figures.model_copy(
        update={
            "boards": runs,
            "edgetpu": shown,
            "warnings": (*(w for w in figures.warnings if w not in known), *warnings, *unserved(runs)),
        }
    )


def edges(content: bytes) -> tuple[tuple[int, int], ...]:
    """(maker, taker) of each tensor between two operators, by their places."""
    graph = main_graph(read_graph(content))
    makers = {int(i): place for place, operator in enumerate(graph.operators) for i in operator.outputs}
    return tuple(
        dict.fromkeys(
            (makers[int(i)], place)
            for place, operator in enumerate(graph.operators)
            for i in operator.inputs
            if int(i) in makers
        )
    )
