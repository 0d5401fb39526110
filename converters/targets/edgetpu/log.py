"""What Google's Edge TPU compiler says of its work: its output, and the ``.log`` file that it writes beside each model.

The form is documented by example only. This reads that of versions 2.0 to 16.0, as they stand in public reports of the issue tracker
google-coral/edgetpu (#4, #60, #75, #168, #427, #453, #458, #671, #708). A line that is none of these is kept as unknown, to be shown.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

MAPPED = "Mapped to Edge TPU"
_UNITS = {"B": 0, "KiB": 10, "MiB": 20, "GiB": 30}
_SIZE = re.compile(r"([0-9.]{1,16})\s*(B|KiB|MiB|GiB)")
_VERSION = re.compile(r"Edge TPU Compiler version ([0-9]{1,9}(?:\.[0-9]{1,12}){0,3})")
_ROW = re.compile(r"(\S+)\s+([0-9]{1,9})\s+(\S.*)")
_HEAD = re.compile(r"Operator\s+Count\s+Status")
_DONE = re.compile(r"Models? compiled successfully in ([0-9]{1,12}) ms")
_STARTS = ("Input model", "Input")
_TEXTS = {"Output model": "output", "Output": "output"}
_SIZES = {
    "Input size": "input_size",
    "Output size": "output_size",
    "On-chip memory used for caching model parameters": "cached",
    "On-chip memory remaining for caching model parameters": "remaining",
    "Off-chip memory used for streaming uncached model parameters": "streamed",
}
_COUNTS = {
    "Number of Edge TPU subgraphs": "subgraphs",
    "Total number of operations": "operations",
    "Number of operations that will run on Edge TPU": "on_tpu",
    "Number of operations that will run on CPU": "on_cpu",
}
_SAYS_NOTHING = re.compile(
    r"Started a compilation timeout timer of |Compilation child process completed within timeout period|Compilation succeeded!"
    r"|Model successfully compiled but not all operations are supported|See the operation log file for |Operation log: "
    r"|Searching for valid delegate with step |Try to compile segment with |Intermediate tensors: "
)
_FAILURE = re.compile(
    r"ERROR: |Compilation failed|Internal compiler error|Invalid model: |Model not quantized|terminating with uncaught exception|Error: "
)


@dataclass(frozen=True)
class Size:
    """Bytes as the log rounds them: the true number is at most ``within`` from ``size_bytes``."""

    size_bytes: float
    within: float

    @staticmethod
    def read(text: str) -> Size | None:
        """Of text such as ``3.33MiB``; None if it is none."""
        found = _SIZE.fullmatch(text)
        if found is None or found[1].count(".") > 1 or found[1] == ".":
            return None
        unit = 1 << _UNITS[found[2]]
        decimals = len(found[1].partition(".")[2])
        return Size(float(found[1]) * unit, 0.0 if found[2] == "B" else unit * 10.0**-decimals)

    def is_about(self, size_bytes: int) -> bool:
        """Whether it may stand for so many bytes."""
        return abs(self.size_bytes - size_bytes) <= self.within


@dataclass(frozen=True)
class Row:
    """One row of the operator table: so many operators of this name, mapped or not and why."""

    name: str
    count: int
    status: str

    @property
    def mapped(self) -> bool:
        """Whether they run on the Edge TPU."""
        return self.status == MAPPED


@dataclass(frozen=True)
class ModelLog:
    """What is said of one model; None for what is not said.

    Attributes:
        input, output: names of files.
        cached, streamed: parameters kept on the chip, and sent at every inference; remaining: room for more on the chip.
        subgraphs: partitions on the Edge TPU.
        operations, on_tpu, on_cpu: how many operators; the latter two are said only where some stay on the processor.
        rows: the operator table; empty where there is none.
    """

    input: str
    output: str | None = None
    input_size: Size | None = None
    output_size: Size | None = None
    cached: Size | None = None
    remaining: Size | None = None
    streamed: Size | None = None
    subgraphs: int | None = None
    operations: int | None = None
    on_tpu: int | None = None
    on_cpu: int | None = None
    rows: tuple[Row, ...] = ()

    def counts(self, *, mapped: bool) -> Counter[str]:
        """How many operators of each name the table has, mapped or left on the processor."""
        counts: Counter[str] = Counter()
        for row in self.rows:
            if row.mapped is mapped:
                counts[row.name] += row.count
        return counts


@dataclass(frozen=True)
class CompilerLog:
    """What the compiler said.

    Attributes:
        version: of the compiler, or None.
        compile_ms: the time that it took, or None.
        models: in the order of its output.
        failures: lines that say why it failed.
        unknown: lines that this reader knows nothing of.
    """

    version: str | None = None
    compile_ms: int | None = None
    models: tuple[ModelLog, ...] = ()
    failures: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def read_version(text: str) -> str | None:
    """The version in ``edgetpu_compiler --version``'s output, such as ``16.0.384591198``; None if there is none."""
    found = _VERSION.search(text)
    return None if found is None else found[1]


def read_log(text: str) -> CompilerLog:
    """Read the compiler's output, or a ``.log`` file of it."""
    reading = _Reading()
    for line in text.splitlines():
        if line.strip():
            reading.take(line.strip())
    return CompilerLog(
        reading.version, reading.compile_ms, tuple(reading.models), tuple(reading.failures), tuple(reading.unknown)
    )


def join(output: CompilerLog, files: Sequence[CompilerLog]) -> CompilerLog:
    """The output, with what the ``.log`` files say beyond it: operator tables where it was told to print none."""
    models = list(output.models)
    for model in (model for file in files for model in file.models):
        place = next((i for i, known in enumerate(models) if _file(known) == _file(model)), None)
        if place is None:
            models.append(model)
        elif not models[place].rows:
            models[place] = replace(models[place], rows=model.rows)
    failures, unknown = (
        tuple(dict.fromkeys(line for log in (output, *files) for line in getattr(log, name)))
        for name in ("failures", "unknown")
    )
    return replace(output, models=tuple(models), failures=failures, unknown=unknown)


def _file(model: ModelLog) -> str:
    return (model.output or model.input).rpartition("/")[2]


@dataclass
class _Reading:
    version: str | None = None
    compile_ms: int | None = None
    models: list[ModelLog] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    in_table: bool = False

    def take(self, line: str) -> None:
        row = _ROW.fullmatch(line) if self.in_table else None
        self.in_table = row is not None or _HEAD.fullmatch(line) is not None
        if row is not None:
            self._of_model(rows=(*self._last().rows, Row(row[1], int(row[2]), row[3])))
        elif self.in_table or _SAYS_NOTHING.match(line):
            return
        elif _FAILURE.match(line):
            self.failures.append(line)
        elif (version := read_version(line)) is not None:
            self.version = version
        elif (done := _DONE.match(line)) is not None:
            self.compile_ms = int(done[1])
        elif not self._fact(*line.partition(": ")[::2]):
            self.unknown.append(line)

    def _fact(self, key: str, value: str) -> bool:
        """Take a line ``key: value``; False if it is none that is known."""
        if key in _STARTS:
            self.models.append(ModelLog(input=value))
        elif key in _TEXTS:
            self._of_model(**{_TEXTS[key]: value})
        elif key in _SIZES and (size := Size.read(value)) is not None:
            self._of_model(**{_SIZES[key]: size})
        elif key in _COUNTS and re.fullmatch("[0-9]{1,12}", value):
            self._of_model(**{_COUNTS[key]: int(value)})
        else:
            return False
        return True

    def _last(self) -> ModelLog:
        if not self.models:
            self.models.append(ModelLog(input=""))
        return self.models[-1]

    def _of_model(self, **found: object) -> None:
        self.models[-1:] = [replace(self._last(), **found)]  # type: ignore[arg-type]
