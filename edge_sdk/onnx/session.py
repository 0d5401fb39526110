"""Opens a model on ONNX Runtime, with the providers that were chosen or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_sdk.engines.starting import long_start, say
from edge_sdk.errors import EngineError
from edge_sdk.onnx.cache import BuildCache
from edge_sdk.onnx.model import OnnxModel
from edge_sdk.onnx.providers import INSTALL, choose, titles
from edge_sdk.onnx.runtime import hold_stderr
from edge_sdk.onnx.settings import PROVIDERS, OnnxSettings
from edge_sdk.onnx.tensorrt import build_facts, machine_facts, tensorrt_options

_ERRORS_ONLY = 3  # ONNX Runtime's severity
_Options = dict[str, dict[str, str]]  # of providers, by their names here


@dataclass(frozen=True)
class Opened:
    """A model that runs.

    Attributes:
        session: of ONNX Runtime.
        said: what runs it, such as ``"TensorRT, CUDA, CPU"``.
    """

    session: Any
    said: str


def open_session(runtime: Any, path: str, model: OnnxModel, settings: OnnxSettings) -> Opened:
    """Open a model.

    Args:
        runtime: the module ``onnxruntime``.
        path: of the model.
        model: what its file says.
        settings: how it is run.

    Raises:
        EngineError: if it is refused, or a provider that was chosen did not load.
    """
    choice = choose(runtime, settings.providers)
    if choice.note:
        say(f"onnxruntime {runtime.__version__} runs the model {choice.note}, on {titles(choice.names)}. {INSTALL}")
    opening = _Opening(runtime, path, settings, choice.names, model.quantized)
    session = _with_builds(opening, model) if "tensorrt" in choice.names else opening.open({})
    shares = _shares(session) if len(choice.names) > 1 else ""
    return Opened(session, ", ".join(filter(None, (shares or titles(choice.names), choice.note))))


@dataclass(frozen=True)
class _Opening:
    runtime: Any
    path: str
    settings: OnnxSettings
    names: tuple[str, ...]
    quantized: bool

    def open(self, told: _Options) -> Any:
        """A session whose providers are told this.

        Raises:
            EngineError: as ``open_session``.
        """
        told = {"cuda": {"device_id": str(self.settings.gpu)}, **told}
        providers = [(PROVIDERS[name], told.get(name, {})) for name in self.names]
        failure: Exception | None = None
        session = None
        with hold_stderr() as printed:
            try:
                session = self.runtime.InferenceSession(
                    self.path, self._session_options(), providers=providers, enable_fallback=0
                )
            except Exception as exc:  # noqa: BLE001 - told below, with what was printed
                failure = exc
        because = f" ({printed.errors})" if printed.errors else ""
        if failure is not None:
            raise EngineError(
                f"onnxruntime {self.runtime.__version__} refuses the model: {failure}{because}"
            ) from failure
        self._check(session, because)
        if because:
            say(f"onnxruntime said, and went on: {printed.errors}")
        return session

    def _check(self, session: Any, because: str) -> None:
        loaded = session.get_providers()
        lacking = tuple(name for name in self.names if PROVIDERS[name] not in loaded)
        if lacking:
            there = ",".join(name for name in self.names if name not in lacking) or "cpu"
            raise EngineError(
                f"engine onnx: {titles(lacking)} did not load, and onnxruntime {self.runtime.__version__} said so nowhere but in its log"
                f"{because or ' (which is empty)'}; it would have run the model on {', '.join(loaded)}. Its libraries must be those that "
                f"onnxruntime was built for (edge-sdk doctor); or name providers={there}"
            )

    def _session_options(self) -> Any:
        options = self.runtime.SessionOptions()
        levels = self.runtime.GraphOptimizationLevel
        # else QuantizeLinear of weights is folded into int8 constants, which TensorRT 8 refuses (microsoft/onnxruntime#17312)
        as_written = self.quantized and "tensorrt" in self.names
        options.graph_optimization_level = levels.ORT_DISABLE_ALL if as_written else levels.ORT_ENABLE_ALL
        options.intra_op_num_threads = self.settings.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(self.settings.spin)))
        if "cpu" not in self.names:  # else ONNX Runtime adds it in silence
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        if len(self.names) > 1:
            options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        return options


def _with_builds(opening: _Opening, model: OnnxModel) -> Any:
    """A session whose TensorRT engines come from the cache, or are built into it."""
    settings = opening.settings
    machine = machine_facts(opening.runtime, settings.gpu)
    engines = BuildCache(settings.cache, "engine", build_facts(machine, model, settings))
    with engines.locked(settings.build_s):
        if engines.is_whole():
            try:
                session = opening.open({"tensorrt": tensorrt_options(model, settings, engines.folder)})
            except EngineError as exc:
                engines.drop(str(exc))
            else:
                if not engines.is_unchanged():
                    engines.drop("TensorRT did not take it and built anew, which takes its time at every start")
                return session
        return _built(opening, model, engines, BuildCache(settings.cache, "timing", machine))


def _built(opening: _Opening, model: OnnxModel, engines: BuildCache, timings: BuildCache) -> Any:
    doing, build_s = f"building the TensorRT engine of model {model.sha256[:8]}", opening.settings.build_s
    with timings.locked(build_s), long_start(doing, build_s), timings.building(on=True) as timing:
        with engines.building() as folder:
            session = opening.open({"tensorrt": tensorrt_options(model, opening.settings, folder, timing)})
            if not any(Path(folder).iterdir()):
                say("TensorRT took no part of the model: it runs on the other providers")
        return session


def _shares(session: Any) -> str:
    """How many operators each provider has, where this version of ONNX Runtime tells."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return ""
    names = {provider: name for name, provider in PROVIDERS.items()}
    counts = dict.fromkeys(names, 0)
    for part in session.get_provider_graph_assignment_info():
        counts[part.ep_name] = counts.get(part.ep_name, 0) + len(part.get_nodes())
    told = [f"{titles((names[each],)) if each in names else each} {count}" for each, count in counts.items() if count]
    return f"operators: {', '.join(told)}" if told else ""
