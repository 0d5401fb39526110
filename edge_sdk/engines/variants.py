"""Which engine runs which kind of variant, in which packages that is, and on what accelerator: the one table of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_sdk.edgetpu.devices import list_devices, system_root

ON_ANY_PROCESSOR = (
    "tflite-int8"  # runs where an accelerator's variant cannot, also beside one whose profile does not state it
)
_GPU_FILES = ("nvidia0", "nvhost-gpu", "nvgpu/igpu0")  # below /dev: a card's driver, that of older and of newer Jetsons
_OPENVINO_FILES = {"GPU": "dri/renderD*", "NPU": "accel/accel*"}  # below /dev, by OpenVINO's name of the device


def _edge_tpus() -> tuple[str, ...]:
    return tuple(map(str, list_devices()))


def _nvidia_gpus() -> tuple[str, ...]:
    return tuple(str(Path("/dev") / name) for name in _GPU_FILES if (system_root() / "dev" / name).exists())


def _intel_devices() -> tuple[str, ...]:
    """GPUs of any maker, and NPUs: OpenVINO says itself whether one is Intel's."""
    found = [path for pattern in _OPENVINO_FILES.values() for path in (system_root() / "dev").glob(pattern)]
    return tuple(sorted(str(Path("/dev") / path.relative_to(system_root() / "dev")) for path in found))


def _openvino_places() -> tuple[dict[str, str], ...]:
    there = (name for name, pattern in _OPENVINO_FILES.items() if any((system_root() / "dev").glob(pattern)))
    return tuple({"device": name} for name in there)


def _ethos_us() -> tuple[str, ...]:
    return tuple(str(Path("/dev") / file.name) for file in sorted((system_root() / "dev").glob("ethosu[0-9]*")))


@dataclass(frozen=True)
class VariantKind:
    """What is known of the kinds that begin so.

    Attributes:
        start: of the kind's name.
        engine: runs it; None where nothing of edge-sdk does on a computer.
        packages: distributions of which the engine takes the first that is installed.
        accelerator: that it runs on; empty for the processor.
        needed: whether it runs on that alone; else on the processor, too.
        seen: the accelerators that this machine shows, one text each.
        places: options by which the engine runs on those, each worth a trial.
        on_processor: options by which it then runs on the processor, where that is not the default.
    """

    start: str
    engine: str | None
    packages: tuple[str, ...] = ()
    accelerator: str = ""
    needed: bool = False
    seen: Callable[[], tuple[str, ...]] = tuple
    places: Callable[[], tuple[dict[str, str], ...]] = tuple
    on_processor: Mapping[str, str] = field(default_factory=dict)


_INTERPRETERS = ("ai-edge-litert", "tflite-runtime", "tensorflow", "tensorflow-cpu")
KINDS = (
    VariantKind("tflite-", "litert", _INTERPRETERS),
    VariantKind("edgetpu", "edgetpu", _INTERPRETERS, "Edge TPU", needed=True, seen=_edge_tpus),
    VariantKind(
        "onnx-",
        "onnx",
        ("onnxruntime-gpu", "onnxruntime"),
        "NVIDIA GPU",
        seen=_nvidia_gpus,
        places=lambda: ({},) if _nvidia_gpus() else (),
        on_processor={"providers": "cpu"},
    ),
    VariantKind("openvino", "openvino", ("openvino",), "GPU or NPU", seen=_intel_devices, places=_openvino_places),
    VariantKind("ethos-u", "litert", _INTERPRETERS, "Ethos-U", needed=True, seen=_ethos_us),
    VariantKind("null", "null"),
)
PARTICULAR = tuple(each.engine for each in KINDS if each.engine not in (None, "null"))  # run their own kinds only


def known_kind(kind: str) -> VariantKind | None:
    """What is known of a variant's kind; None for one of somebody else's."""
    return next((each for each in KINDS if kind.startswith(each.start)), None)


def needs_accelerator(kind: str) -> bool:
    """Whether variants of this kind run on a device which can be gone while the processor goes on."""
    known = known_kind(kind)
    return known is not None and known.needed


def missing_accelerator(kind: str) -> str:
    """The accelerator that this kind needs and this machine does not show, such as ``"Edge TPU"``; empty if nothing is missing."""
    known = known_kind(kind)
    return known.accelerator if known is not None and known.needed and not known.seen() else ""
