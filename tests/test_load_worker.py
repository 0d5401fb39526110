"""A framework in a process of its own: its crash, hang, hunger or death is one clear error, and nothing of it is left."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from converters.load.loaded import Loaded, LoadOptions
from converters.load.worker import available_mb, resident_mb, translate
from edge_sdk.errors import MissingPackageError, ModelError
from tests.processes import descendants, is_alive
from tests.tiny_models import image_net

FAULTS = "tests.load_faults"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.keras"
    path.write_bytes(b"a model")
    return path


def run(fault: str, model: Path, **options: float) -> Loaded:
    return translate(FAULTS, model, LoadOptions(**options), fault=fault)


def assert_ended(pid: int) -> None:
    """It has ended, or does within 10 s."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([process], [], [], 10)[0], f"process {pid} is still there"
    finally:
        os.close(process)


def test_what_the_child_delivers_comes_back_whole(model: Path) -> None:
    loaded = run("none", model)
    assert (loaded.format, loaded.route, loaded.notes) == ("a format", "a route", ("a note.",))
    assert loaded.content == image_net()
    assert loaded.reference is not None
    assert loaded.reference.framework == "a framework"
    assert loaded.reference.inputs.shape == (1, 2)
    np.testing.assert_array_equal(loaded.reference.outputs[0], np.ones((1, 3)))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("segmentation_fault", r"crashed \(SIGSEGV\) .* ONNX or float .tflite .*said last:\n.*reading layer conv_7"),
        ("killed", "was killed by the system, most likely for want of memory"),
        ("quits", "ended with exit code 7"),
        ("no_result", "ended with exit code 0 while it translated"),
        ("unforeseen", "the framework refuses the model: ZeroDivisionError: a framework may raise anything"),
        ("memory_error", "there is not enough memory for this model"),
        ("refuses", "layer 'x' is not what it seems"),
    ],
)
def test_each_fault_is_one_error_that_names_the_file(model: Path, fault: str, message: str) -> None:
    with pytest.raises(ModelError, match=f"(?s){message}") as caught:
        run(fault, model)
    assert str(caught.value).startswith(f"{model}: ")


def test_a_hang_ends_at_its_time_limit_and_so_does_the_child(model: Path) -> None:
    before = descendants()
    with pytest.raises(ModelError, match=r"had not come back after 2 s, and was stopped.*--load-timeout"):
        run("hang", model, timeout_s=2)
    assert descendants() <= before


def test_memory_is_limited(model: Path) -> None:
    with pytest.raises(ModelError, match=r"took [\d,]+ MB of memory, 400 MB are allowed, and was stopped"):
        run("hunger", model, memory_mb=400)


def test_a_missing_package_keeps_its_install_line(model: Path) -> None:
    with pytest.raises(MissingPackageError, match=r"pip install 'edge-device-sdk\[keras\]'") as caught:
        run("missing", model)
    assert caught.value.package == "no_such_framework"


def test_what_the_framework_started_ends_with_it(model: Path) -> None:
    run("leaves_a_process", model)
    assert_ended(int(model.with_suffix(".pid").read_text()))


def test_the_child_ends_with_its_parent(model: Path) -> None:
    """A parent that is killed cannot clean up: the kernel does."""
    told = model.with_suffix(".pid")
    os.mkfifo(told)  # reading it waits for the child
    code = (
        "from pathlib import Path; from converters.load.worker import translate; "
        "from converters.load.loaded import LoadOptions; import sys; "
        f"translate({FAULTS!r}, Path(sys.argv[1]), LoadOptions(), fault='hang')"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(model)], cwd=Path(__file__).parents[1])
    child = int(told.read_text())
    assert is_alive(child)
    parent.kill()
    parent.wait()
    assert_ended(child)


def test_memory_figures() -> None:
    assert 10 < resident_mb(os.getpid()) < available_mb()
    assert resident_mb(2**22 + 1) == 0  # no process has this number
