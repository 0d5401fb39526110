"""Checks of ONNX Runtime: that it is there once, and has the providers of the board's GPU."""

from __future__ import annotations

from edge_sdk.doctor.environment import Environment
from edge_sdk.doctor.finding import Finding, fault, ok, warning
from edge_sdk.errors import BoardError

PACKAGES = ("onnxruntime", "onnxruntime-gpu")  # both bring the module onnxruntime
INSTALL = "pip install 'edge-device-sdk[onnx-runtime]'"
_GUIDE = "see docs/devices/jetson.md"
_CHECK = "onnxruntime"
_PROVIDERS = {"tensorrt": "TensorrtExecutionProvider", "cuda": "CUDAExecutionProvider"}


def check_onnxruntime(env: Environment) -> list[Finding]:
    """ONNX Runtime, where it is installed or the board's GPU needs it."""
    installed = [name for name in PACKAGES if name in env.packages]
    wanted, install = _of_the_board(env)
    if len(installed) > 1:
        listed = " and ".join(f"{name} {env.version(name)}" for name in installed)
        again = install if wanted else INSTALL
        return [
            fault(
                _CHECK,
                f"{listed} are both installed, as one module: the last one installed won, and removing either breaks it",
                f"pip uninstall {' '.join(installed)}; {again}",
            )
        ]
    if not installed and not wanted:
        return [ok(_CHECK, "not installed; ONNX variants alone need it")]
    if not installed:
        said = "ONNX Runtime is not installed: the GPU of this board cannot be used, and no ONNX variant runs"
        return [warning(_CHECK, said, install)]
    return [_of_the_package(env, installed[0], wanted, install)]


def install_line(env: Environment) -> str:
    """What installs an ONNX Runtime that fits the board."""
    return _of_the_board(env)[1]


def _of_the_package(env: Environment, name: str, wanted: tuple[str, ...], install: str) -> Finding:
    probe = env.providers_probe(env.search_path)
    found = f"{name} {env.version(name)}"
    if not probe.worked:
        again = install if wanted else f"pip install --force-reinstall {name}"
        return fault(_CHECK, f"{found} is installed but cannot be imported: {probe.said}", again)
    missing = [provider for provider in wanted if _PROVIDERS[provider] not in probe.said]
    if missing:
        said = f"{found} has {probe.said}, and not this board's {', '.join(missing)}: models run on the processor"
        return warning(_CHECK, said, f"pip uninstall {name}; {install}")
    return ok(_CHECK, f"{found} has {probe.said}")


def _of_the_board(env: Environment) -> tuple[tuple[str, ...], str]:
    """The providers of the board's GPU, and what installs an ONNX Runtime with them."""
    try:
        name = env.detection().board
    except (BoardError, ImportError):  # check_board has said it, with the fix
        return (), INSTALL
    from boards import Computer, load

    board = load(name) if name else None
    if not isinstance(board, Computer) or board.gpu is None or not board.gpu.providers:
        return (), INSTALL
    python = f"{env.python[0]}.{env.python[1]}"
    ways = [system.onnxruntime for system in board.systems if system.onnxruntime and system.python == python]
    return tuple(board.gpu.providers), ways[0] if ways else f"{_GUIDE}: there is no package for this Python"
