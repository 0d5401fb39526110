"""The options of engine onnx, checked."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edge_sdk.engines import OPTIONS, Options
from edge_sdk.engines.options import check_options, threads_of
from edge_sdk.errors import ConfigError

PROVIDERS = {"tensorrt": "TensorrtExecutionProvider", "cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}
BUILD_S = 1_800.0


@dataclass(frozen=True)
class OnnxSettings:
    """How a model is run.

    Attributes:
        providers: names of ``PROVIDERS`` in the order in which they may take operators; empty for the board's.
        threads: of the processor, within an operator.
        spin: threads wait for each other awake: sooner on an idle machine, and a core each is busy.
        cache: folder for what TensorRT builds; None where none is named and this user has no home.
        build_s: the longest that a build may take.
        int8, fp16: what TensorRT may compute in; None for what the model is in.
        workspace_mb: memory that TensorRT may use while it tries kernels; 0 for its default.
        gpu: CUDA's number of the GPU.
    """

    providers: tuple[str, ...]
    threads: int
    spin: bool
    cache: Path | None
    build_s: float
    int8: bool | None
    fp16: bool | None
    workspace_mb: int
    gpu: int


def settings_from(options: Options) -> OnnxSettings:
    """The settings of these options.

    Raises:
        ConfigError: if one is unknown or out of range.
    """
    check_options("onnx", options, OPTIONS["onnx"])
    return OnnxSettings(
        providers=_providers(options.get("providers", "")),
        threads=threads_of("onnx", options),
        spin=_on(options, "spin") or False,
        cache=_named_folder(options["cache"]) if options.get("cache") else default_cache(),
        build_s=_number(options, "build_s", BUILD_S, 1, 86_400),
        int8=_on(options, "int8"),
        fp16=_on(options, "fp16"),
        workspace_mb=int(_number(options, "workspace_mb", 0, 0, 1 << 20)),
        gpu=int(_number(options, "gpu", 0, 0, 63)),
    )


def default_cache() -> Path | None:
    """Below the user's cache folder (XDG Base Directory Specification); None where there is no home, as for some users of containers."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "edge-sdk" / "tensorrt"
    except RuntimeError:
        return None


def _named_folder(told: str) -> Path:
    try:
        return Path(told).expanduser()
    except RuntimeError as exc:
        raise ConfigError(f"engine onnx: cache is a folder; of {told!r} there is no home") from exc


def _providers(told: str) -> tuple[str, ...]:
    named = tuple(name.strip() for name in told.split(",")) if told else ()
    if unknown := [name for name in named if name not in PROVIDERS]:
        raise ConfigError(
            f"engine onnx: providers are some of {', '.join(PROVIDERS)}, joined by commas; found {unknown[0]!r}"
        )
    if len(set(named)) < len(named) or "cpu" in named[:-1]:
        raise ConfigError(f"engine onnx: each provider stands once, cpu behind all others; found {told!r}")
    return named


def _on(options: Options, key: str) -> bool | None:
    """``on`` or ``off``, None where it is left out."""
    told = options.get(key)
    if told not in (None, "on", "off"):
        raise ConfigError(f"engine onnx: {key} is on or off; found {told!r}")
    return None if told is None else told == "on"


def _number(options: Options, key: str, default: float, low: float, high: float) -> float:
    try:
        number = float(options.get(key, default))
    except ValueError:
        number = float("nan")
    if not low <= number <= high:
        raise ConfigError(f"engine onnx: {key} is a number from {low:g} to {high:g}; found {options[key]!r}")
    return number
