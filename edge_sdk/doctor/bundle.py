"""Check of one bundle on this machine."""

from __future__ import annotations

from pathlib import Path

from edge_sdk.doctor.environment import Environment
from edge_sdk.doctor.finding import Finding, fault, ok, warning
from edge_sdk.doctor.onnx import PACKAGES, install_line
from edge_sdk.errors import BoardError, EdgeSdkError


def check_bundle(env: Environment, path: Path) -> list[Finding]:
    """Whether the bundle is whole, and has a variant that this board runs."""
    check = "bundle"
    numpy = env.import_probe("numpy", env.search_path)
    if not numpy.worked:
        fix = "pip install --force-reinstall numpy (32 bits: sudo apt install python3-numpy)"
        return [fault(check, f"it cannot be read without numpy: {numpy.said}", fix)]
    from edge_sdk.bundle import Bundle

    try:
        with Bundle(path) as bundle:
            kinds = _kinds(env)
            if not kinds:
                listed = ", ".join(variant.id for variant in bundle.manifest.variants)
                return [
                    warning(
                        check,
                        f"{path} is whole and has {listed}; which of them this board runs is not known",
                        "see board above",
                    )
                ]
            variant = bundle.variant(kinds=kinds)
    except EdgeSdkError as exc:
        return [
            fault(check, str(exc), "convert again with --board for this board, or copy the file again if it is damaged")
        ]
    if variant.kind.startswith("onnx-") and not any(name in env.packages for name in PACKAGES):
        return [
            fault(
                check,
                f"{path} is whole, but its variant {variant.id} needs ONNX Runtime, which is not installed",
                install_line(env),
            )
        ]
    return [ok(check, f"{path} is whole; this board runs its variant {variant.id}")]


def _kinds(env: Environment) -> tuple[str, ...]:
    """Kinds of variants for this machine; none where it is not known, which the board's check has said."""
    try:
        return env.detection().variants
    except (BoardError, ImportError):
        return ()
