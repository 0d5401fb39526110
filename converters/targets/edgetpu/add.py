"""Packing a compiled model into the bundle that it comes of, as a variant of kind ``edgetpu``; segments as ``edgetpu-pipeline``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.targets.edgetpu.match import match
from converters.targets.edgetpu.weights import Weights, find_weights
from edge_sdk.bundle import Bundle, Manifest, Variant, write_bundle
from edge_sdk.bundle.manifest import schema_version_for
from edge_sdk.bundle.write import stored_files
from edge_sdk.edgetpu.package import CompiledModel, read_compiled
from edge_sdk.edgetpu.plan import Plan
from edge_sdk.errors import BundleError, ModelError
from edge_sdk.tflite import describe

INT8 = "tflite-int8"
EDGETPU, PIPELINE = "edgetpu", "edgetpu-pipeline"
_SEGMENT = re.compile(r"_segment_([0-9]{1,4})_of_([0-9]{1,4})_edgetpu\.tflite$")


@dataclass(frozen=True)
class Checked:
    """A compiled model that belongs to a variant.

    Attributes:
        variant: the one that it was compiled of.
        models: what is in its files.
        weights: how much of the weights was seen in it; None where it was told not to look.
    """

    variant: Variant
    files: tuple[bytes, ...]
    models: tuple[CompiledModel, ...]
    weights: Weights | None

    @property
    def refusal(self) -> str:
        """Why libedgetpu would not load it; empty where nothing speaks against it."""
        return "; ".join(model.refusal for model in self.models if model.refusal)


def planned_variant(bundle: Bundle, id_: str | None) -> Variant:
    """The variant that is compiled: the one of this id, or the first of kind ``tflite-int8``.

    Raises:
        BundleError: if there is none.
    """
    if id_ is not None:
        return bundle.variant(id_)
    found = next((variant for variant in bundle.manifest.variants if variant.kind == INT8), None)
    if found is None:
        raise BundleError(
            f"{bundle.path} has no variant of kind {INT8}, which is what is compiled for the Edge TPU; it has "
            f"{', '.join(variant.id for variant in bundle.manifest.variants)}. Convert with --recipe int8"
        )
    return found


def check(bundle: Bundle, files: Sequence[bytes], *, variant: str | None = None, weights: bool = True) -> Checked:
    """The variant that a compiled model belongs to.

    Args:
        bundle: has the model that it was compiled of.
        files: one, or the segments of a pipeline in their order.
        variant: the id of that one; default any of kind ``tflite-int8``.
        weights: whether its weights are looked for; see ``weights``.

    Raises:
        BundleError: if the bundle has no such variant.
        ModelError: if it is damaged, or compiled of another model; the message has the first difference.
    """
    candidates = [v for v in bundle.manifest.variants if v.id == variant or (variant is None and v.kind == INT8)]
    if not candidates:
        candidates = [planned_variant(bundle, variant)]  # which raises
    reasons: list[str] = []
    for candidate in candidates:
        try:
            return _checked(bundle.model_of(candidate), candidate, tuple(files), weights)
        except ModelError as exc:
            reasons.append(f"{candidate.id}: {exc}" if len(candidates) > 1 else str(exc))
    raise ModelError("; ".join(reasons))


def _checked(original: bytes, variant: Variant, files: tuple[bytes, ...], weights: bool) -> Checked:
    models = tuple(model for model in map(read_compiled, files) if model is not None)
    mapped = match(original, files).on_tpu
    found = Checked(variant, files, models, find_weights(original, mapped, files) if weights else None)
    if found.refusal:
        raise ModelError(f"libedgetpu will not load the compiled model: {found.refusal}")
    return found


def in_order(paths: Sequence[Path]) -> list[Path]:
    """Files in the order of their segments; one file as it is.

    Raises:
        ModelError: if several are not the segments of one model, each of them once.
    """
    if len(paths) == 1:
        return list(paths)
    named = [(path, _SEGMENT.search(path.name)) for path in paths]
    places = {int(found[1]): path for path, found in named if found is not None}
    counts = {int(found[2]) for _, found in named if found is not None}
    if counts != {len(paths)} or set(places) != set(range(len(paths))):
        raise ModelError(
            f"several files are the segments of one model, each once: X_segment_0_of_{len(paths)}_edgetpu.tflite to "
            f"X_segment_{len(paths) - 1}_of_{len(paths)}_edgetpu.tflite; found {', '.join(path.name for path in paths)}"
        )
    return [places[number] for number in sorted(places)]


def compiled_variant(source: Variant, contents: Sequence[bytes]) -> tuple[Variant, dict[str, bytes]]:
    """The variant of a compiled model and its entries: all but the files is as in the variant that it was compiled of.

    It keeps that one's golden vectors, which the device replays before it trusts an engine.
    """
    kind = PIPELINE if len(contents) > 1 else EDGETPU
    suffix = source.id.removeprefix(INT8)
    id_ = f"{kind}{suffix if not suffix or suffix.startswith('-') else f'-{suffix}'}"
    numbers = [f"-{number}" for number in range(len(contents))] if len(contents) > 1 else [""]
    files = {f"variants/{id_}{number}.tflite": content for number, content in zip(numbers, contents, strict=True)}
    names = tuple(files)
    operators = Counter(operator.name for content in contents for operator in describe(content).operators)
    told = {"id": id_, "kind": kind, "file": names[0], "segments": names[1:], "operators": dict(operators)}
    return source.model_copy(update=told), files


def plan_entry(plan: Plan) -> bytes:
    """A plan as an entry of the bundle."""
    return (plan.model_dump_json(indent=1) + "\n").encode()


def add_compiled(
    bundle: Bundle, checked: Checked, output: Path, *, plan: Plan | None = None, overwrite: bool = False
) -> tuple[str, bool]:
    """Write a bundle with the compiled variant behind the others; one of the same id is replaced.

    Args:
        bundle: has the variant that it was compiled of.
        checked: the compiled model.
        output: the bundle to write.
        plan: of that variant, where the bundle has none.
        overwrite: whether ``output`` may be replaced.

    Returns:
        The variant's id, and whether it was there already.

    Raises:
        BundleError: if the id is that of another kind of variant.
        OutputError: if ``output`` cannot be written.
    """
    variant, files = compiled_variant(checked.variant, checked.files)
    kept = tuple(v for v in bundle.manifest.variants if v.id != variant.id)
    replaced = [v for v in bundle.manifest.variants if v.id == variant.id]
    if any(v.kind != variant.kind for v in replaced):
        raise BundleError(
            f"{bundle.path} has a variant {variant.id!r} of kind {replaced[0].kind}; it is no compiled model"
        )
    gone = {name for v in replaced for name in (v.file, *v.segments)}
    entries = {name: bundle.read(name) for name in bundle.manifest.files if name not in gone}
    if clash := sorted(set(files) & set(entries)):
        raise BundleError(f"{bundle.path} has an entry {clash[0]!r} of something else; convert the model again")
    entries |= files
    if variant.plan is None and plan is not None:
        name = f"plans/{checked.variant.id}.json"
        entries[name] = plan_entry(plan)
        variant = variant.model_copy(update={"plan": name})
        kept = tuple(v.model_copy(update={"plan": name}) if v.id == checked.variant.id else v for v in kept)
    variants = (*kept, variant)
    manifest = bundle.manifest.model_copy(
        update={
            "variants": variants,
            "files": stored_files(entries),
            "schema_version": max(
                bundle.manifest.schema_version,
                schema_version_for(variants, bundle.manifest.task, bundle.manifest.contract),
            ),
        }
    )
    write_bundle(output, Manifest.model_validate(manifest.model_dump()), entries, overwrite=overwrite)
    return variant.id, bool(replaced)
