"""Google's Edge TPU (Coral): the TensorFlow Lite interpreter with libedgetpu as its delegate."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from edge_sdk.edgetpu.devices import list_devices, opened_by, parse_selection
from edge_sdk.edgetpu.google_pycoral import find_pycoral
from edge_sdk.edgetpu.library import LIBRARY, OPERATOR, is_compiled, library_version, load_delegate
from edge_sdk.edgetpu.probe import explanation, probe, trio_of
from edge_sdk.edgetpu.usb import usb_reset
from edge_sdk.engines import OPTIONS, DeviceReset, Options
from edge_sdk.engines.litert import INTERPRETERS, LitertEngine, find_interpreter
from edge_sdk.engines.options import check_options, threads_of
from edge_sdk.errors import ConfigError, DeviceError, EngineError
from edge_sdk.tensors import Array


class EdgeTpuEngine(LitertEngine):
    """Runs a model that was compiled for the Edge TPU; operators that the compiler left run on the processor.

    It never runs on the processor alone: without the device, or where an operator of the Edge TPU is not taken, it is an error. The model
    is run once as it is opened, as the first run loads firmware and parameters and takes many times longer.

    Args:
        model_path: the compiled model.
        options: ``device`` (``usb``, ``usb:1``, ``pci:0``; default any), ``library`` (name or path, default libedgetpu.so.1),
            ``interpreter`` (a package of ``INTERPRETERS``; default that of Google's pycoral where it is installed, else the first there is)
            and ``threads`` (of what is left on the processor).

    Raises:
        ConfigError: if an option is unknown or of another form.
        EngineError: if the model is not compiled, the library is missing, or the interpreter refuses.
        DeviceError: if there is no such device, or it cannot be opened.
    """

    def __init__(self, model_path: str, options: Options) -> None:
        check_options("edgetpu", options, OPTIONS["edgetpu"])
        wanted = options.get("device", "")
        parse_selection(wanted)
        self._device = "" if wanted == "any" else wanted
        self._library = options.get("library") or LIBRARY
        threads = threads_of("edgetpu", options)
        interpreter = find_interpreter(interpreters(options))
        self._model = Path(model_path).open("rb")  # noqa: SIM115 - kept, as it is opened again
        try:
            if not is_compiled(self._model.read()):
                raise EngineError(
                    f"the model is not compiled for the Edge TPU: it has no operator {OPERATOR}. Compile it "
                    "(edge-sdk edgetpu --help), or run it with engine litert"
                )
            version = library_version(self._library)
            self._load(f"/proc/self/fd/{self._model.fileno()}", threads, interpreter)
            self._first_run()
        except BaseException:
            self.close()
            raise
        here = " ".join(each.name for each in opened_by(os.getpid(), list_devices())) or self._device or "any"
        self.description = self._described(f" on Edge TPU {here}, libedgetpu {version.rpartition(' ')[2]}")

    @classmethod
    def warm(cls) -> None:
        """See the base class. The library is left for the children: it starts threads."""
        find_interpreter(interpreters({}))

    @classmethod
    def try_out(cls, model: bytes, options: Options) -> None:
        """See the base class: an interpreter and a libedgetpu that do not fit each other end in a segmentation fault."""
        probe(model, options)

    @classmethod
    def hint(cls, options: Options) -> str:
        """See the base class."""
        return explanation(trio_of(options))

    @classmethod
    def device_reset(cls, options: Options) -> DeviceReset | None:
        """See the base class."""
        return usb_reset(options.get("device", ""))

    def run(self) -> tuple[Array, ...]:
        """See the base class."""
        if self._interpreter is None:
            raise DeviceError("the Edge TPU is not open: it was closed, or could not be opened again")
        try:
            return super().run()
        except EngineError as exc:
            if not list_devices():
                raise DeviceError(f"{exc}; no Edge TPU is seen any more") from exc
            raise

    def reopen(self) -> None:
        """Let go of the device and open it anew: a new delegate, in the same process.

        Raises:
            DeviceError: if there is no such device, or it cannot be opened.
            EngineError: if it failed.
        """
        self._interpreter = None
        self._interpreter = self._open(model_path=f"/proc/self/fd/{self._model.fileno()}")
        self._first_run()

    def reset(self) -> None:
        """See the base class."""
        if self.stateful:
            self.reopen()

    def close(self) -> None:
        """See the base class."""
        self._interpreter = None
        self._model.close()

    def _open(self, **model: Any) -> Any:
        delegate = load_delegate(self._module, self._library, self._device)
        try:
            return super()._open(experimental_delegates=[delegate], **model)
        except EngineError as exc:
            if OPERATOR in str(exc):
                raise EngineError(
                    f"{self._library} did not take every operator {OPERATOR} of the model, and nothing else can run them: {exc}"
                ) from exc
            raise

    def _first_run(self) -> None:
        super().run()


def interpreters(options: Options) -> tuple[str, ...]:
    """The packages to take the interpreter from, the first of them that there is.

    Raises:
        ConfigError: if there is no such package.
    """
    named = options.get("interpreter", "")
    if named and named not in INTERPRETERS:
        raise ConfigError(f"engine edgetpu: interpreter is one of {', '.join(INTERPRETERS)}; found {named!r}")
    if named:
        return (named,)
    return ("tflite_runtime", *INTERPRETERS) if find_pycoral() else INTERPRETERS
