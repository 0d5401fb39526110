"""TensorRT behind ONNX Runtime: what is told to it, and what its builds depend on.

Options: https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html. Models in QDQ form hold their ranges, so int8
takes no calibration table.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

from edge_sdk.errors import EngineError
from edge_sdk.onnx.model import OnnxModel
from edge_sdk.onnx.settings import OnnxSettings

_LIBRARIES = ("libnvinfer.so.10", "libnvinfer.so.8", "libnvinfer.so")
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76  # CUdevice_attribute of cuda.h
_NEW_NUMBERS = 100_000  # from TensorRT 10 on a version is major * 10,000 + minor * 100 + patch, before major * 1,000 + minor * 100 + patch


def tensorrt_options(
    model: OnnxModel, settings: OnnxSettings, engines: Path, timing: Path | None = None
) -> dict[str, str]:
    """What the provider is told.

    Args:
        model: decides on int8 and float16 where the user does not.
        settings: the user's.
        engines: folder of the engines that are built.
        timing: folder of what was measured of kernels, for a build.
    """
    told = {
        "device_id": str(settings.gpu),
        "trt_int8_enable": _flag(uses_int8(model, settings)),
        "trt_fp16_enable": _flag(uses_fp16(model, settings)),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(engines),
        "trt_engine_cache_prefix": "edge-sdk",
        "trt_timing_cache_enable": _flag(timing is not None),
    }
    if timing is not None:
        told["trt_timing_cache_path"] = str(timing)
    if settings.workspace_mb:
        told["trt_max_workspace_size"] = str(settings.workspace_mb << 20)
    return told


def uses_int8(model: OnnxModel, settings: OnnxSettings) -> bool:
    """As told, else as the model is."""
    return model.quantized if settings.int8 is None else settings.int8


def uses_fp16(model: OnnxModel, settings: OnnxSettings) -> bool:
    """As told, else as the model is."""
    return model.halves if settings.fp16 is None else settings.fp16


def machine_facts(runtime: Any, gpu: int) -> dict[str, str]:
    """What every build depends on: the versions, and the GPU.

    Raises:
        EngineError: if TensorRT or CUDA are not there.
    """
    return {"onnxruntime": str(runtime.__version__), "tensorrt": tensorrt_version(), "gpu": gpu_name(gpu)}


def build_facts(machine: dict[str, str], model: OnnxModel, settings: OnnxSettings) -> dict[str, str]:
    """What the build of one model depends on."""
    return {
        **machine,
        "model": model.sha256,
        "int8": _flag(uses_int8(model, settings)),
        "fp16": _flag(uses_fp16(model, settings)),
        "workspace_mb": str(settings.workspace_mb),
    }


def tensorrt_version() -> str:
    """Of the library, such as ``"10.3.0"``.

    Raises:
        EngineError: if it cannot be loaded.
    """
    number = int(_library(_LIBRARIES, "TensorRT").getInferLibVersion())
    major, rest = divmod(number, 10_000 if number >= _NEW_NUMBERS else 1_000)
    return f"{major}.{rest // 100}.{rest % 100}"


def gpu_name(gpu: int) -> str:
    """Of a GPU, with its compute capability, such as ``"Orin, 8.7"``.

    Raises:
        EngineError: if CUDA's driver cannot be loaded, or has no such GPU.
    """
    cuda = _library(("libcuda.so.1",), "CUDA's driver")
    device, name = ctypes.c_int(), ctypes.create_string_buffer(128)
    major, minor = ctypes.c_int(), ctypes.c_int()
    codes = (
        cuda.cuInit(0),
        cuda.cuDeviceGet(ctypes.byref(device), gpu),
        cuda.cuDeviceGetName(name, len(name), device),
        cuda.cuDeviceGetAttribute(ctypes.byref(major), _CAPABILITY_MAJOR, device),
        cuda.cuDeviceGetAttribute(ctypes.byref(minor), _CAPABILITY_MINOR, device),
    )
    if code := next(filter(None, codes), 0):
        raise EngineError(
            f"engine onnx: CUDA has no GPU {gpu} (its error {code}). In a container, start it with --runtime nvidia"
        )
    return f"{name.value.decode(errors='replace')}, {major.value}.{minor.value}"


def _library(names: tuple[str, ...], thing: str) -> ctypes.CDLL:
    said = ""
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError as exc:
            said = said or str(exc)
    raise EngineError(
        f"engine onnx: {thing} cannot be loaded: {said}. It comes with JetPack (sudo apt install nvidia-jetpack); in a container, start "
        "that with --runtime nvidia; or leave tensorrt out of providers"
    )


def _flag(on: bool) -> str:
    return "1" if on else "0"
