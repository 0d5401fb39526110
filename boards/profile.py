"""What a board's profile holds: the form of ``boards/NAME.toml``. Units stand in the keys; unknown keys are refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

VariantKind = Literal[
    "edgetpu",
    "ethos-u",
    "onnx-qdq",
    "onnx-float16",
    "openvino",
    "openvino-float16",
    "tflite-int8",
    "tflite-int16x8",
    "tflite-float16",
    "tflite-float32",
]
DeviceId = Annotated[str, Field(pattern="^[0-9a-f]{4}:[0-9a-f]{4}$")]
Version = Annotated[str, Field(pattern=r"^\d+\.\d+$")]
VersionRule = Annotated[str, Field(pattern=r"^(==|>=|<=)\d+(\.\w+)*$")]  # >=0 is any


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Processor(_Strict):
    """The processor that runs Python.

    Attributes:
        name: of the chip; ``core`` of the cores in it.
        instruction_set: such as ``"Armv8.2-A"``.
        features: what of it matters for int8, such as ``"dotprod"``.
        cores: how many, on the largest model; clock_mhz: the highest stock clock. None where they differ too much to say.
    """

    name: str
    core: str
    instruction_set: str
    features: tuple[str, ...] = ()
    cores: int | None = Field(default=None, ge=1)
    clock_mhz: int | None = Field(default=None, ge=1)


class Gpu(_Strict):
    """A GPU that engines can use.

    Attributes:
        providers: of ONNX Runtime that run on it, the one to try first in front.
    """

    name: str
    cuda_cores: int = Field(ge=1)
    providers: tuple[Literal["tensorrt", "cuda"], ...] = ()


class Roof(_Strict):
    """What the processor can do at most, by its makers.

    Attributes:
        memory_gb_s: 10^9 bytes a second between processor and memory.
        int8_macs_per_cycle: multiply-accumulate operations of one core in each cycle.
    """

    memory_gb_s: float = Field(gt=0)
    int8_macs_per_cycle: int | None = Field(default=None, ge=1)


class EthosU(_Strict):
    """Arm's NPU in the processor, and what its compiler, vela, is told of it.

    Attributes:
        accelerator: vela's name for it; ``system`` for its clock and memories, ``memory`` for which of them it uses.
        device_file: what its driver makes.
        delegate: the library by which an interpreter uses it.
    """

    accelerator: Annotated[str, Field(pattern=r"^ethos-u\d+-\d+$")]
    system: str
    memory: str
    device_file: str
    delegate: str


class Thermal(_Strict):
    """Where heat and throttling can be read. Files may hold ``*``; temperatures in files are in thousandths of a degree Celsius.

    Attributes:
        temperature_files: of the chip that gets hot first.
        zone_types: content of the ``type`` file beside the temperature file for the zones meant; empty for any.
        throttle_files: above 0 means that clocks or voltage are held down.
        throttle_celsius: from here on the clock sinks; critical_celsius: the highest that the board allows.
    """

    temperature_files: tuple[str, ...] = ()
    zone_types: tuple[str, ...] = ()
    throttle_files: tuple[str, ...] = ()
    throttle_celsius: float | None = None
    critical_celsius: float | None = None
    note: str = ""


class Camera(_Strict):
    """The camera stack, and what the source ``camera:0`` means with it."""

    stack: Literal["libcamera", "argus", "v4l2"]
    camera_0: str


class System(_Strict):
    """An operating system that people run on the board.

    Attributes:
        architecture: of Python and the libraries (the kernel's may be wider).
        python: the version that the system brings.
        supported: whether edge-sdk runs with that Python.
        way_on: what to do where it does not.
        tensorrt: the lowest version of TensorRT in its releases, and opset: the highest ONNX opset that this version takes.
        onnxruntime: what installs an ONNX Runtime with the providers of the board's GPU; empty where nobody offers one for its Python.
    """

    name: str
    architecture: Literal["aarch64", "armv7l", "x86_64"]
    python: Version
    supported: bool
    way_on: str = ""
    tensorrt: Version | None = None
    opset: int | None = Field(default=None, ge=9)
    onnxruntime: str = ""

    @model_validator(mode="after")
    def _says_the_way_on(self) -> System:
        if not self.supported and not self.way_on:
            raise ValueError(
                "a system that is not supported needs way_on: a newer Python, a container, or that there is none"
            )
        if (self.tensorrt is None) != (self.opset is None):
            raise ValueError("tensorrt and opset are stated together")
        return self


class Software(_Strict):
    """Versions of which somebody says that they work together, or that they do not.

    Attributes:
        interpreter: for people; its first word is the package.
        versions: those of the interpreter that are meant, any of these rules; empty where the text alone says.
        libraries: versions of the package of libedgetpu that are meant, with any revision behind a hyphen.
        works: whether they work together.
        verified: the source is of somebody who ran them on a device; otherwise it is concluded, or only said by who made them.
    """

    interpreter: str
    python: str
    libedgetpu: str = ""
    driver: str = ""
    versions: tuple[VersionRule, ...] = ()
    libraries: tuple[str, ...] = ()
    works: bool = True
    verified: bool = False
    source: str
    note: str = ""


class Detect(_Strict):
    """By what the board is known. Strings are compared as data: no code knows a board.

    Attributes:
        device_tree_models: a part of the device tree's ``model``, such as ``"Raspberry Pi 5"``.
        device_tree_compatibles: an entry of the device tree's ``compatible``, whole.
        tegra_boards: the ``BOARD:`` of /etc/nv_tegra_release, for containers that hide the device tree.
        machines: the kernel's machine name (``uname -m``), for the generic boards.
    """

    device_tree_models: tuple[str, ...] = ()
    device_tree_compatibles: tuple[str, ...] = ()
    tegra_boards: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()


class Connection(_Strict):
    """How an accelerator is attached to its host.

    Attributes:
        ids: vendor:device, four hexadecimal digits each, in lower case.
        device_files: what its driver makes; empty where there is no driver.
        library: what the host needs to drive it.
        needs: what else the host must have.
        full_speed_mbit_s: USB speed below which it is slower than it could be.
        page_size_bytes: the largest memory page that its driver copes with, and what to do on a host with larger ones.
    """

    bus: Literal["usb", "pci"]
    ids: tuple[DeviceId, ...] = Field(min_length=1)
    device_files: tuple[str, ...] = ()
    library: str
    needs: str
    full_speed_mbit_s: int | None = None
    page_size_bytes: int | None = None
    page_size_fix: str = ""


class Board(_Strict):
    """What every profile has.

    Attributes:
        name: the file's stem.
        title: its name for people.
        variants: kinds of variants it runs, the one to try first in front.
        engine_options: options of engines, by their name, that make them use it.
        software: versions that work together or do not, those to take in front.
        sources: who says so, by the key or section it covers.
        unverified: keys whose value no source was found for: taken from memory, to be checked.
    """

    name: str
    title: str
    variants: tuple[VariantKind, ...] = Field(min_length=1)
    engine_options: dict[str, dict[str, str]] = {}
    thermal: Thermal = Thermal()
    software: tuple[Software, ...] = ()
    sources: dict[str, tuple[str, ...]]
    unverified: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _says_its_sources(self) -> Board:
        named = (*self.sources, *self.unverified)
        if strangers := [key for key in named if not _has(self, key.split("."))]:
            raise ValueError(f"sources or unverified name {', '.join(strangers)}, which the profile does not state")
        facts = self.model_fields_set - {"name", "kind", "title", "engine_options", "software", "sources", "unverified"}
        covered = {key.partition(".")[0] for key in named}
        if bare := sorted(facts - covered):
            raise ValueError(f"neither sources nor unverified names {', '.join(bare)}")
        return self


class Computer(Board):
    """A board that runs Python itself.

    Attributes:
        memory_mb: the sizes it is sold with.
        ethos_u: the NPU that variants of kind ``ethos-u`` run on.
        accelerators: names of the accelerators that are built in.
        systems: the recommended one in front.
    """

    kind: Literal["computer"]
    processor: Processor
    gpu: Gpu | None = None
    roof: Roof | None = None
    ethos_u: EthosU | None = None
    memory_mb: tuple[int, ...] = ()
    accelerators: tuple[str, ...] = ()
    camera: Camera
    systems: tuple[System, ...] = Field(min_length=1)
    detect: Detect


class Accelerator(Board):
    """Something attached to a host, which is a computer with a profile of its own."""

    kind: Literal["accelerator"]
    sram_mb: int | None = None
    connection: Connection


def _has(value: Any, path: list[str]) -> bool:
    """Whether a model, or any of several, states the key of this path."""
    if isinstance(value, tuple):
        return any(_has(item, path) for item in value)
    if not path:
        return True
    if not isinstance(value, BaseModel) or path[0] not in value.model_fields_set:
        return False
    return _has(getattr(value, path[0]), path[1:])
