"""Google's compiler is driven so that whatever it does ends in its files or in one clear error, and in nothing left behind.

The compiler itself is closed and out of reach of the tests: real programs stand in for it, and misbehave as told.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

from converters.targets.edgetpu import compiler as driver
from converters.targets.edgetpu.compiler import Options, Source, find_compiler, run_compiler
from edge_sdk.errors import CompilerError, CompilerMissingError
from tests.edgetpu_logs import FAILED, LOG_FILE, TOGETHER
from tests.edgetpu_stand_in import COPIES, stand_in

NET = Source("net", b"a model")
QUICK = Options(timeout_s=0.5)


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def run(*sources: Source, options: Options = QUICK) -> driver.Compilation:
    return run_compiler(find_compiler(), sources or (NET,), options)


def test_a_model_is_compiled_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_temporary_folder: Path
) -> None:
    stand_in(tmp_path, monkeypatch)
    done = run(options=Options(min_runtime_version=13))
    assert done.compiler.version == "16.0.384591198"
    assert done.models[0].files == (("net_edgetpu.tflite", b"compiled 0 a model"),)
    assert done.log.compile_ms == 3
    told = (tmp_path / "told").read_text().replace("\n", " ")
    assert told == "--show_operations --out_dir . --min_runtime_version 13 --timeout_sec 180 net.tflite"
    assert list(own_temporary_folder.iterdir()) == []


def test_segments_come_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch)
    (model,) = run(options=Options(segments=3)).models
    assert [name for name, _ in model.files] == [f"net_segment_{n}_of_3_edgetpu.tflite" for n in range(3)]
    assert [content[:10] for _, content in model.files] == [b"compiled 0", b"compiled 1", b"compiled 2"]


def test_models_compiled_together_keep_apart_also_where_their_names_are_alike_or_odd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = COPIES + f"print({TOGETHER!r})\npathlib.Path('two_edgetpu.log').write_text({LOG_FILE!r})\n"
    stand_in(tmp_path, monkeypatch, script)
    done = run(Source("a b", b"1"), Source("a_b", b"2"), Source("-o", b"3"), Source("..", b"4"))
    assert [model.files for model in done.models] == [
        (("a b_edgetpu.tflite", b"compiled 0 1"),),
        (("a_b_edgetpu.tflite", b"compiled 0 2"),),
        (("-o_edgetpu.tflite", b"compiled 0 3"),),
        ((".._edgetpu.tflite", b"compiled 0 4"),),
    ]
    assert len(done.log.models[1].rows) == 5  # of the .log file
    with pytest.raises(CompilerError, match="segments are of one model"):
        run(NET, NET, options=Options(segments=2))


def test_an_old_compiler_is_not_told_of_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, version="15.0.340273435")
    run()
    assert "--timeout_sec" not in (tmp_path / "told").read_text()


def test_a_missing_compiler_says_where_it_may_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("EDGETPU_COMPILER", raising=False)
    with pytest.raises(CompilerMissingError, match=r"not on PATH.*x86-64 Linux only.*edgetpu-compiler.*coral\.ai"):
        find_compiler()


def test_the_variable_goes_over_path_and_never_falls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path / "other", monkeypatch, version="15.0.1")
    other = tmp_path / "other/bin/edgetpu_compiler"
    stand_in(tmp_path, monkeypatch)
    monkeypatch.setenv("EDGETPU_COMPILER", str(other))
    assert find_compiler() == driver.Compiler(str(other), "15.0.1")
    other.chmod(0o644)
    with pytest.raises(CompilerMissingError, match=r"EDGETPU_COMPILER is .*no program that can be run"):
        find_compiler()


def test_too_old_a_compiler_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, version="1.0.249710469")
    with pytest.raises(CompilerError, match=r"version 1\.0\.249710469; .* need 2\.0 or newer"):
        find_compiler()


@pytest.mark.parametrize("text", ["", "hello\x1b[31m", "Edge TPU Compiler version ?"])
def test_a_program_that_says_no_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    script = stand_in(tmp_path, monkeypatch)
    script.write_text(f"#!{sys.executable} -IS\nprint({text!r})\n")
    with pytest.raises(CompilerError, match="exit code 0 and says no version") as told:
        find_compiler()
    assert "\x1b" not in str(told.value)


def test_a_file_that_is_no_program_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch).write_bytes(b"\x7fELF of another machine")
    with pytest.raises(CompilerError, match="cannot be run: Exec format error"):
        find_compiler()


@pytest.mark.parametrize(("line", "text"), FAILED.items(), ids=lambda text: text[:30])
@pytest.mark.parametrize("code", [0, 1])
def test_a_failure_tells_the_compilers_own_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, text: str, code: int
) -> None:
    stand_in(tmp_path, monkeypatch, f"print({text!r})\nsys.exit({code})\n")
    with pytest.raises(CompilerError, match="nothing was compiled") as told:
        run()
    assert line in str(told.value)
    assert ("left no net_edgetpu.tflite" in str(told.value)) == (code == 0)


def test_a_file_beside_an_exit_code_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, COPIES + "sys.exit(7)\n")
    with pytest.raises(CompilerError, match="exit code 7"):
        run()


def test_a_crash_names_its_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, "print('so far', flush=True)\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    with pytest.raises(CompilerError, match=r"crashed \(SIGSEGV\); nothing was compiled. It said last:\n  so far"):
        run()


@pytest.mark.parametrize("text", ["out of cheese", "\x1b[2J\x07", ""])
def test_unknown_words_are_shown_without_control_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    stand_in(tmp_path, monkeypatch, f"print({text!r})\n")
    with pytest.raises(CompilerError, match="It said last: nothing" if not text else "It said last:\n  ") as told:
        run()
    assert str(told.value).replace("\n", "").isprintable()


def test_a_folder_in_the_files_place_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, "os.mkdir('net_edgetpu.tflite')\n")
    with pytest.raises(CompilerError, match=r"left no net_edgetpu\.tflite"):
        run()


def test_a_full_disk_is_told_by_the_compilers_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    stand_in(tmp_path, monkeypatch, body + "pathlib.Path('net_edgetpu.tflite').write_bytes(bytes(1 << 20))\n")
    with pytest.raises(CompilerError, match="exit code 1; nothing was compiled"):
        run()


def test_no_room_for_the_model_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stand_in(tmp_path, monkeypatch)
    found = find_compiler()
    code = textwrap.dedent("""
        import resource, signal
        from converters.targets.edgetpu.compiler import *
        from edge_sdk.errors import CompilerError
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            run_compiler(Compiler(%r, "16.0"), [Source("net", bytes(5000))], Options())
        except CompilerError as exc:
            print(exc)
    """)
    done = subprocess.run(
        [sys.executable, "-c", code % found.path], check=False, capture_output=True, text=True, timeout=60
    )
    assert "where models are compiled: File too large; make room there" in done.stdout, done


HANGS = """
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path({pids!r}).write_text(f"{{os.getpid()}} {{child.pid}}")
print("Started a compilation", flush=True)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(600)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pids: Path) -> bool:
    """Whether a stand-in and its child have ended: killed ones take a moment."""
    for pid in map(int, pids.read_text().split()):
        stop = time.monotonic() + 5
        while alive(pid) and time.monotonic() < stop:
            os.sched_yield()
        if alive(pid):
            return False
    return True


def test_a_compiler_that_hangs_is_killed_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, HANGS.format(pids=str(tmp_path / "pids")))
    monkeypatch.setattr(driver, "_GRACE_S", 0.5)
    with pytest.raises(
        CompilerError, match=r"not come back after 1 s, and was killed with its children.*\n  Started a compilation"
    ):
        run()
    assert gone(tmp_path / "pids")


def test_children_of_a_compiler_that_ended_are_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = HANGS.format(pids=str(tmp_path / "pids")).partition("signal.signal")[0]
    stand_in(tmp_path, monkeypatch, body + COPIES)
    run()
    assert gone(tmp_path / "pids")


def test_endless_output_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "_MOST_OUTPUT", 1 << 20)
    stand_in(tmp_path, monkeypatch, "while True: print('again' * 1000)\n")
    with pytest.raises(CompilerError, match="printed more than 1 MiB, and was killed"):
        run(options=Options(timeout_s=20))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_kills_the_compiler_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_temporary_folder: Path, number: int, code: int
) -> None:
    stand_in(tmp_path, monkeypatch, HANGS.format(pids=str(tmp_path / "pids")))
    (tmp_path / "net.tflite").write_bytes(b"a model")
    os.mkfifo(tmp_path / "pids")
    program = textwrap.dedent("""
        import sys
        from edge_sdk.cli.ending import end_tidily_on_signals
        from converters.targets.edgetpu.compiler import *
        end_tidily_on_signals()
        try:
            run_compiler(find_compiler(), [Source("net", b"")], Options())
        except KeyboardInterrupt:
            sys.exit(130)
    """)
    environment = {**os.environ, "TMPDIR": str(own_temporary_folder)}
    with subprocess.Popen([sys.executable, "-c", program], env=environment) as child:
        pids = (tmp_path / "pids").read_text()  # waits until the stand-in runs
        child.send_signal(number)
        assert child.wait(10) == code
    (tmp_path / "pids.txt").write_text(pids)
    assert gone(tmp_path / "pids.txt")
    assert list(own_temporary_folder.iterdir()) == []
