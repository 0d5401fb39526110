"""Checks of Python and the TensorFlow Lite interpreter."""

from __future__ import annotations

from edge_sdk.doctor.environment import Environment
from edge_sdk.doctor.finding import Finding, fault, ok, warning

# Module with the Interpreter, distributions that bring it; in the order in which edge_sdk.engines.litert looks.
# Not imported from there: that loads numpy, which may be what is broken.
INTERPRETERS = (
    ("ai_edge_litert.interpreter", ("ai-edge-litert",)),
    ("tflite_runtime.interpreter", ("tflite-runtime",)),
    ("tensorflow.lite.python.interpreter", ("tensorflow", "tensorflow-cpu", "tensorflow-aarch64")),
)
# There is no numpy wheel for 32 bits: a virtual environment must see the system's, or pip tries to compile one.
_INSTALL_32 = (
    "sudo apt install python3-numpy; then, in a virtual environment made with python3 -m venv --system-site-packages: "
    "pip install 'tflite-runtime>=2.14' 'numpy<2'"
)


def check_python(env: Environment) -> list[Finding]:
    """Python's version, and its width against the kernel's."""
    check = "python"
    found = f"Python {env.python[0]}.{env.python[1]}, {env.bits} bits, on a kernel that calls itself {env.machine}"
    wide_kernel = env.machine in ("aarch64", "arm64", "armv8l", "x86_64", "amd64")
    if env.bits == 32 and wide_kernel:
        return [
            warning(
                check,
                f"{found}: pip chooses packages by the kernel's name and looks for 64-bit ones",
                f"install the 64-bit image of the system; or by hand: {_INSTALL_32} click pydantic; "
                "pip install --no-deps edge-device-sdk",
            )
        ]
    return [ok(check, found)]


def check_interpreter(env: Environment) -> list[Finding]:
    """The first interpreter that is installed must run a model."""
    check = "interpreter"
    for module, distributions in INTERPRETERS:
        name = next((name for name in distributions if name in env.packages), None)
        if name is None:
            continue
        probe = env.interpreter_probe(module, env.search_path)
        if probe.worked:
            return [ok(check, f"{name} {env.version(name)} with numpy {probe.said} runs a model")]
        return [_broken(env, name, probe.said)]
    return [fault(check, "no interpreter is installed: no .tflite model can run", _install(env))]


def _broken(env: Environment, name: str, said: str) -> Finding:
    found = f"{name} {env.version(name)} is installed but does not run: {said}"
    numpy = env.major("numpy")
    if name == "tflite-runtime" and numpy is not None and numpy >= 2:
        found = f"{name} {env.version(name)} needs numpy 1; installed is {env.version('numpy')} ({said})"
        others = [f"'{cv}<5'" for cv in ("opencv-python-headless", "opencv-python") if env.major(cv) == 5]
        return fault("interpreter", found, " ".join(['pip install "numpy<2"', *others]))
    if numpy is None:
        return fault(
            "interpreter",
            f"{found}; numpy is not installed",
            "pip install numpy (32 bits: sudo apt install python3-numpy)",
        )
    return fault("interpreter", found, f"pip install --force-reinstall {name}")


def _install(env: Environment) -> str:
    if env.bits == 64:
        return "pip install ai-edge-litert"
    if env.python >= (3, 12):
        return (
            "there is no interpreter for 32 bits and Python 3.12 or newer: install the 64-bit image of the system, "
            "or use Python 3.11 (Debian 12, Raspberry Pi OS bookworm) and tflite-runtime"
        )
    return _INSTALL_32
