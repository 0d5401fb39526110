"""Packing the variants of another bundle into this one: a smaller model or a lower resolution, for the ladder to fall back on."""

from __future__ import annotations

import re
from pathlib import Path

from edge_sdk.bundle.manifest import Manifest, Variant, schema_version_for
from edge_sdk.bundle.read import Bundle
from edge_sdk.bundle.write import stored_files, write_bundle
from edge_sdk.errors import BundleError, ConfigError


def add_variants(base: Bundle, other: Bundle, output: Path, *, suffix: str, overwrite: bool = False) -> tuple[str, ...]:
    """Write a bundle with the variants of both.

    Args:
        base: comes first, and stays as it is.
        other: its variants follow, with a contract, task, golden vectors and figures of their own where these are not the base's.
        output: the bundle to write.
        suffix: what their ids end in, such as ``"small"``: ``tflite-int8-small``.
        overwrite: whether ``output`` may be replaced.

    Returns:
        The ids of the variants that were added.

    Raises:
        BundleError: if the two do not solve the same task with the same labels, or an id is there already.
        ConfigError: if the suffix is no plain word.
        OutputError: if ``output`` cannot be written.
    """
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]*", suffix):
        raise ConfigError(f"a suffix is of letters, digits and . _ -, such as small; found {suffix!r}")
    _check_alike(base, other)
    files = {name: base.read(name) for name in base.manifest.files}
    added = []
    for variant in other.manifest.variants:
        id_ = f"{variant.id}-{suffix}"
        if id_ in {v.id for v in base.manifest.variants}:
            raise BundleError(f"{base.path} has a variant {id_!r} already; give another suffix than {suffix!r}")
        golden_inputs = _golden_inputs(base, other, variant, suffix, files)
        moved = _moved(variant, id_, other, files)
        added.append(moved.model_copy(update=_own(base, other, variant, golden_inputs)))
    variants = (*base.manifest.variants, *added)
    manifest = base.manifest.model_copy(
        update={
            "variants": variants,
            "schema_version": max(
                base.manifest.schema_version,
                other.manifest.schema_version,
                schema_version_for(variants, base.manifest.task, base.manifest.contract),
            ),
            "boards": tuple(dict.fromkeys((*base.manifest.boards, *other.manifest.boards))),
            "files": stored_files(files),
        }
    )
    write_bundle(output, Manifest.model_validate(manifest.model_dump()), files, overwrite=overwrite)
    return tuple(variant.id for variant in added)


def _check_alike(base: Bundle, other: Bundle) -> None:
    kinds = base.manifest.task.kind, other.manifest.task.kind
    if kinds[0] != kinds[1]:
        raise BundleError(
            f"{base.path} has task {kinds[0]}, {other.path} has {kinds[1]}; variants of one bundle give the same kind of value"
        )
    if base.labels() != other.labels():
        raise BundleError(
            f"{base.path} and {other.path} have different labels ({len(base.labels())} and {len(other.labels())}); variants of one bundle "
            "share them: convert both with the same labels"
        )


def _golden_inputs(base: Bundle, other: Bundle, variant: Variant, suffix: str, files: dict[str, bytes]) -> str | None:
    """The entry with the golden inputs of a variant of ``other``, added where the base has not the same."""
    name = other.golden_inputs_of(variant)
    if name is None:
        return None
    content = other.read(name)
    if base.manifest.golden_inputs is not None and files[base.manifest.golden_inputs] == content:
        return base.manifest.golden_inputs
    return _put(files, f"golden/inputs-{suffix}.npz", content)


def _moved(variant: Variant, id_: str, other: Bundle, files: dict[str, bytes]) -> Variant:
    file = _put(files, f"variants/{id_}{Path(variant.file).suffix}", other.read(variant.file))
    golden = None
    if variant.golden is not None:
        golden = _put(files, f"golden/{id_}.npz", other.read(variant.golden))
    plan = None if variant.plan is None else _put(files, f"plans/{id_}.json", other.read(variant.plan))
    segments = tuple(_put(files, f"variants/{id_}{Path(name).suffix}", other.read(name)) for name in variant.segments)
    moved = {"id": id_, "file": file, "golden": golden, "plan": plan, "segments": segments}
    return variant.model_copy(update=moved)


def _put(files: dict[str, bytes], name: str, content: bytes) -> str:
    """Add an entry and give its name: this one, or with a number where others have it, as after an addition with the same suffix."""
    place, number = Path(name), 1
    while files.setdefault(str(place), content) != content:
        number += 1
        place = Path(name).with_stem(f"{Path(name).stem}-{number}")
    return str(place)


def _own(base: Bundle, other: Bundle, variant: Variant, golden_inputs: str | None) -> dict[str, object]:
    """What the variant does not share with the base."""
    contract, task = other.contract_of(variant), other.task_of(variant)
    return {
        "contract": None if contract == base.manifest.contract else contract,
        "task": None if task == base.manifest.task else task,
        "golden_inputs": None if golden_inputs == base.manifest.golden_inputs else golden_inputs,
        "measured": dict(other.measured_of(variant)),
    }
