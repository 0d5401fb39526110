"""The doctor: each fault is found and comes with its fix, and nothing that a library does can crash it."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import edge_sdk
from edge_sdk.bundle.manifest import Manifest, Variant
from edge_sdk.bundle.write import stored_files, write_bundle
from edge_sdk.cli import doctor as command
from edge_sdk.contract import Contract
from edge_sdk.doctor import CHECKS, Environment, Finding, examine
from edge_sdk.doctor.interpreter import INTERPRETERS, check_interpreter, check_python
from edge_sdk.doctor.machine import check_board, check_camera, check_shared_memory, check_watchdog
from edge_sdk.doctor.onnx import check_onnxruntime
from edge_sdk.doctor.packages import check_namesakes, check_opencv
from edge_sdk.doctor.probe import Probe, try_import, try_interpreter, try_providers
from edge_sdk.engines import litert
from edge_sdk.tasks.settings import RawSettings
from edge_sdk.tensors import TensorSpec

ROOT = Path(edge_sdk.__file__).parent.parent
NUMPY_SAYS = "A module that was compiled using NumPy 1.x cannot be run in\nNumPy 2.4.6 as it may crash. To support both"


def install(folder: Path, name: str, version: str) -> str:
    """Put an installed distribution of this name into a folder of packages."""
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info/METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return str(folder)


def put(root: Path, path: str, content: str = "") -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)


def works(module: str, search_path: tuple[str, ...]) -> Probe:
    return Probe(True, "1.2.3")


def missing(module: str, search_path: tuple[str, ...]) -> Probe:
    return Probe(False, f"ModuleNotFoundError: No module named '{module}'")


@pytest.fixture
def machine(tmp_path: Path) -> Environment:
    """A healthy 64-bit Arm machine with an interpreter, OpenCV and a camera."""
    packages = tmp_path / "packages"
    for name, version in (("ai-edge-litert", "2.3.0"), ("numpy", "2.4.6"), ("opencv-python-headless", "5.0.0.93")):
        install(packages, name, version)
    put(tmp_path, "root/dev/video0")
    return Environment(
        root=tmp_path / "root",
        search_path=(str(packages),),
        python=(3, 11),
        bits=64,
        machine="aarch64",
        in_virtual_environment=False,
        page_size_bytes=4096,
        interpreter_probe=works,
        import_probe=works,
        can_open=lambda path: True,
    )


def with_packages(machine: Environment, tmp_path: Path, **versions: str) -> Environment:
    """The machine with these packages and no others; ``_`` in a name stands for ``-``."""
    folder = tmp_path / "other packages"
    for name, version in versions.items():
        install(folder, name.replace("_", "-"), version)
    return dataclasses.replace(machine, search_path=(str(folder),))


def only(findings: list[Finding], state: str) -> Finding:
    """The one finding there is of this state."""
    (found,) = [finding for finding in findings if finding.state == state]
    return found


def test_a_healthy_machine_has_no_fault_and_no_warning(machine: Environment):
    findings = examine(machine)
    assert {finding.state for finding in findings} == {"ok"}
    assert len(findings) >= len(CHECKS)


def test_this_machines_interpreter_runs_a_model():
    found = only(check_interpreter(Environment()), "ok")
    assert "runs a model" in found.found


def test_every_fault_and_warning_has_a_fix(machine: Environment, tmp_path: Path):
    bare = dataclasses.replace(
        machine, root=tmp_path / "nothing", search_path=(str(tmp_path / "nothing"),), import_probe=missing
    )
    findings = [finding for finding in examine(bare) if finding.state != "ok"]
    assert findings
    assert all(finding.fix for finding in findings)


def test_the_doctor_imports_no_vendor_library():
    program = (
        "import sys, edge_sdk.cli.doctor, edge_sdk.cli.boards\n"
        "print(sorted({'numpy', 'cv2', 'ai_edge_litert', 'tflite_runtime', 'tensorflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


# Interpreter


def test_interpreters_are_those_of_the_engine_in_its_order():
    assert tuple(module.partition(".")[0] for module, _ in INTERPRETERS) == litert.INTERPRETERS


@pytest.mark.parametrize(
    ("bits", "python", "fix"),
    [
        (64, (3, 11), "pip install ai-edge-litert"),
        (32, (3, 11), "python3 -m venv --system-site-packages: pip install 'tflite-runtime>=2.14' 'numpy<2'"),
        (32, (3, 13), "there is no interpreter for 32 bits and Python 3.12 or newer: install the 64-bit image"),
    ],
)
def test_no_interpreter(machine: Environment, tmp_path: Path, bits: int, python: tuple[int, int], fix: str):
    env = dataclasses.replace(with_packages(machine, tmp_path, numpy="1.26.4"), bits=bits, python=python)
    assert fix in only(check_interpreter(env), "fault").fix


def test_tflite_runtime_under_numpy_2(machine: Environment, tmp_path: Path):
    env = with_packages(machine, tmp_path, tflite_runtime="2.14.0", numpy="2.4.6", opencv_python_headless="5.0.0.93")
    put(tmp_path, "other packages/tflite_runtime/__init__.py")
    # As the real one: it imports, says this when the first interpreter is made, and fails.
    program = f"import sys\ndef Interpreter(**options):\n    print('''{NUMPY_SAYS}''', file=sys.stderr)\n    raise SystemError('x')\n"
    put(tmp_path, "other packages/tflite_runtime/interpreter.py", program)
    found = only(check_interpreter(dataclasses.replace(env, interpreter_probe=try_interpreter)), "fault")
    assert "tflite-runtime 2.14.0 needs numpy 1; installed is 2.4.6" in found.found
    assert "compiled using NumPy 1.x cannot be run in NumPy 2.4.6" in found.found
    assert found.fix == "pip install \"numpy<2\" 'opencv-python-headless<5'"


def test_a_broken_interpreter_is_not_passed_over_for_the_next(machine: Environment, tmp_path: Path):
    env = with_packages(machine, tmp_path, ai_edge_litert="2.3.0", tflite_runtime="2.14.0", numpy="1.26.4")
    broken = dataclasses.replace(
        env, interpreter_probe=lambda module, path: Probe("litert" not in module, "it died of SIGILL")
    )
    found = only(check_interpreter(broken), "fault")
    assert found.found == "ai-edge-litert 2.3.0 is installed but does not run: it died of SIGILL"
    assert found.fix == "pip install --force-reinstall ai-edge-litert"


def test_32_bit_python_on_a_64_bit_kernel(machine: Environment):
    found = only(check_python(dataclasses.replace(machine, bits=32, machine="aarch64")), "warning")
    assert "pip chooses packages by the kernel's name" in found.found
    assert "tflite-runtime" in found.fix
    assert check_python(dataclasses.replace(machine, bits=32, machine="armv7l"))[0].state == "ok"


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("import ctypes; ctypes.string_at(0)", "it died of SIGSEGV"),
        ("import os; os._exit(7)", "it failed without a word"),
        ("raise RuntimeError('half installed')", "RuntimeError: half installed"),
        ("import threading; threading.Event().wait()", "it did not come back within 2 s"),
    ],
)
def test_a_library_that_misbehaves_is_only_reported(tmp_path: Path, module: str, said: str):
    put(tmp_path, "vendor.py", module)
    assert try_import("vendor", (str(tmp_path),), timeout_s=2) == Probe(False, said)


# Packages


def test_the_coral_atlas_is_not_googles_pycoral(machine: Environment, tmp_path: Path):
    env = with_packages(machine, tmp_path, pycoral="0.2.0")
    found = only(check_namesakes(env), "fault")
    assert "pycoral 0.2.0 is a command line for the Allen Coral Atlas" in found.found
    assert found.fix.startswith("pip uninstall pycoral;")


def test_googles_pycoral_is_left_alone(machine: Environment, tmp_path: Path):
    env = with_packages(machine, tmp_path, pycoral="2.0.0")
    put(tmp_path, "other packages/pycoral/utils/edgetpu.py")
    assert check_namesakes(env)[0].state == "ok"


def test_pycoral_pi5_is_named(machine: Environment, tmp_path: Path):
    found = only(check_namesakes(with_packages(machine, tmp_path, pycoral_pi5="2.1.4")), "fault")
    assert found.fix.startswith("pip uninstall pycoral-pi5;")


@pytest.mark.parametrize("name", ["boards", "converters"])
def test_a_package_that_overwrites_ours_is_a_fault(machine: Environment, tmp_path: Path, name: str):
    found = only(check_namesakes(with_packages(machine, tmp_path, **{name: "0.3.1"})), "fault")
    assert f"{name} 0.3.1 is installed" in found.found
    assert found.fix.endswith("pip install --force-reinstall --no-deps edge-device-sdk")


def test_the_market_data_sdk_is_a_warning(machine: Environment, tmp_path: Path):
    found = only(check_namesakes(with_packages(machine, tmp_path, edge_sdk="1.1.0")), "warning")
    assert "market data" in found.found
    assert found.fix == "pip uninstall edge-sdk"


def test_two_opencvs(machine: Environment, tmp_path: Path):
    env = with_packages(machine, tmp_path, opencv_python="4.10.0", opencv_python_headless="4.11.0", numpy="2.4.6")
    found = only(check_opencv(env), "warning")
    assert found.fix == "pip uninstall opencv-python opencv-python-headless; pip install opencv-python-headless"


def test_opencv_5_with_numpy_1(machine: Environment, tmp_path: Path):
    env = with_packages(machine, tmp_path, opencv_python_headless="5.0.0.93", numpy="1.26.4")
    found = only(check_opencv(env), "fault")
    assert "needs numpy 2; installed is 1.26.4" in found.found
    assert "opencv-python-headless<5" in found.fix


def test_opencv_missing_is_a_warning_and_broken_a_fault(machine: Environment, tmp_path: Path):
    broken = dataclasses.replace(machine, import_probe=lambda module, path: Probe(False, "libGL.so.1: cannot open"))
    assert "not importable: libGL.so.1" in only(check_opencv(broken), "fault").found
    none = dataclasses.replace(with_packages(machine, tmp_path, numpy="2.4.6"), import_probe=missing)
    assert "edge-device-sdk[camera]" in only(check_opencv(none), "warning").fix


def test_the_systems_opencv_counts(machine: Environment, tmp_path: Path):
    found = only(check_opencv(with_packages(machine, tmp_path, numpy="1.26.4")), "ok")
    assert found.found == "cv2 1.2.3 with numpy 1.26.4 (the system's)"


def test_leftovers_of_uninstalled_packages_are_no_packages(machine: Environment, tmp_path: Path):
    (tmp_path / "packages/~umpy-1.0.dist-info").mkdir()
    (tmp_path / "packages/empty-1.0.dist-info").mkdir()
    assert set(machine.packages) == {"ai-edge-litert", "numpy", "opencv-python-headless"}


# Machine


def test_the_board_is_named_with_its_evidence(machine: Environment, tmp_path: Path):
    put(tmp_path, "root/proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0")
    found = only(check_board(machine), "ok")
    assert found.found == "raspberry-pi-5: the device tree's model is 'Raspberry Pi 5 Model B Rev 1.0'"


def test_a_machine_without_a_profile_is_a_warning(machine: Environment):
    assert "--board" in only(check_board(dataclasses.replace(machine, machine="riscv64")), "warning").fix


def test_no_camera(machine: Environment, tmp_path: Path):
    found = only(check_camera(dataclasses.replace(machine, root=tmp_path / "nothing")), "warning")
    assert "there is no /dev/video*" in found.found


def test_a_camera_that_this_user_may_not_open(machine: Environment):
    found = only(check_camera(dataclasses.replace(machine, can_open=lambda path: False)), "fault")
    assert found.fix.startswith("sudo usermod -aG video $USER")


def test_libcamera_out_of_sight_of_a_virtual_environment(machine: Environment, tmp_path: Path):
    put(tmp_path, "root/proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0")
    hidden = dataclasses.replace(machine, import_probe=missing, in_virtual_environment=True)
    found = only(check_camera(hidden), "warning")
    assert "No module named 'libcamera'" in found.found
    assert "--system-site-packages" in found.fix
    outside = only(check_camera(dataclasses.replace(hidden, in_virtual_environment=False)), "warning")
    assert outside.fix == "sudo apt install python3-picamera2"


def test_a_kernel_without_memfd(machine: Environment):
    found = only(
        check_shared_memory(dataclasses.replace(machine, shared_memory_error=lambda: "not implemented")), "fault"
    )
    assert "not implemented" in found.found
    assert "isolation = 'none'" in found.fix


def test_the_watchdog_is_information_only(machine: Environment, tmp_path: Path):
    assert "not available" in only(check_watchdog(machine), "ok").found
    put(tmp_path, "root/dev/watchdog")
    closed = dataclasses.replace(machine, can_open=lambda path: False)
    assert "only root or a udev rule may feed it" in only(check_watchdog(closed), "ok").found


# ONNX Runtime


JETSON_TREE = "NVIDIA Jetson Orin Nano Developer Kit\0"
ALL_PROVIDERS = "TensorrtExecutionProvider, CUDAExecutionProvider, CPUExecutionProvider"
JP6 = "pip install onnxruntime-gpu 'numpy<2' --extra-index-url https://pypi.jetson-ai-lab.io/jp6/cu126"


def on_a_jetson(machine: Environment, tmp_path: Path, providers: str = ALL_PROVIDERS, **versions: str) -> Environment:
    put(machine.root, "proc/device-tree/model", JETSON_TREE)
    found = with_packages(machine, tmp_path, **versions)
    return dataclasses.replace(found, python=(3, 10), providers_probe=lambda path: Probe(True, providers))


def test_a_jetson_with_nvidias_onnxruntime_is_well(machine: Environment, tmp_path: Path):
    found = only(check_onnxruntime(on_a_jetson(machine, tmp_path, onnxruntime_gpu="1.23.0")), "ok")
    assert found.found == f"onnxruntime-gpu 1.23.0 has {ALL_PROVIDERS}"


def test_a_jetson_without_onnxruntime_is_told_what_installs_it(machine: Environment, tmp_path: Path):
    found = only(check_onnxruntime(on_a_jetson(machine, tmp_path, numpy="1.26.4")), "warning")
    assert "the GPU of this board cannot be used" in found.found
    assert found.fix == JP6
    newer = dataclasses.replace(on_a_jetson(machine, tmp_path / "newer", numpy="1.26.4"), python=(3, 12))
    assert "there is no package for this Python" in only(check_onnxruntime(newer), "warning").fix


def test_an_onnxruntime_without_the_boards_gpu_is_a_warning(machine: Environment, tmp_path: Path):
    env = on_a_jetson(machine, tmp_path, providers="CPUExecutionProvider", onnxruntime="1.32.0")
    found = only(check_onnxruntime(env), "warning")
    assert "has CPUExecutionProvider, and not this board's tensorrt, cuda: models run on the processor" in found.found
    assert found.fix == f"pip uninstall onnxruntime; {JP6}"


def test_two_packages_of_one_module_are_a_fault(machine: Environment, tmp_path: Path):
    env = on_a_jetson(machine, tmp_path, onnxruntime="1.32.0", onnxruntime_gpu="1.23.0")
    found = only(check_onnxruntime(env), "fault")
    assert found.fix == f"pip uninstall onnxruntime onnxruntime-gpu; {JP6}"


def test_an_onnxruntime_that_cannot_be_imported_is_a_fault(machine: Environment, tmp_path: Path):
    env = with_packages(machine, tmp_path, onnxruntime="1.32.0")
    broken = dataclasses.replace(env, providers_probe=lambda path: Probe(False, "ImportError: libcudart.so.12"))
    found = only(check_onnxruntime(broken), "fault")
    assert "ImportError: libcudart.so.12" in found.found and found.fix == "pip install --force-reinstall onnxruntime"


def test_this_machines_onnxruntime_is_asked_without_telemetry():
    probe = try_providers(tuple(sys.path))
    assert probe.worked and "CPUExecutionProvider" in probe.said


# A bundle


def bundle_of(path: Path, kind: str) -> Path:
    files = {"model": b"nothing"}
    spec = TensorSpec("x", (1, 4), "int8")
    variant = Variant(id=kind, kind=kind, file="model", inputs=(spec,), outputs=(spec,))
    contract, stored = Contract(input="tensor"), stored_files(files)
    manifest = Manifest(
        name="m", created_by="t", contract=contract, task=RawSettings(), variants=(variant,), files=stored
    )
    write_bundle(path, manifest, files)
    return path


def test_a_bundle_for_this_board(machine: Environment, tmp_path: Path):
    path = bundle_of(tmp_path / "m.edge", "tflite-int8")
    found = examine(machine, bundle=path)[-1]
    assert (found.state, found.found) == ("ok", f"{path} is whole; this board runs its variant tflite-int8")


def test_a_bundle_for_another_board_and_a_damaged_one(machine: Environment, tmp_path: Path):
    path = bundle_of(tmp_path / "m.edge", "edgetpu")
    assert "has no variant for this board" in examine(machine, bundle=path)[-1].found
    path.write_bytes(path.read_bytes()[:-30])
    found = examine(machine, bundle=path)[-1]
    assert (found.state, found.check) == ("fault", "bundle")
    assert "is not a bundle" in found.found


def test_a_bundle_whose_variant_needs_onnxruntime_says_so(machine: Environment, tmp_path: Path):
    path = bundle_of(tmp_path / "m.edge", "onnx-qdq")
    found = examine(on_a_jetson(machine, tmp_path, numpy="1.26.4"), bundle=path)[-1]
    assert (found.state, found.fix) == ("fault", JP6)
    found = examine(on_a_jetson(machine, tmp_path / "well", onnxruntime_gpu="1.23.0"), bundle=path)[-1]
    assert (found.state, found.found) == ("ok", f"{path} is whole; this board runs its variant onnx-qdq")


def test_a_bundle_without_numpy_is_a_fault_and_no_crash(machine: Environment, tmp_path: Path):
    found = examine(dataclasses.replace(machine, import_probe=missing), bundle=tmp_path / "m.edge")[-1]
    assert "cannot be read without numpy" in found.found


# The command


def run(*arguments: str, before: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((before, str(ROOT)))}
    command_line = [sys.executable, "-m", "edge_sdk.cli", "doctor", *arguments]
    return subprocess.run(command_line, capture_output=True, text=True, env=environment, cwd=before, check=False)


def test_a_fault_ends_with_3_and_shows_its_fix(tmp_path: Path):
    done = run(before=install(tmp_path, "pycoral", "0.2.0"))
    assert done.returncode == 3
    assert "fault    package pycoral" in done.stdout
    assert "fix: pip uninstall pycoral;" in done.stdout
    assert done.stderr == ""


def test_json_has_the_same_findings(tmp_path: Path):
    done = run("--json", before=install(tmp_path, "boards", "0.3.1"))
    report = json.loads(done.stdout)
    assert done.returncode == 3
    assert report["faults"] == sum(finding["state"] == "fault" for finding in report["findings"]) >= 1
    assert "package boards" in {finding["check"] for finding in report["findings"]}


def test_boards_overwritten_by_the_namesake_is_told_not_crashed(tmp_path: Path):
    put(tmp_path, "boards/__init__.py")
    done = run(before=install(tmp_path, "boards", "0.3.1"))
    assert done.returncode == 3
    assert "the package boards that Python finds is not that of edge-device-sdk" in " ".join(done.stdout.split())
    assert done.stderr == ""


def test_no_fault_ends_with_0(machine: Environment, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(command, "examine", lambda bundle: examine(machine, bundle=bundle))
    done = CliRunner().invoke(command.doctor)
    assert done.exit_code == 0
    assert done.output.endswith("no faults, no warnings\n")
