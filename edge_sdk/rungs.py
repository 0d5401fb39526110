"""What runs at each rung of the ladder, and what it costs: from the bundle, as configured or as the rung states."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import TYPE_CHECKING

from edge_sdk.bundle import Bundle, Variant
from edge_sdk.engines import OPTIONS, DeviceReset, Engine, Options, device_reset, engine_for, hint, own_options
from edge_sdk.engines.isolation import Isolation
from edge_sdk.errors import ConfigError
from edge_sdk.result import Event
from edge_sdk.result_cache import CacheSettings, ResultCache
from edge_sdk.runner import Runner, Runs
from edge_sdk.standby import Standby, standby_for
from edge_sdk.standby_runner import StandbyRunner, readiness
from edge_sdk.watchdog.ladder import Rung
from edge_sdk.watchdog.price import price
from edge_sdk.watchdog.recovery import EngineRecovery
from edge_sdk.watchdog.trial import Trial
from edge_sdk.window_settings import WindowSettings

if TYPE_CHECKING:
    from edge_sdk.hybrid.open import Help


@dataclass(frozen=True)
class Rungs:
    """Opens runners.

    Attributes:
        bundle: has the variants of all rungs.
        variant: as configured, which is rung 0.
        engine, options: as configured; without an engine, the one for a variant's kind.
        isolation, hang_ms, task, standby, deadline_ms: see ``edge_sdk.loop.Loop``.
        recover: makes an engine's recovery.
        help: a server's, where there is one.
        tell: told of what stands by, and of all that it does.
        cache: of results; None for none.
        stated: options by the board, for each engine.
        caches: those made so far, one a runner.
    """

    bundle: Bundle
    variant: Variant
    engine: str | None
    options: Options
    isolation: Isolation
    hang_ms: float
    task: dict[str, object]
    standby: Standby
    deadline_ms: float
    recover: Callable[[Engine, DeviceReset | None], EngineRecovery]
    tell: Callable[[Event], None]
    help: Help | None = None
    cache: CacheSettings | None = None
    stated: Mapping[str, Options] = field(default_factory=dict)
    caches: list[ResultCache] = field(default_factory=list)

    @property
    def window(self) -> WindowSettings | None:
        """Of the signal; None where the input is no window. All rungs share it, as they share the source."""
        return self.bundle.contract_of(self.variant).window

    def open(self, rung: Rung) -> Runs:
        """What runs at a rung.

        Raises:
            BundleError: if the bundle has no such variant.
            ConfigError, ContractError: if the rung, or a setting, does not fit the variant.
            EngineError: if the engine cannot be had.
        """
        variant = self.bundle.variant(rung.variant) if rung.variant else self.variant
        if self.bundle.contract_of(variant).window != self.window:
            raise ConfigError(
                f"[governor] variant {variant.id} takes other windows of the signal than rung 0; all rungs share one source"
            )
        if self.help is None:
            return self._local(rung, variant)
        return self.help.runner(lambda: self._local(rung, variant))

    def _local(self, rung: Rung, variant: Variant) -> Runs:
        configured = self.options if rung.engine in (None, self.engine) else {}
        engine = engine_for(variant.kind, rung.engine or self.engine)
        options = own_options(engine, configured, self.stated) if rung.options is None else rung.options
        standby = self._standby_of(variant, as_configured=rung.variant is rung.engine is None)
        if standby is None:
            return self._runner(variant, engine, options)
        return self._standing_by(standby, variant, engine, options)

    def _standing_by(self, standby: Variant, variant: Variant, engine: str, options: Options) -> StandbyRunner:
        trial = Trial(self.bundle, variant, self.standby.patience.answers)
        with ExitStack() as stack:
            own = engine_for(standby.kind)
            shared = {key: value for key, value in options.items() if key in (*OPTIONS.get(own, ()), "cores")}
            second = stack.enter_context(closing(self._runner(standby, own, shared)))
            first = stack.enter_context(closing(self._runner(variant, engine, options, start=False)))
            runner = stack.enter_context(
                closing(
                    StandbyRunner(
                        first,
                        second,
                        trial,
                        reset=device_reset(engine, options),
                        hint=lambda: hint(engine, options),
                        patience=self.standby.patience,
                        deadline_ms=self.deadline_ms,
                        tell=self.tell,
                    )
                )
            )
            self.tell(Event("standby_ready", readiness(runner, self.deadline_ms), monotonic_ns()))
            stack.pop_all()
        return runner

    def _runner(self, variant: Variant, engine: str, options: Options, *, start: bool = True) -> Runner:
        if self.cache is not None:
            self.caches.append(ResultCache(self.cache))
        return Runner(
            self.bundle,
            variant,
            engine=engine,
            options=options,
            isolation=self.isolation,
            hang_ms=self.hang_ms,
            task=self.task,
            recover=self.recover,
            start=start,
            cache=None if self.cache is None else self.caches[-1],
        )

    def _standby_of(self, variant: Variant, *, as_configured: bool) -> Variant | None:
        """A variant named by the user stands by for what is configured; other rungs have theirs where they run on an accelerator."""
        given = self.standby.variant if as_configured else bool(self.standby.variant)
        found, why_not = standby_for(given, self.bundle, variant, self.isolation)
        if why_not:
            message = (
                f"nothing stands by for {variant.id}: {why_not}. While its device is had back there will be no results"
            )
            self.tell(Event("no_standby", message, monotonic_ns()))
        return found

    def price(self, rung: Rung) -> str:
        """See ``edge_sdk.watchdog.price``."""
        return price(rung, self.bundle, self.variant.id)


def give_back_memory() -> None:
    """Once all is open, return freed memory to the system: glibc keeps what held a model's content, twice its size, for ever."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries keep nothing, and have no such function
    if trim is not None:
        trim(0)
