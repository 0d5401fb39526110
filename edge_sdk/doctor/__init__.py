"""What is wrong with this machine, and the exact fix. Imports no vendor library: those are tried in processes of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge_sdk.doctor.bundle import check_bundle
from edge_sdk.doctor.coral import check_coral
from edge_sdk.doctor.environment import Environment
from edge_sdk.doctor.finding import Finding
from edge_sdk.doctor.interpreter import check_interpreter, check_python
from edge_sdk.doctor.machine import check_board, check_camera, check_shared_memory, check_watchdog
from edge_sdk.doctor.onnx import check_onnxruntime
from edge_sdk.doctor.packages import check_namesakes, check_opencv

__all__ = ["CHECKS", "Environment", "Finding", "examine"]

CHECKS: tuple[Callable[[Environment], list[Finding]], ...] = (
    check_python,
    check_interpreter,
    check_namesakes,
    check_opencv,
    check_board,
    check_onnxruntime,
    check_coral,
    check_camera,
    check_shared_memory,
    check_watchdog,
)


def examine(env: Environment | None = None, *, bundle: Path | None = None) -> tuple[Finding, ...]:
    """Run every check.

    Args:
        env: the machine; default this one.
        bundle: a bundle that shall run here.
    """
    env = env or Environment()
    findings = [finding for check in CHECKS for finding in check(env)]
    if bundle is not None:
        findings += check_bundle(env, bundle)
    return tuple(findings)
