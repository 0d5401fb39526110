"""Engines run one variant: tensors in, tensors out.

``load_engine`` runs an engine inline; ``edge_sdk.engines.process.ProcessEngine`` runs any of them in a child process, which is the default
of the loop. An engine of somebody else's joins by an entry point of the group ``edge_sdk.engines``.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from edge_sdk.engines.variants import PARTICULAR, known_kind
from edge_sdk.errors import ConfigError, EngineError
from edge_sdk.tensors import Array, TensorSpec

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

_ENGINES = {
    "litert": "edge_sdk.engines.litert:LitertEngine",
    "edgetpu": "edge_sdk.engines.edgetpu:EdgeTpuEngine",
    "onnx": "edge_sdk.engines.onnx:OnnxEngine",
    "openvino": "edge_sdk.engines.openvino:OpenVinoEngine",
    "remote": "edge_sdk.engines.remote:RemoteEngine",
    "several": "edge_sdk.engines.several:SeveralEngine",
    "scheduled": "edge_sdk.engines.scheduled:ScheduledEngine",
    "null": "edge_sdk.engines.null:NullEngine",
    "faulty": "edge_sdk.engines.faulty:FaultyEngine",
}
OPTIONS = {
    "litert": ("threads", "batch", "delegate"),
    "edgetpu": ("device", "library", "interpreter", "threads"),
    "onnx": ("providers", "threads", "spin", "cache", "build_s", "int8", "fp16", "workspace_mb", "gpu"),
    "openvino": ("device", "threads", "precision", "cache"),
    "remote": (
        *(
            "url",
            "protocol",
            "model",
            "version",
            "signature",
            "tensors",
            "timeout_ms",
            "connect_ms",
            "max_response_bytes",
        ),
        *("ca_file", "cert_file", "key_file", "token_file", "token_env"),
    ),
}

Options = dict[str, str]
DeviceReset = Callable[[threading.Event], str]  # ends early on the event; says what it did, or raises DeviceError


class Engine(ABC):
    """Base of all engines. Not thread-safe: one engine for one thread.

    Subclasses take ``(model_path, options)`` and set the attributes; ``model_path`` may be a path below /proc/self/fd.

    Attributes:
        inputs, outputs: the model's tensors.
        input_arrays: one array an input, written by the caller before ``run``; they stay the same objects until the engine restarts.
            Who runs the engine may put arrays of his own in their place: ``run`` reads whatever stands here.
        abandoned: processes of it that outlived their kill, in an uninterruptible kernel call; the device they hold is lost.
        description: what runs it, such as ``"ai_edge_litert 2.3.0, 1 thread"``.
        stateful: the model has variables that keep their values from one run to the next, until ``reset``.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    input_arrays: tuple[Array, ...]
    description: str
    abandoned: int = 0
    stateful: bool = False

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def run(self) -> tuple[Array, ...]:
        """Run the model on ``input_arrays``; the outputs are valid until the next call.

        Raises:
            EngineError: if it failed.
        """

    @classmethod  # noqa: B027 - most engines need nothing
    def warm(cls) -> None:
        """Import the vendor's library: the fork server does so once, and its children start sooner and share the pages.

        It must start no thread and open no device, as children are forked afterwards.

        Raises:
            EngineError, MissingPackageError: if the library cannot be had.
        """

    @classmethod  # noqa: B027 - most engines are safe
    def try_out(cls, model: bytes, options: Options) -> None:
        """Called before it runs inline for the first time: try what could take the application with it, elsewhere.

        Raises:
            EngineError: if it would.
        """

    @classmethod
    def hint(cls, options: Options) -> str:
        """What to tell a user whose engine hung or died while it was opened; empty if there is nothing to tell."""
        return ""

    def restart(self) -> None:
        """Start again after a hang or crash; only an engine in a process of its own can.

        Raises:
            EngineError: if it cannot.
        """
        raise EngineError("this engine cannot be restarted; run it with isolation=process")

    def reset(self) -> None:  # noqa: B027 - most models have no variables
        """Give the model's variables their first values again.

        Raises:
            EngineError: if it failed.
        """

    def reopen(self) -> None:
        """Let go of the device and open it anew, in the same process; the model's variables begin with their first values.

        Raises:
            EngineError: if it failed, or there is no device.
        """
        raise EngineError("this engine has no device to open again")

    def halt(self) -> None:  # noqa: B027 - most engines have no process
        """End its process, where it has one of its own; ``restart`` makes the next."""

    def interrupt(self) -> None:  # noqa: B027 - as above
        """From any thread, and for good: what it does in its process ends soon with an EngineError, and no further start is made."""

    def own_reset(self) -> DeviceReset | None:
        """What resets its own device, from outside; None where nothing can."""
        return None

    @classmethod
    def device_reset(cls, options: Options) -> DeviceReset | None:
        """What resets the device that an engine with these options runs on, from outside; None where nothing can."""
        return None

    def expect(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
        """Raise EngineError if the model's tensors are not of these shapes, dtypes and quantization."""
        for kind, found, expected in (("input", self.inputs, inputs), ("output", self.outputs, outputs)):
            if [_form(s) for s in found] != [_form(s) for s in expected]:
                raise EngineError(
                    f"the model's {kind}s are not what the bundle states: found {_listed(found)}; stated {_listed(expected)}"
                )

    def close(self) -> None:  # noqa: B027 - most engines end with their object
        """Let go of the model and the device; harmless if closed already."""


def engine_names() -> tuple[str, ...]:
    """Names that ``load_engine`` takes."""
    return (*_ENGINES, *(e.name for e in _plugins() if e.name not in _ENGINES))


def engine_for(kind: str, named: str | None = None) -> str:
    """The engine for a variant of this kind: the one that the user named, else the one that runs such variants.

    Raises:
        ConfigError: if the named one cannot run it, or if none is known that can.
    """
    known = known_kind(kind)
    own = known.engine if known else None
    if named is not None:
        if named in PARTICULAR and named != own:
            way = f"leave the engine out, or name {own}" if own else "name one that does"
            raise ConfigError(f"engine {named} cannot run a variant of kind {kind}; {way}")
        return named
    if own is None:
        others = ", ".join(name for name in engine_names() if name not in _ENGINES) or "none is installed"
        raise ConfigError(
            f"no engine of edge-sdk runs a variant of kind {kind}; name one of another package that does ({others})"
        )
    return own


def own_options(name: str, options: Options, stated: Mapping[str, Options] | None = None) -> Options:
    """Those of this engine: options are given once, for whichever engine a variant needs.

    Args:
        name: of the engine.
        options: that the user gives, some of them for other engines.
        stated: by the board, for each engine; the user's go over them.
    """
    others = {key for keys in OPTIONS.values() for key in keys} - set(OPTIONS.get(name, ()))
    own = {key: value for key, value in options.items() if name not in OPTIONS or key not in others}
    return {**(stated or {}).get(name, {}), **own}


def engine_class(name: str) -> Callable[[str, Options], Engine]:
    """The engine of this name; imports its module and, through it, the vendor's library.

    Raises:
        ConfigError: if there is none.
    """
    if name in _ENGINES:
        module, _, attribute = _ENGINES[name].partition(":")
        return getattr(import_module(module), attribute)  # type: ignore[no-any-return]
    for entry in _plugins():
        if entry.name == name:
            return entry.load()  # type: ignore[no-any-return]
    raise ConfigError(f"no engine {name!r}; there are {', '.join(engine_names())}")


def warm_engine(name: str) -> None:
    """Import what the engine of this name needs; see ``Engine.warm``."""
    found = engine_class(name)
    if isinstance(found, type) and issubclass(found, Engine):
        found.warm()


def device_reset(name: str, options: Options) -> DeviceReset | None:
    """See ``Engine.device_reset``."""
    found = engine_class(name)
    return found.device_reset(options) if isinstance(found, type) and issubclass(found, Engine) else None


def try_out(name: str, model: bytes, options: Options) -> None:
    """See ``Engine.try_out``."""
    found = engine_class(name)
    if isinstance(found, type) and issubclass(found, Engine):
        found.try_out(model, options)


def hint(name: str, options: Options) -> str:
    """See ``Engine.hint``."""
    found = engine_class(name)
    return found.hint(options) if isinstance(found, type) and issubclass(found, Engine) else ""


def load_engine(name: str, model_path: str, options: Options | None = None) -> Engine:
    """Load a model into an inline engine.

    Raises:
        ConfigError: if there is no such engine or option.
        EngineError: if the engine cannot load the model.
    """
    return engine_class(name)(model_path, options or {})


def _form(spec: TensorSpec) -> tuple[object, ...]:
    return spec.shape, spec.dtype, spec.zero_point, np.float32(spec.scale)


def _listed(specs: tuple[TensorSpec, ...]) -> str:
    return " and ".join(map(str, specs)) or "none"


def _plugins() -> EntryPoints:
    from importlib.metadata import entry_points

    return entry_points(group="edge_sdk.engines")
