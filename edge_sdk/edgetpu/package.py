"""What the compiler made of a model: the packages inside a compiled Edge TPU .tflite, read without the interpreter and without its schema.

A compiled model keeps one custom operator ``edgetpu-custom-op`` per partition. Its options are a FlexBuffer map, whose entry "4" is a
flatbuffer ``DWN1``: the package, with one or two executables. Source: google-coral/libedgetpu, ``tflite/custom_op_data.cc`` and
``executable/executable.fbs``.
Nothing in the file is believed (see ``flatbuffer.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edge_sdk.edgetpu.builtin_operators import NAMES
from edge_sdk.edgetpu.executable import Executable, read_executable
from edge_sdk.edgetpu.flatbuffer import Budget, Buffer, Table
from edge_sdk.edgetpu.flexbuffer import Value, read_map
from edge_sdk.errors import ModelError

CUSTOM_CODE = "edgetpu-custom-op"
RUNTIME_VERSION = 14  # the newest libedgetpu's; no package needs more (api/runtime_version.h)
_CUSTOM = 32  # BuiltinOperator.CUSTOM
_AGAIN = "get the file again, or compile the model again"


@dataclass(frozen=True)
class Package:
    """What one operator hands to the runtime.

    Attributes:
        min_runtime_version: that libedgetpu must have (``GetRuntimeVersion``); 10 to 14 exist.
        compiler_version: as the compiler writes it; a number of a change list, not that of ``edgetpu_compiler --version``.
        signature_bytes: 0 where it is not signed, which the runtime does not ask for.
        virtual_chip_id: -1 of a package for several chips in one, which holds ``chip_packages`` and which libedgetpu refuses.
        model_identifier: chosen by who compiled it.
    """

    min_runtime_version: int
    compiler_version: str
    signature_bytes: int
    keypair_version: int
    virtual_chip_id: int
    chip_packages: int
    model_identifier: str
    executables: tuple[Executable, ...]

    @property
    def main(self) -> Executable | None:
        """The executable that makes an inference, as libedgetpu chooses it; None where it refuses the package."""
        if self.refusal:
            return None
        kind = "stand-alone" if len(self.executables) == 3 else "execution-only"
        return self._of(kind) if len(self.executables) > 1 else self.executables[0]

    @property
    def caching(self) -> Executable | None:
        """The executable that loads parameters into the chip; None where nothing is cached."""
        return self._of("parameter-caching") if len(self.executables) == 2 and not self.refusal else None

    @property
    def cached_bytes(self) -> int:
        """Parameters that stay on the chip from one inference to the next."""
        return self.caching.parameter_bytes if self.caching else 0

    @property
    def streamed_bytes(self) -> int:
        """Parameters that are sent from the host at every inference."""
        return self.main.parameter_bytes if self.main else 0

    @property
    def token(self) -> int:
        """The caching token; 0 where nothing is cached or none is stated."""
        return self.caching.parameter_caching_token if self.caching else 0

    @property
    def refusal(self) -> str:
        """Why libedgetpu will not load it (``driver/package_registry.cc``); empty where nothing speaks against it."""
        kinds = [executable.kind for executable in self.executables]
        pair = {"parameter-caching", "execution-only"}
        if self.virtual_chip_id == -1:
            return "it is a package for several chips in one"
        if not kinds:
            return "it holds no executable"
        if len(set(kinds)) < len(kinds):
            return f"it holds several executables of one type: {', '.join(kinds)}"
        if len(kinds) > 1 and not pair <= set(kinds):
            return f"its executables do not go together: {' and '.join(kinds)}"
        if any(executable.batch_size < 1 for executable in self.executables):
            return "an executable takes a batch of less than one input"
        return ""

    def _of(self, kind: str) -> Executable:
        return next(executable for executable in self.executables if executable.kind == kind)


@dataclass(frozen=True)
class EdgeTpuOperator:
    """A custom operator that runs on the Edge TPU.

    Attributes:
        index, subgraph: its place in the model.
        inputs, outputs: names of the tensors that it takes and makes; constants among them.
        version: of its options.
        execution_preference: for NNAPI only; -1 is none, and None is not stated.
        chips: for which chip each of ``package`` and ``further_packages`` is, as numbers; empty where not stated.
        package: the one that the runtime takes.
        further_packages: for other chips; Coral's compiler makes none.
        deprecated_bytes: of a caching executable in the form of compilers before 1.0; the runtime ignores it.
    """

    index: int
    subgraph: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    version: int
    execution_preference: int | None
    chips: tuple[int, ...]
    package: Package
    further_packages: tuple[Package, ...]
    deprecated_bytes: int


@dataclass(frozen=True)
class CpuOperator:
    """An operator that stays on the processor; ``after_tpu`` where one for the Edge TPU stands before it."""

    index: int
    subgraph: int
    name: str
    outputs: tuple[str, ...]
    after_tpu: bool


@dataclass(frozen=True)
class CompiledModel:
    """A compiled model.

    Attributes:
        operators: those for the Edge TPU, one for each partition.
        cpu_operators: all others.
    """

    operators: tuple[EdgeTpuOperator, ...]
    cpu_operators: tuple[CpuOperator, ...]
    size_bytes: int

    @property
    def partitions(self) -> int:
        """How many times an inference goes to the Edge TPU."""
        return len(self.operators)

    @property
    def cached_bytes(self) -> int:
        """Parameters that stay on the chip from one inference to the next."""
        return sum(operator.package.cached_bytes for operator in self.operators)

    @property
    def streamed_bytes(self) -> int:
        """Parameters that are sent from the host at every inference."""
        return sum(operator.package.streamed_bytes for operator in self.operators)

    @property
    def instruction_bytes(self) -> int:
        """Instructions that are sent from the host at every inference."""
        return sum(main.instruction_bytes for main in self._mains())

    @property
    def input_bytes(self) -> int:
        """Activations that are sent to the Edge TPU at every inference, padding included."""
        return sum(layer.size_bytes * layer.executions for main in self._mains() for layer in main.input_layers)

    @property
    def output_bytes(self) -> int:
        """Activations that come back at every inference, padding included."""
        return sum(layer.size_bytes * layer.executions for main in self._mains() for layer in main.output_layers)

    @property
    def min_runtime_version(self) -> int:
        """What all of its packages need of libedgetpu."""
        return max(operator.package.min_runtime_version for operator in self.operators)

    @property
    def tokens(self) -> frozenset[int]:
        """The caching tokens of its packages, without 0."""
        return frozenset(operator.package.token for operator in self.operators) - {0}

    @property
    def refusal(self) -> str:
        """Why libedgetpu will not load it; empty where nothing in the file speaks against it."""
        refusals = [f"operator {op.index}: {op.package.refusal}" for op in self.operators if op.package.refusal]
        if self.min_runtime_version > RUNTIME_VERSION:
            refusals.append(
                f"it needs runtime version {self.min_runtime_version}, and the newest known is {RUNTIME_VERSION}"
            )
        return "; ".join(refusals)

    def compiled_together_with(self, other: CompiledModel) -> bool:
        """Whether both keep their parameters on the chip side by side (co-compiled).

        One file alone cannot tell: the compiler gives a model that is compiled alone a token of its own, and those that are compiled
        together a common one (coral.ai/docs/edgetpu/compiler).
        """
        return bool(self.tokens) and self.tokens == other.tokens

    def _mains(self) -> Iterator[Executable]:
        return (operator.package.main for operator in self.operators if operator.package.main)


def read_compiled(content: bytes) -> CompiledModel | None:
    """Read what the compiler left in a .tflite file.

    Returns:
        None where it has no operator for the Edge TPU: it is not compiled, or nothing of it could be mapped. Such a model is not checked.

    Raises:
        ModelError: if it is no .tflite model, or what is in its operators is damaged.
    """
    if content[4:8] != b"TFL3":
        raise ModelError(f"not a .tflite model: bytes 4 to 8 are {content[4:8]!r}, a model has b'TFL3' there")
    if CUSTOM_CODE.encode() not in content:
        return None
    buffer = Buffer(memoryview(content), "the model", Budget(len(content)))
    model = buffer.root()
    codes = [_code(code) for code in model.tables(1)]
    operators: list[EdgeTpuOperator] = []
    others: list[CpuOperator] = []
    for number, graph in enumerate(model.tables(2)):
        tensors = [tensor.text(3) for tensor in graph.tables(0)]
        for index, operator in enumerate(graph.tables(3)):
            opcode = operator.integer(0, "I")
            if opcode >= len(codes):
                raise buffer.damage(f"operator {index} has code {opcode} of {len(codes)}")
            inputs, outputs = (_names(buffer, operator.integers(field), tensors) for field in (1, 2))
            if codes[opcode] == CUSTOM_CODE:
                operators.append(_operator(buffer, operator, index, number, inputs, outputs))
            else:
                others.append(CpuOperator(index, number, codes[opcode], outputs, bool(operators)))
    return CompiledModel(tuple(operators), tuple(others), len(content)) if operators else None


def _code(code: Table) -> str:
    """The name of an operator; files from before 2020 state it only in the deprecated field."""
    number = max(code.integer(3), code.integer(0, "b"))
    if number == _CUSTOM:
        return code.text(1) or "CUSTOM"
    return NAMES[number] if 0 <= number < len(NAMES) else f"BUILTIN_{number}"


def _names(buffer: Buffer, indices: tuple[int, ...], tensors: list[str]) -> tuple[str, ...]:
    """Names of tensors; -1 is an optional one that was left out."""
    if not all(-1 <= i < len(tensors) for i in indices):
        raise buffer.damage(f"an operator takes or makes tensors {indices[:20]} of {len(tensors)}")
    return tuple(tensors[i] for i in indices if i >= 0)


def _operator(
    model: Buffer, table: Table, index: int, subgraph: int, inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> EdgeTpuOperator:
    what = f"operator {index} ({CUSTOM_CODE})"
    options = read_map(Buffer(_options(model, table), f"the options of {what}", model.budget))
    first, further = options.get("4"), _entries(options, "7")
    if not isinstance(first, memoryview) or not len(first):
        keys = ", ".join(sorted(options)) or "none"
        raise ModelError(
            f"{what} has no package: its options have the keys {keys}, a compiled operator has '4'; {_AGAIN}"
        )
    packages = [
        _package(Buffer(content, f"package {number} of {what}", model.budget))
        for number, content in enumerate((first, *further))
        if isinstance(content, memoryview)
    ]
    version, preference, deprecated = options.get("1"), options.get("5"), options.get("3")
    return EdgeTpuOperator(
        index=index,
        subgraph=subgraph,
        inputs=inputs,
        outputs=outputs,
        version=version if isinstance(version, int) else 0,
        execution_preference=preference if isinstance(preference, int) else None,
        chips=tuple(chip for chip in _entries(options, "6") if isinstance(chip, int)),
        package=packages[0],
        further_packages=tuple(packages[1:]),
        deprecated_bytes=len(deprecated) if isinstance(deprecated, memoryview) else 0,
    )


def _options(model: Buffer, operator: Table) -> memoryview:
    """An operator's custom options: inside of the flatbuffer, or behind it where they are large."""
    inside = operator.blob(5)
    return inside if len(inside) else model.piece(operator.integer(9, "Q"), operator.integer(10, "Q"))


def _entries(options: dict[str, Value], key: str) -> tuple[int | memoryview, ...]:
    found = options.get(key)
    return found if isinstance(found, tuple) else ()


def _package(buffer: Buffer) -> Package:
    table = buffer.root(b"DWN1")
    inner = table.blob(1)
    serialized = Buffer(inner, f"the executables of {buffer.what}", buffer.budget).root().blobs(0) if len(inner) else ()
    return Package(
        min_runtime_version=table.integer(0),
        compiler_version=table.text(4),
        signature_bytes=len(table.blob(2)),
        keypair_version=table.integer(3),
        virtual_chip_id=table.integer(5),
        chip_packages=table.count(6),
        model_identifier=table.text(7),
        executables=tuple(
            read_executable(Buffer(content, f"executable {number} of {buffer.what}", buffer.budget))
            for number, content in enumerate(serialized)
        ),
    )
