"""docs/deployments.md: its commands run as they stand there, and say what is copied there, but for the numbers."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import pytest

from tests.serving.servers import Server, free_ports, python_of

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs/deployments.md").read_text()
BLOCKS = [textwrap.dedent(block).lstrip("\n") for block in re.findall(r"(?m)(?:^    .*\n|^\n(?=    ))+", TEXT)]
SHELL = re.compile(r"(?:edge-sdk|pip|MLSERVER_\w+=)")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
Run = Callable[..., tuple[str, str]]

# MLServer's environment may have to be made first.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def shown() -> Iterator[tuple[str, str]]:
    """Each command with the output that is copied below it, which may be none."""
    for block in BLOCKS:
        command, output = "", ""
        for line in block.splitlines(keepends=True):
            if command.endswith("\\\n"):
                command += line
            elif SHELL.match(line):
                if command:
                    yield command, output
                command, output = line, ""
            else:
                output += line
        if command:
            yield command, output


def command_and_output(begins: str, holds: str = "") -> tuple[str, str]:
    (found,) = [each for each in shown() if each[0].startswith(begins) and holds in each[0]]
    return found


def form(text: str) -> str:
    """Without its numbers, and in one line: long ones are folded on the page."""
    return " ".join(NUMBER.sub("N", text).split())


def assert_says(said: str, copied: str) -> None:
    """What was copied is of the form of what was said now, piece by piece, in this order."""
    rest = form(said)
    for piece in filter(None, map(form, re.split(r"(?m)^\s*\.\.\.$", copied))):
        before, found, rest = rest.partition(piece)
        assert found, f"{piece}\nis not in\n{before}"


@pytest.fixture(scope="module")
def run(face_model: Path, carphone: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Runs a command of the page; gives what it says and what is copied there. The bundle is made already."""
    for package in ("onnxruntime", "openvino", "grpc"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    folder = tmp_path_factory.mktemp("deployments")
    shutil.copy(face_model, folder / "face.tflite")
    shutil.copy(carphone, folder / "clip.mp4")
    for name, target in (("model.toml", "face.toml"), ("labels.txt", "labels.txt")):
        shutil.copy(ROOT / "examples/face" / name, folder / target)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.chdir(folder)

        def run_shown(begins: str, holds: str = "", *, code: int = 0) -> tuple[str, str]:
            command, copied = command_and_output(begins, holds)
            script = command.replace("edge-sdk ", f"{sys.executable} -m edge_sdk.cli ", 1)
            done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=False)
            assert done.returncode == code, done.stderr
            return done.stderr + done.stdout, copied

        assert_says(*run_shown("edge-sdk convert"))
        yield run_shown


def test_all_local(run: Run) -> None:
    said, copied = run("edge-sdk tune")
    names = re.findall(r"(?m)^ +(\S+ on \w+), threads=\d +0 ", copied)
    assert len(names) == 4
    for name in names:
        assert re.search(rf"{name}, threads=1 +0 ( +[\d.]+){{5}} +\w", said), said
    assert re.search(r"p50 [\d.]+ ms, p95 [\d.]+ ms; the fastest of \d+ measured", said)
    said, copied = run("edge-sdk run face.edge --source file:clip.mp4 --deadline 50\n")
    assert re.search(r"(?m)^tuned: \S+ on \w+, threads=\d runs, as measured here", said)
    assert row_of(said)[0] == "120"
    assert_says(said, copied.partition("of its own\n")[2])  # which variant runs is this machine's choice


def test_jetson_on_the_processor(run: Run) -> None:
    assert_says(*run("edge-sdk inspect"))
    (error,) = [block for block in BLOCKS if block.startswith("error:")]
    assert_says(run("edge-sdk bench face.edge --board jetson-orin-nano\n", code=1)[0], error)
    assert_says(*run("edge-sdk bench", "providers=cpu"))
    assert_says(*run("edge-sdk run", "providers=cpu"))


def test_hybrid_with_a_server_that_is_killed_and_comes_back(run: Run) -> None:
    assert_says(*run("edge-sdk export"))
    ports, log = free_ports(3), Path("mlserver.log")
    (toml,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    Path("app.toml").write_text(toml.replace("127.0.0.1:8081", f"127.0.0.1:{ports[1]}"))
    words = [sys.executable, "-m", "edge_sdk.cli", *command_and_output("edge-sdk run app.toml")[0].split()[1:]]
    with (
        mlserver(*ports, log) as server,
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as loop,
    ):
        said = read_until(loop, "remote_up: the server answers as it should", "#330 ")  # each event at most every 10 s
        server.kill()
        said += read_until(loop, "remote_down:", "face 0.")
        with mlserver(*ports, log):
            said += read_until(loop, "remote_(up|slow): the server", "face 0.")  # slow, where other programs work too
            loop.send_signal(signal.SIGINT)
            said += read_until(loop)
        assert loop.wait() == 130, said
    captured, on_time, late, *rest = map(int, row_of(said))
    assert captured == on_time + late and late <= 0.02 * captured, said  # some other program may take the processor
    assert rest == [0, 0, 0, 0]
    (copied,) = [block for block in BLOCKS if block.startswith("remote_up:")]
    for begins in ("  captured    on time", "remote (hybrid, prefer remote): v2-grpc", "results: "):
        (line,) = [each for each in copied.splitlines() if each.startswith(begins)]
        assert form(line).removesuffix(", in use") in form(said)


def row_of(said: str) -> list[str]:
    """What became of the samples: the row below "captured"."""
    return said.partition("captured ")[2].splitlines()[1].split()


@contextmanager
def mlserver(http: int, grpc: int, metrics: int, log: Path) -> Iterator[Server]:
    """Started as the page says, on these ports."""
    given = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    given |= {
        f"MLSERVER_{name}_PORT": str(port)
        for name, port in zip(("HTTP", "GRPC", "METRICS"), (http, grpc, metrics), strict=True)
    }
    given["PATH"] = f"{python_of('mlserver').parent}:{given['PATH']}"
    command = ["bash", "-c", command_and_output("MLSERVER_HOST")[0]]
    with log.open("ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=given, start_new_session=True)
    server = Server(process, f"http://127.0.0.1:{http}", f"grpc://127.0.0.1:{grpc}", log)
    try:
        server.wait_until(lambda: server.get("/v2/health/ready")[0] == 200)
        yield server
    finally:
        if process.poll() is None:
            server.kill()


def read_until(loop: subprocess.Popen[str], *marks: str) -> str:
    """What it says until each of the marks was said, in this order; without one, until it ends."""
    assert loop.stdout is not None
    lines, waiting = list[str](), list(marks)
    limit = Timer(180, loop.kill)
    limit.start()
    try:
        for line in loop.stdout:
            lines.append(line)
            if waiting and re.search(waiting[0], line):
                waiting.pop(0)
                if not waiting:
                    break
    finally:
        limit.cancel()
    assert not waiting, f"not said: {waiting}; but {''.join(lines)}"
    return "".join(lines)
