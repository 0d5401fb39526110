"""The targets of a conversion: each makes its variants where a board runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib import import_module

from converters.gather import board_runs, boards_run, unserved
from converters.progress import Progress
from converters.report.figures import Figures
from converters.targets.made import Material, Targets, TargetVariant
from edge_sdk.errors import MissingPackageError, ModelError

Make = Callable[[Material, frozenset[str], Progress], tuple[TargetVariant, ...]]

_TARGETS = {  # the kinds of variant that each makes, and what makes them; the Edge TPU has a step of its own, as its compiler may be absent
    "jetson": (("onnx-qdq", "onnx-float16"), "converters.targets.jetson.make:make"),
    "openvino": (("openvino",), "converters.targets.openvino.make:make"),
    "ethos": (("ethos-u",), "converters.targets.ethos.make:make"),
}


def make_targets(
    material: Material, step: Callable[[str], AbstractContextManager[None]], progress: Progress
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
    for name, (kinds, maker) in _TARGETS.items():
        kinds_wanted = wanted.intersection(kinds)
        if not kinds_wanted:
            continue
        module, _, function = maker.partition(":")
        make: Make = getattr(import_module(module), function)
        with step(f"target {name}"):
            try:
                variants += make(material, kinds_wanted, progress)
            except (MissingPackageError, ModelError) as exc:
                warnings.append(f"There is no variant of kind {' or '.join(sorted(kinds_wanted))}: {exc}")
    return Targets(tuple(variants), tuple(warnings))


def with_targets(figures: Figures, targets: Targets, boards: Sequence[str]) -> Figures:
    """The figures, with the targets' own and what the boards run now."""
    if not targets.variants and not targets.warnings:
        return figures
    known = unserved(figures.boards)
    kinds = [figures.kind, *(v.kind for v in figures.variants), *(made.variant.kind for made in targets.variants)]
    runs = board_runs(boards, kinds)
    warnings = (*(w for w in figures.warnings if w not in known), *targets.warnings, *unserved(runs))
    told = tuple(made.figures for made in targets.variants)
    return figures.model_copy(update={"boards": runs, "targets": told, "warnings": warnings})
