"""Several models in one process, of which one runs at a time.

Only one process can have an Edge TPU open (google-coral/edgetpu#237, #359), so the models that share one share a process as well:

engines = open_together("edgetpu", {"face": face, "pose": pose}, hang_ms=200, options={"device": "usb:0"})
engines["face"].run()
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from itertools import accumulate, pairwise

import numpy as np

from edge_sdk.engines import DeviceReset, Engine, Options, device_reset, hint, load_engine, try_out, warm_engine
from edge_sdk.engines.process import ProcessEngine
from edge_sdk.engines.wire import memory_file
from edge_sdk.errors import ConfigError, EngineError
from edge_sdk.tensors import Array, TensorSpec

_CHOICE = TensorSpec("model", (1,), "int32")
_NAMES = "names.json"


class SeveralEngine(Engine):
    """Runs the model whose number stands in its first input; the outputs of the others are what they were.

    Args:
        model_path: a file that ``packed`` made.
        options: ``inner`` (the engine of all, default edgetpu), and the inner engine's.

    Raises:
        ConfigError: if a model keeps a state from run to run; as the inner engine does.
        EngineError: if it is no such file; as the inner engine does.
    """

    def __init__(self, model_path: str, options: Options) -> None:
        inner, options = _inner(options)
        self._engines: dict[str, Engine] = {}
        try:
            for name, model in _unpacked(model_path).items():
                self._engines[name] = _loaded(inner, model, options)
                if self._engines[name].stateful:
                    raise ConfigError(f"model {name} keeps a state from run to run; it needs a process of its own")
        except BaseException:
            self.close()
            raise
        engines = self._engines.items()
        self.inputs = (_CHOICE, *(_within(name, spec) for name, engine in engines for spec in engine.inputs))
        self.outputs = tuple(_within(name, spec) for name, engine in engines for spec in engine.outputs)
        self._places = _places([len(engine.inputs) for engine in self._engines.values()], 1)
        self._outputs = [tuple(np.zeros(s.shape, s.dtype) for s in engine.outputs) for _, engine in engines]
        self.input_arrays = (np.zeros(1, np.int32), *(a for _, engine in engines for a in engine.input_arrays))
        self.description = f"{len(self._engines)} models, each on {next(iter(self._engines.values())).description}"

    @classmethod
    def warm(cls) -> None:
        """See the base class: the engine of all is edgetpu mostly."""
        warm_engine("edgetpu")

    @classmethod
    def try_out(cls, model: bytes, options: Options) -> None:
        """See the base class: what the inner engine fears of one model, it fears of all."""
        inner, options = _inner(options)
        for each in _unpacked(io.BytesIO(model)).values():
            try_out(inner, each, options)

    @classmethod
    def hint(cls, options: Options) -> str:
        """See the base class."""
        return hint(*_inner(options))

    @classmethod
    def device_reset(cls, options: Options) -> DeviceReset | None:
        """See the base class."""
        return device_reset(*_inner(options))

    def run(self) -> tuple[Array, ...]:
        """See the base class."""
        number = int(self.input_arrays[0][0])
        if not 0 <= number < len(self._engines):
            raise EngineError(f"there are models 0 to {len(self._engines) - 1}; asked for {number}")
        engine = list(self._engines.values())[number]
        engine.input_arrays = self.input_arrays[self._places[number]]
        self._outputs[number] = engine.run()
        return tuple(array for outputs in self._outputs for array in outputs)

    def close(self) -> None:
        """See the base class."""
        for engine in self._engines.values():
            engine.close()


class Member(Engine):
    """One of several models in an engine that they share: to whoever runs it, an engine of its own.

    Args:
        shared: runs ``SeveralEngine``.
        names: of all its models.
        name: of this one.
        closed: the names of those that are closed; with the last one the shared engine is.
    """

    def __init__(self, shared: Engine, names: tuple[str, ...], name: str, closed: set[str]) -> None:
        self._shared, self._names, self._name, self._closed = shared, names, name, closed
        self._number = names.index(name)
        self._inputs, self._outputs = (_place(specs, name) for specs in (shared.inputs, shared.outputs))
        self.inputs = tuple(_alone(name, spec) for spec in shared.inputs[self._inputs])
        self.outputs = tuple(_alone(name, spec) for spec in shared.outputs[self._outputs])
        self.description = shared.description

    @property
    def input_arrays(self) -> tuple[Array, ...]:  # type: ignore[override]
        """See the base class; they are the shared engine's, and cannot be replaced."""
        return self._shared.input_arrays[self._inputs]

    @property
    def abandoned(self) -> int:  # type: ignore[override]
        """See the base class."""
        return self._shared.abandoned

    def run(self) -> tuple[Array, ...]:
        """See the base class."""
        self._shared.input_arrays[0][0] = self._number
        return self._shared.run()[self._outputs]

    def restart(self) -> None:
        """See the base class; the others are with it."""
        self._shared.restart()

    def halt(self) -> None:
        """See the base class."""
        self._shared.halt()

    def interrupt(self) -> None:
        """See the base class."""
        self._shared.interrupt()

    def own_reset(self) -> DeviceReset | None:
        """See the base class."""
        return self._shared.own_reset()

    def close(self) -> None:
        """See the base class."""
        self._closed.add(self._name)
        if self._closed == set(self._names):
            self._shared.close()


def open_together(
    engine: str, models: Mapping[str, bytes], *, hang_ms: float, options: Options | None = None
) -> dict[str, Engine]:
    """Engines for these models, by their names, that share a process; for one thread.

    Args:
        engine: name of the engine of all.
        models: their contents.
        hang_ms: the hang budget of one run.
        options: the engine's.

    Raises:
        ConfigError, EngineError: as ``SeveralEngine`` does.
    """
    shared = ProcessEngine("several", packed(models), {**(options or {}), "inner": engine}, hang_ms=hang_ms)
    names, closed = tuple(models), set[str]()
    return {name: Member(shared, names, name, closed) for name in names}


def packed(models: Mapping[str, bytes]) -> bytes:
    """One file of several models."""
    if not models or any("/" in name for name in models):
        raise ConfigError(f"one model or more, with names without a slash; found {', '.join(models) or 'none'}")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(_NAMES, json.dumps(list(models)))
        for number, model in enumerate(models.values()):
            archive.writestr(str(number), model)
    return content.getvalue()


def _unpacked(file: str | io.BytesIO) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(file) as archive:
            names = json.loads(archive.read(_NAMES))
            return {str(name): archive.read(str(number)) for number, name in enumerate(names)}
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as exc:
        raise EngineError(f"no file of several models, see edge_sdk.engines.several.packed: {exc}") from exc


def _loaded(inner: str, model: bytes, options: Options) -> Engine:
    fd = memory_file("edge-sdk-model", model)
    try:
        return load_engine(inner, f"/proc/self/fd/{fd}", options)
    finally:
        os.close(fd)  # engines map or read the file while they load


def _inner(options: Options) -> tuple[str, Options]:
    return options.get("inner", "edgetpu"), {key: value for key, value in options.items() if key != "inner"}


def _places(counts: list[int], first: int) -> list[slice]:
    ends = list(accumulate(counts, initial=first))
    return [slice(start, end) for start, end in pairwise(ends)]


def _place(specs: tuple[TensorSpec, ...], name: str) -> slice:
    """Where the tensors of a model stand among those of all."""
    found = [index for index, spec in enumerate(specs) if spec.name.startswith(f"{name}/")]
    return slice(found[0], found[-1] + 1) if found else slice(0)


def _within(name: str, spec: TensorSpec) -> TensorSpec:
    return replace(spec, name=f"{name}/{spec.name}")


def _alone(name: str, spec: TensorSpec) -> TensorSpec:
    return replace(spec, name=spec.name.removeprefix(f"{name}/"))
