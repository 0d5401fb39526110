"""The targets of a conversion: each makes its variants where a board runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib import import_module

from converters.gather import board_runs, boards_run, unserved
from converters.progress import Progress
from converters.report.figures import Figures
from converters.targets.doubts import doubts
from converters.targets.made import IntegerModel, Material, Targets, TargetVariant
from edge_sdk.errors import MissingPackageError, ModelError

Make = Callable[[Material, frozenset[str], Progress], tuple[TargetVariant, ...]]
MakeOfInteger = Callable[[IntegerModel, frozenset[str], Progress], tuple[TargetVariant, ...]]

# The kinds of variant that each makes, and what makes them; the Edge TPU has a step of its own, as its compiler may be absent.
_OF_FLOAT = {"jetson": (("onnx-qdq", "onnx-float16"), "converters.targets.jetson.make:make")}
_OF_INTEGER = {
    "openvino": (("openvino", "openvino-float16"), "converters.targets.openvino.make:make"),
    "ethos": (("ethos-u",), "converters.targets.ethos.make:make"),
}


def make_targets(
    material: Material | IntegerModel, step: Callable[[str], AbstractContextManager[None]], progress: Progress
) -> Targets:
    """The variants of every target that a board runs.

    What stands in the way (a package that is not installed, an operator that the target does not have) is said in the warnings; the
    bundle then goes without.

    Args:
        material: what the conversion has.
        step: times a step of it.
        progress: told of the work.

    Raises:
        BoardError: if there is no such board.
    """
    wanted = boards_run(material.boards)
    variants, warnings = list[TargetVariant](), list[str]()
    for name, (kinds, maker) in (_OF_FLOAT | _OF_INTEGER).items():
        for kinds_wanted in _together(name, wanted.intersection(kinds)):
            with step(f"target {name}"):
                try:
                    variants += _made(name, maker, material, kinds_wanted, progress)
                except (MissingPackageError, ModelError) as exc:
                    warnings.append(f"There is no variant of kind {' or '.join(sorted(kinds_wanted))}: {exc}")
    return Targets(tuple(variants), tuple(warnings))


def _together(name: str, kinds: frozenset[str]) -> list[frozenset[str]]:
    """Kinds that are made at once: each by itself, where what stands in the way of one does not concern the others."""
    if name in _OF_INTEGER:
        return [frozenset({kind}) for kind in sorted(kinds)]
    return [kinds] if kinds else []


def _made(
    name: str, maker: str, material: Material | IntegerModel, kinds: frozenset[str], progress: Progress
) -> tuple[TargetVariant, ...]:
    module, _, function = maker.partition(":")
    make = getattr(import_module(module), function)
    if name in _OF_INTEGER:
        of_integer: MakeOfInteger = make
        return of_integer(material if isinstance(material, IntegerModel) else material.integer, kinds, progress)
    if isinstance(material, IntegerModel):
        raise ModelError("it is made of the float model, and this one came full-integer")
    of_float: Make = make
    return of_float(material, kinds, progress)


def with_targets(figures: Figures, targets: Targets, boards: Sequence[str]) -> Figures:
    """The figures, with the targets' own and what the boards run now."""
    if not targets.variants and not targets.warnings:
        return figures
    known = unserved(figures.boards)
    kinds = [figures.kind, *(v.kind for v in figures.variants), *(made.variant.kind for made in targets.variants)]
    runs = board_runs(boards, kinds)
    said = (*targets.warnings, *doubts(figures, targets.variants))
    warnings = (*(w for w in figures.warnings if w not in known), *said, *unserved(runs))
    told = tuple(made.figures for made in targets.variants)
    return figures.model_copy(update={"boards": runs, "targets": told, "warnings": warnings})
