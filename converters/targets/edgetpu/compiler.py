"""Google's ``edgetpu_compiler``: found, asked for its version, and run in a folder and a process group of its own.

It is closed and for x86-64 Linux only. Its options are those of https://coral.ai/docs/edgetpu/compiler. Nothing that it does is believed:
it may be missing, too old, crash, hang, print without end, or end well without a file, and each of them is one clear error.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from converters.targets.edgetpu.log import CompilerLog, ModelLog, join, read_log, read_version
from edge_sdk.errors import CompilerError, CompilerMissingError
from edge_sdk.inputs import read_plain_file
from edge_sdk.printable import printable_lines

NAME = "edgetpu_compiler"
VARIABLE = "EDGETPU_COMPILER"
DEFAULT_TIMEOUT_S = 180.0  # the compiler's own
OLDEST = (2, 0)  # the first that takes models of post-training quantization (coral.ai/news, August 2019)
_TIMED = (16, 0)  # the first that keeps a time itself, and prints it
_GRACE_S = 5.0  # for the compiler to end by its own time-out and say so
_LOOK_S = 0.05
_VERSION_S = 20.0
_MOST_OUTPUT = 16 << 20
_MOST_BYTES = 2 << 30  # a flatbuffer's offsets reach no further
_LAST_LINES = 12
GET_IT = (
    "Google gives it for x86-64 Linux only: the Debian package edgetpu-compiler of "
    "https://packages.cloud.google.com/apt coral-edgetpu-stable main; see https://coral.ai/docs/edgetpu/compiler"
)


@dataclass(frozen=True)
class Compiler:
    """The compiler that was found, and its version, such as ``16.0.384591198``."""

    path: str
    version: str

    @property
    def numbers(self) -> tuple[int, ...]:
        """The version, to compare."""
        return tuple(map(int, self.version.split(".")))


@dataclass(frozen=True)
class Source:
    """A model to compile: the name that its outputs begin with (each another), and its file's content."""

    name: str
    content: bytes


@dataclass(frozen=True)
class Options:
    """How it is compiled.

    Attributes:
        segments: pieces of a pipeline over so many Edge TPUs; of one model only.
        min_runtime_version: the oldest runtime that it must work with; None for the compiler's default.
        timeout_s: for the whole run.
    """

    segments: int = 1
    min_runtime_version: int | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S


@dataclass(frozen=True)
class Compiled:
    """What came of one model.

    Attributes:
        files: the compiled one, or the segments in their order, as (name, content).
        logs: what the compiler said of them.
    """

    source: Source
    files: tuple[tuple[str, bytes], ...]
    logs: tuple[ModelLog, ...]


@dataclass(frozen=True)
class Compilation:
    """What came of a run.

    Attributes:
        models: in the order they were given; several were compiled together, and share the chip's memory.
        output: what the compiler printed, as it is.
    """

    compiler: Compiler
    models: tuple[Compiled, ...]
    log: CompilerLog
    output: str


def find_compiler() -> Compiler:
    """The compiler that EDGETPU_COMPILER names, or that is on PATH.

    Raises:
        CompilerMissingError: if there is none.
        CompilerError: if it does not say its version, or is too old.
    """
    told = os.environ.get(VARIABLE)
    path = shutil.which(told or NAME)
    if path is None:
        where = f"{VARIABLE} is {told!r}, which is no program that can be run" if told else f"{NAME} is not on PATH"
        raise CompilerMissingError(f"{where}, so nothing was compiled. {GET_IT}. {VARIABLE} may name it")
    with tempfile.TemporaryDirectory(prefix="edge-sdk-compile-") as folder:
        code, output = _run([path, "--version"], Path(folder), _VERSION_S)
    version = read_version(output)
    if version is None:
        raise CompilerError(
            f"{path} --version {_how(code)} and says no version; the Edge TPU compiler says 'Edge TPU Compiler version 16.0...'. "
            f"It said:{_last(output)}"
        )
    compiler = Compiler(path, version)
    if compiler.numbers < OLDEST:
        raise CompilerError(
            f"{path} has version {version}; models of full-integer quantization need {'.'.join(map(str, OLDEST))} or newer. {GET_IT}"
        )
    return compiler


def command(options: Options, models: Sequence[str], *, timed: bool = True, program: str = NAME) -> list[str]:
    """The command line that compiles these files into the current folder."""
    told = [program, "--show_operations", "--out_dir", "."]
    if options.min_runtime_version is not None:
        told += ["--min_runtime_version", str(options.min_runtime_version)]
    if options.segments > 1:
        told += ["--num_segments", str(options.segments)]
    if timed:
        told += ["--timeout_sec", str(ceil(options.timeout_s))]
    return [*told, *models]


def run_compiler(compiler: Compiler, sources: Sequence[Source], options: Options) -> Compilation:
    """Compile models; several are compiled together.

    Raises:
        CompilerError: if the compiler fails, crashes, hangs, or leaves no file.
    """
    if options.segments > 1 and len(sources) > 1:
        raise CompilerError("segments are of one model; give one, or leave --segments out to compile several together")
    stems = _plain_names([source.name for source in sources])
    with tempfile.TemporaryDirectory(prefix="edge-sdk-compile-") as name:
        folder = Path(name)
        with _writing(folder):
            for stem, source in zip(stems, sources, strict=True):
                (folder / f"{stem}.tflite").write_bytes(source.content)
        files = [f"{stem}.tflite" for stem in stems]
        told = command(options, files, timed=compiler.numbers >= _TIMED, program=compiler.path)
        code, output = _run(told, folder, options.timeout_s + _GRACE_S)
        log = read_log(output)
        if code != 0:
            raise CompilerError(f"{NAME} {compiler.version} {_how(code)}; nothing was compiled.{_reason(log, output)}")
        log = join(log, [read_log(_text(file)) for file in sorted(folder.glob("*.log"))])
        models = tuple(
            _compiled(folder, stem, source, options.segments, log, output)
            for stem, source in zip(stems, sources, strict=True)
        )
    return Compilation(compiler, models, log, output)


def _plain_names(names: Sequence[str]) -> list[str]:
    """A plain file name for each, no two alike."""
    stems: list[str] = []
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:100].lstrip("-.") or "model"
        number, stem = 1, plain
        while stem in stems:
            number += 1
            stem = f"{plain}-{number}"
        stems.append(stem)
    return stems


def output_names(stem: str, segments: int) -> list[str]:
    """The files that the compiler makes of ``stem.tflite``."""
    if segments == 1:
        return [f"{stem}_edgetpu.tflite"]
    return [f"{stem}_segment_{number}_of_{segments}_edgetpu.tflite" for number in range(segments)]


def _compiled(folder: Path, stem: str, source: Source, segments: int, log: CompilerLog, output: str) -> Compiled:
    files, logs = [], []
    for name, named in zip(output_names(stem, segments), output_names(source.name, segments), strict=True):
        if not (folder / name).is_file():
            raise CompilerError(f"{NAME} ended well but left no {name}; nothing was compiled.{_reason(log, output)}")
        files.append(
            (named, read_plain_file(folder / name, CompilerError, give="a compiled model", most_bytes=_MOST_BYTES))
        )
        logs += [model for model in log.models if (model.output or "").rpartition("/")[2] == name]
    return Compiled(source, tuple(files), tuple(logs))


def _text(file: Path) -> str:
    return read_plain_file(file, CompilerError, give="a log", most_bytes=_MOST_OUTPUT).decode(errors="replace")


def _run(told: Sequence[str], folder: Path, timeout_s: float) -> tuple[int, str]:
    """Exit code (below 0: the signal that killed it) and output of a command; it and its children do not outlive the call."""
    printed = folder / "printed"
    with _writing(folder), printed.open("wb") as file:
        try:
            child = subprocess.Popen(
                told,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as exc:
            raise CompilerError(f"{told[0]} cannot be run: {exc.strerror}. {GET_IT}") from exc
    try:
        _watch(child, printed, timeout_s)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    output = printed.read_bytes().decode(errors="replace")
    printed.unlink()
    return child.returncode, output


def _watch(child: subprocess.Popen[bytes], printed: Path, timeout_s: float) -> None:
    stop = time.monotonic() + timeout_s
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_LOOK_S)
            return
        if time.monotonic() > stop:
            raise CompilerError(
                f"{NAME} had not come back after {timeout_s:g} s, and was killed with its children. Give it longer (--timeout), or "
                f"a smaller model. It said last:{_last(printed.read_bytes().decode(errors='replace'))}"
            )
        if printed.stat().st_size > _MOST_OUTPUT:
            raise CompilerError(f"{NAME} printed more than {_MOST_OUTPUT >> 20} MiB, and was killed with its children")


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise CompilerError(
            f"cannot write to {folder}, where models are compiled: {exc.strerror}; make room there, or let TMPDIR name another folder"
        ) from exc


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    return f"crashed ({signal.Signals(-code).name if -code in set(signal.Signals) else f'signal {-code}'})"


def _reason(log: CompilerLog, output: str) -> str:
    return _last("\n".join(dict.fromkeys(log.failures))) if log.failures else f" It said last:{_last(output)}"


def _last(output: str) -> str:
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    return (
        "".join(f"\n  {line}" for line in printable_lines("\n".join(lines[-_LAST_LINES:])).split("\n"))
        if lines
        else " nothing"
    )
