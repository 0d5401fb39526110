"""Interpreters whose compiled operators run on an Edge TPU."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from edge_sdk.edgetpu.devices import list_devices, parse_selection
from edge_sdk.edgetpu.library import LIBRARY, is_compiled, library_version, why_refused
from edge_sdk.edgetpu.probe import probe
from edge_sdk.engines.edgetpu import interpreters
from edge_sdk.engines.litert import find_interpreter
from edge_sdk.errors import ConfigError, EngineError
from edge_sdk.pycoral.invoke import invoke
from edge_sdk.tensors import Array

_by_handle: WeakValueDictionary[int, Any] = WeakValueDictionary()
_worked: set[str] = set()  # libraries that this process has tried out


class _Listed(ctypes.Structure):
    """A device, as tflite/public/edgetpu_c.h of libedgetpu has it."""

    _fields_ = (("type", ctypes.c_int), ("path", ctypes.c_char_p))


def load_edgetpu_delegate(options: Mapping[str, Any] | None = None) -> Any:
    """A delegate of libedgetpu.

    Args:
        options: ``{"device": "usb:0"}``, see ``make_interpreter``; others go to libedgetpu as they are.

    Raises:
        OSError: if libedgetpu is not installed.
        ValueError: if the device is of another form, is not there, or cannot be opened.
    """
    options = dict(options or {})
    device = str(options.get("device", ""))
    _check(device)
    with _library_errors():
        library_version(LIBRARY)
    try:
        return _interpreter_module().load_delegate(LIBRARY, options)
    except ValueError as exc:
        raise ValueError(f"Failed to load delegate from {LIBRARY}: {why_refused(device, list_devices())}") from exc


def make_interpreter(
    model_path_or_content: str | bytes | os.PathLike[str], device: str | None = None, delegate: Any = None
) -> Any:
    """An interpreter; call its ``allocate_tensors`` next.

    A model without operators of the Edge TPU needs neither device nor library: it runs on the processor, as it would with them. Before the
    first compiled model, whether interpreter and libedgetpu fit each other is tried out in a process of its own, and remembered: a pair
    that does not fit ends the process.

    Args:
        model_path_or_content: a path, or the model itself as bytes.
        device: None for any Edge TPU, ``":1"`` for the second of ``list_edge_tpus``, ``"usb"`` or ``"pci"`` for any on that bus,
            ``"usb:1"`` or ``"pci:1"`` for the second there.
        delegate: of ``load_edgetpu_delegate``; then ``device`` means nothing.

    Raises:
        OSError: if libedgetpu is needed and not installed.
        ValueError: if the model cannot be read, or the device is of another form, is not there or cannot be opened.
    """
    wanted = device or ""
    model: dict[str, Any]
    if isinstance(model_path_or_content, bytes):
        content, model = model_path_or_content, {"model_content": model_path_or_content}
    else:
        content = _read(model_path_or_content)
        model = {"model_path": os.fspath(model_path_or_content)}
    if delegate is None:
        _check(wanted)
        if is_compiled(content):
            _try_out(content, wanted)
            delegate = load_edgetpu_delegate({"device": wanted} if wanted else {})
    made = _interpreter_module().Interpreter(**model, experimental_delegates=[] if delegate is None else [delegate])
    _by_handle[made._native_handle()] = made
    return made


def list_edge_tpus() -> list[dict[str, str]]:
    """The Edge TPUs of this machine in libedgetpu's order, each ``{"type": "usb" or "pci", "path": ...}``.

    Raises:
        OSError: if libedgetpu is not installed.
    """
    library = _library()
    library.edgetpu_list_devices.restype = ctypes.POINTER(_Listed)
    library.edgetpu_free_devices.argtypes = [ctypes.POINTER(_Listed)]
    count = ctypes.c_size_t()
    listed = library.edgetpu_list_devices(ctypes.byref(count))
    try:
        return [
            {"type": "usb" if listed[i].type else "pci", "path": listed[i].path.decode()} for i in range(count.value)
        ]
    finally:
        library.edgetpu_free_devices(listed)


def get_runtime_version() -> str:
    """What libedgetpu says of itself, ``"BuildLabel(...), RuntimeVersion(14)"``.

    Raises:
        OSError: if it is not installed.
    """
    with _library_errors():
        return library_version(LIBRARY)


def set_verbosity(verbosity: int) -> bool:
    """Have libedgetpu write to stderr what it does: 0 nothing, 10 everything. True: it was set.

    Raises:
        OSError: if libedgetpu is not installed.
    """
    _library().edgetpu_verbosity(ctypes.c_int(verbosity))
    return True


def run_inference(interpreter: Any, input_data: Any) -> None:
    """Copy raw bytes to the first input, and run.

    Args:
        interpreter: with its tensors allocated.
        input_data: one byte for each number of the input, which is uint8 or int8; what is longer is cut off. bytes, a NumPy array of the
            input's dtype or uint8, a Gst.Buffer, or a tuple of a ctypes.c_void_p and how many bytes are there.

    Raises:
        TypeError: if ``input_data`` is of another type.
        ValueError: if it is too short, or the input does not take bytes.
        RuntimeError: if the model cannot run, or ``allocate_tensors`` was not called.
    """
    details = interpreter.get_input_details()[0]
    needed = prod(int(n) for n in details["shape"])
    dtype = np.dtype(details["dtype"])
    stored = _stored(input_data, needed, dtype)
    if stored.size < needed:
        raise ValueError(f"input size={stored.size}, expected={needed}.")
    try:
        interpreter.set_tensor(details["index"], stored[:needed].view(dtype).reshape(details["shape"]))
    except ValueError as exc:  # not allocated
        raise RuntimeError(f"the model is not ready, call allocate_tensors first: {exc}") from exc
    invoke(interpreter)


def invoke_with_bytes(interpreter_handle: int, input_data: bytes) -> None:
    """``run_inference`` of the interpreter with this ``_native_handle()``; errors as there, and RuntimeError where it is too short."""
    _run_by_handle(interpreter_handle, input_data)


def invoke_with_membuffer(interpreter_handle: int, buffer: int, size: int) -> None:
    """The same, of ``size`` bytes in memory at the address ``buffer``."""
    _run_by_handle(interpreter_handle, (ctypes.c_void_p(buffer), int(size)))


def invoke_with_dmabuffer(interpreter_handle: int, dma_fd: int, size: int) -> None:
    """Not to be had here, see ``supports_dmabuf``.

    Raises:
        RuntimeError: always; as pycoral's does where the driver takes no DMA buffers.
    """
    raise RuntimeError(
        f"DMA buffers (file {dma_fd}, {size} bytes) are not passed to the Edge TPU here: ask supports_dmabuf first, and map the buffer"
    )


def supports_dmabuf(interpreter_handle: int) -> bool:
    """Whether ``invoke_with_dmabuffer`` may work: never here, whatever the interpreter."""
    return False


def _check(device: str) -> None:
    try:
        parse_selection(device)
    except ConfigError as exc:
        raise ValueError(f"Failed to load delegate from {LIBRARY}: {exc}") from exc


def _read(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as exc:
        raise ValueError(f"Could not open '{os.fspath(path)}'. {exc.strerror}") from exc


def _try_out(model: bytes, device: str) -> None:
    if LIBRARY in _worked:
        return
    get_runtime_version()
    try:
        probe(model, {"library": LIBRARY} | ({"device": device} if device else {}))
    except EngineError as exc:
        raise ValueError(f"Failed to load delegate from {LIBRARY}: {exc}") from exc
    _worked.add(LIBRARY)


def _interpreter_module() -> Any:
    return find_interpreter(interpreters({}))[1]


def _library() -> ctypes.CDLL:
    get_runtime_version()
    return ctypes.CDLL(LIBRARY)


@contextmanager
def _library_errors() -> Iterator[None]:
    try:
        yield
    except EngineError as exc:
        raise OSError(str(exc)) from exc


def _stored(data: Any, needed: int, dtype: np.dtype[Any]) -> Array:
    """The bytes that are there, flat; of an array whose dtype is the input's, its numbers."""
    if isinstance(data, np.ndarray) and data.dtype in (dtype, np.uint8):
        flat = data.reshape(-1)
    elif isinstance(data, np.ndarray):
        raise ValueError(f"the array is {data.dtype}; the model's input is {dtype}, and bytes (uint8) are taken too")
    elif isinstance(data, bytes):
        flat = np.frombuffer(data, np.uint8)
    elif (
        isinstance(data, tuple) and len(data) == 2 and isinstance(data[0], ctypes.c_void_p) and isinstance(data[1], int)
    ):
        flat = np.frombuffer(ctypes.string_at(data[0], min(data[1], needed)), np.uint8)
    elif hasattr(data, "extract_dup"):  # Gst.Buffer, without loading GStreamer
        flat = np.frombuffer(data.extract_dup(0, min(data.get_size(), needed)), np.uint8)
    else:
        raise TypeError(
            f"input data type is not supported: {type(data).__name__}; it is bytes, a NumPy array, a Gst.Buffer or "
            "(ctypes.c_void_p, size)"
        )
    if flat.dtype != dtype and dtype.itemsize != 1:
        raise ValueError(f"the model's input is {dtype}, which raw bytes do not fill; give an array of that dtype")
    return flat


def _run_by_handle(handle: int, data: Any) -> None:
    interpreter = _by_handle.get(handle)
    if interpreter is None:
        raise RuntimeError(
            f"{handle} is the handle of no interpreter that make_interpreter made and that is still there"
        )
    try:
        run_inference(interpreter, data)
    except ValueError as exc:
        raise RuntimeError(str(exc)) from exc
