"""The delegate that stands in for libedgetpu, in the interpreter and by its C interface."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk.engines.litert import find_interpreter
from tests.edgetpu_delegate import Bench, Device, expected
from tests.edgetpu_models import compiled_model

INPUT = np.arange(4, dtype=np.int8).reshape(1, 4)


def interpreter(library: Path, model: bytes, device: str = "") -> Any:
    module = find_interpreter()[1]
    delegate = module.load_delegate(str(library), {"device": device} if device else {})
    made = module.Interpreter(model_content=model, experimental_delegates=[delegate])
    made.allocate_tensors()
    return made


def run(made: Any, value: np.ndarray[Any, Any] = INPUT) -> np.ndarray[Any, Any]:
    made.set_tensor(made.get_input_details()[0]["index"], value)
    made.invoke()
    return made.get_tensor(made.get_output_details()[0]["index"])  # type: ignore[no-any-return]


def test_what_it_makes_can_be_foretold(edgetpu_library: Path, edgetpu: Device) -> None:
    made = interpreter(edgetpu_library, compiled_model(b"package"))
    assert run(made).view(np.uint8).tobytes() == expected(b"package", INPUT.tobytes(), 4).tobytes()
    other = interpreter(edgetpu_library, compiled_model(b"another"))
    assert run(other).tobytes() == expected(b"another", INPUT.tobytes(), 4).tobytes() != run(made).tobytes()
    assert (edgetpu.opens, edgetpu.done, edgetpu.swaps, edgetpu.loaded) == (2, 3, 2, True)


def test_operators_next_to_each_other_are_all_taken(edgetpu_library: Path, edgetpu: Device) -> None:
    made = interpreter(edgetpu_library, compiled_model(b"p", partitions=3))
    value = INPUT.tobytes()
    for package in (b"p", b"p\1", b"p\2"):
        value = expected(package, value, 4).tobytes()
    assert run(made).tobytes() == value
    assert edgetpu.done == 3


def test_an_operator_left_alone_is_refused_by_the_interpreter(edgetpu_library: Path, edgetpu: Device) -> None:
    edgetpu.leave_unclaimed(1)
    with pytest.raises(RuntimeError, match="edgetpu-custom-op"):
        interpreter(edgetpu_library, compiled_model(partitions=2))


def test_without_a_device_there_is_no_delegate(edgetpu_library: Path, edgetpu_bench: Bench) -> None:
    with pytest.raises(ValueError, match="Failed to load delegate"):
        interpreter(edgetpu_library, compiled_model())


def test_devices_are_chosen_by_bus_and_number(edgetpu_library: Path, edgetpu_bench: Bench) -> None:
    devices = {name: edgetpu_bench.add(name) for name in ("usb0", "usb1", "pci0")}
    for wanted, found in (("usb:1", "usb1"), ("usb", "usb0"), ("pci:0", "pci0"), (":1", "usb0"), ("", "pci0")):
        before = devices[found].opens
        made = interpreter(edgetpu_library, compiled_model(), wanted)
        assert devices[found].opens == before + 1
        del made
    with pytest.raises(ValueError, match="Failed to load delegate"):
        interpreter(edgetpu_library, compiled_model(), "usb:2")


_HOLDS = """
import sys
from tests.test_edgetpu_delegate import *
made = interpreter(Path(sys.argv[1]), compiled_model())
for line in sys.stdin:
    print(run(made)[0, 0], flush=True)
"""


@pytest.fixture
def holder(edgetpu_library: Path, edgetpu: Device) -> Any:
    command = [sys.executable, "-c", _HOLDS, str(edgetpu_library)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def ask(process: subprocess.Popen[str]) -> str:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return process.stdout.readline()


def test_one_process_has_the_device_until_it_ends(edgetpu_library: Path, edgetpu: Device, holder: Any) -> None:
    assert ask(holder)
    with pytest.raises(ValueError, match="Failed to load delegate"):
        interpreter(edgetpu_library, compiled_model())
    assert (edgetpu.refusals, edgetpu.owner) == (1, holder.pid)
    holder.kill()
    holder.wait()
    run(interpreter(edgetpu_library, compiled_model()))
    assert edgetpu.owner == os.getpid()


@pytest.mark.parametrize(("kind", "number"), [("crash", signal.SIGSEGV), ("abort", signal.SIGABRT)])
def test_it_dies_on_command(kind: Any, number: int, edgetpu: Device, holder: Any) -> None:
    assert ask(holder)
    edgetpu.order(kind, after=1)
    assert ask(holder)
    assert not ask(holder)
    assert holder.wait() == -number
    assert edgetpu.strikes(kind) == 1


@pytest.mark.parametrize("kind", ["hang", "spin"])
def test_it_hangs_on_command_and_only_a_kill_ends_it(kind: Any, edgetpu: Device, holder: Any) -> None:
    assert ask(holder)
    edgetpu.order(kind)
    holder.stdin.write("\n")
    holder.stdin.flush()
    while not edgetpu.strikes(kind):
        assert holder.poll() is None
    if kind == "hang":
        holder.send_signal(signal.SIGINT)
        holder.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        holder.wait(0.2)
    holder.kill()
    assert holder.wait() == -signal.SIGKILL


def test_a_failure_ends_after_so_many_times(edgetpu_library: Path, edgetpu: Device) -> None:
    made = interpreter(edgetpu_library, compiled_model())
    edgetpu.order("error", after=1, times=2)
    run(made)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="the transfer failed"):
            run(made)
    run(made)
    assert (edgetpu.strikes("error"), edgetpu.waiting) == (2, 0)


def test_a_failure_ends_with_its_cure(edgetpu_library: Path, edgetpu: Device) -> None:
    cures = {
        "delegate": lambda: None,
        "reset": edgetpu.reset,
        "replug": lambda: (edgetpu.vanish(), edgetpu.come_back()),
    }
    for cure, cured in cures.items():
        made = interpreter(edgetpu_library, compiled_model())
        edgetpu.order("error", cure=cure)  # type: ignore[arg-type]
        for _ in range(3):
            with pytest.raises(RuntimeError):
                run(made)
        cured()
        if cure != "delegate":
            with pytest.raises(RuntimeError, match=r"went away|failed"):  # what was open is of no use
                run(made)
        del made
        run(interpreter(edgetpu_library, compiled_model()))


def test_another_process_cures(edgetpu_library: Path, edgetpu: Device, holder: Any) -> None:
    assert ask(holder)
    edgetpu.order("error", cure="process")
    assert not ask(holder)
    holder.wait()
    run(interpreter(edgetpu_library, compiled_model()))


def test_faults_at_the_opening(edgetpu_library: Path, edgetpu: Device) -> None:
    edgetpu.order("error", at="open", times=2)
    for _ in range(2):
        with pytest.raises(ValueError, match="Failed to load delegate"):
            interpreter(edgetpu_library, compiled_model())
    run(interpreter(edgetpu_library, compiled_model()))


def test_a_device_that_vanishes_is_gone_until_it_comes_back(edgetpu_library: Path, edgetpu: Device) -> None:
    made = interpreter(edgetpu_library, compiled_model())
    edgetpu.order("vanish")
    with pytest.raises(RuntimeError, match="went away"):
        run(made)
    with pytest.raises(ValueError, match="Failed to load delegate"):
        interpreter(edgetpu_library, compiled_model())
    edgetpu.come_back()
    assert not edgetpu.loaded
    run(interpreter(edgetpu_library, compiled_model()))


def test_the_c_interface_lists_and_opens_devices(edgetpu_library: Path, edgetpu_bench: Bench) -> None:
    class Listed(ctypes.Structure):
        _fields_ = (("type", ctypes.c_int), ("path", ctypes.c_char_p))

    edgetpu_bench.add("usb0")
    edgetpu_bench.add("pci0")
    edgetpu_bench.add("usb1").vanish()
    library = ctypes.CDLL(str(edgetpu_library))
    library.edgetpu_list_devices.restype = ctypes.POINTER(Listed)
    library.edgetpu_version.restype = ctypes.c_char_p
    count = ctypes.c_size_t()
    listed = library.edgetpu_list_devices(ctypes.byref(count))
    assert [(each.type, each.path) for each in listed[: count.value]] == [(0, b"pci0"), (1, b"usb0")]
    library.edgetpu_free_devices(listed)
    assert b"RuntimeVersion(14)" in library.edgetpu_version()
    create, free = library.edgetpu_create_delegate, library.edgetpu_free_delegate
    create.restype, create.argtypes = ctypes.c_void_p, [ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t]
    free.restype, free.argtypes = None, [ctypes.c_void_p]
    made = create(1, b"usb0", None, 0)
    assert made
    free(made)
    assert not create(1, b"usb1", None, 0)
