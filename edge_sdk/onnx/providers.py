"""Which of ONNX Runtime's providers run a model: those that were named, else the board's; what is missing is never passed over."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from edge_sdk.errors import EngineError
from edge_sdk.onnx.settings import PROVIDERS
from edge_sdk.profiles import our_boards

_TITLES = {"tensorrt": "TensorRT", "cuda": "CUDA", "cpu": "CPU"}
INSTALL = "On a Jetson install NVIDIA's onnxruntime-gpu for its JetPack (docs/devices/jetson.md), and no onnxruntime beside it"


@dataclass(frozen=True)
class Choice:
    """What runs a model.

    Attributes:
        names: of ``PROVIDERS``, in order.
        missing: those that the board has and this onnxruntime has not.
    """

    names: tuple[str, ...]
    missing: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """That something is missing; empty where nothing is."""
        return f"without this board's {titles(self.missing)}" if self.missing else ""


def choose(runtime: Any, named: tuple[str, ...]) -> Choice:
    """The providers for a model.

    Args:
        runtime: the module ``onnxruntime``.
        named: by the user; empty for those of the board.

    Raises:
        EngineError: if one that was named is not in this onnxruntime.
        BoardError: if the boards' profiles are broken.
    """
    there = set(runtime.get_available_providers())
    offered = tuple(name for name, provider in PROVIDERS.items() if provider in there)
    if missing := [name for name in named if name not in offered]:
        raise EngineError(
            f"engine onnx: provider {missing[0]} is not in onnxruntime {runtime.__version__}, which has {', '.join(offered)}. {INSTALL}; "
            f"or name providers={','.join(offered)}"
        )
    wanted = named or board_providers()
    return Choice(
        tuple(name for name in wanted if name in offered), tuple(name for name in wanted if name not in offered)
    )


def titles(names: tuple[str, ...]) -> str:
    """For people: ``"TensorRT, CUDA, CPU"``."""
    return ", ".join(_TITLES[name] for name in names)


@cache
def board_providers() -> tuple[str, ...]:
    """Those that this board has, the one to try first in front.

    Raises:
        BoardError: if the profiles are broken.
    """
    with our_boards():
        from boards import Computer, load
        from boards.detect import detect
    name = detect().board
    board = load(name) if name else None
    gpu = board.gpu if isinstance(board, Computer) else None
    return (*(gpu.providers if gpu else ()), "cpu")
