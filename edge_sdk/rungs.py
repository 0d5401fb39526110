"""What runs at each rung of the ladder, and what it costs: from the bundle, as configured or as the rung states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_sdk.bundle import Bundle, Variant
from edge_sdk.engines import Engine, Options, engine_for, own_options
from edge_sdk.engines.isolation import Isolation
from edge_sdk.errors import ConfigError
from edge_sdk.runner import Runner
from edge_sdk.watchdog.ladder import Rung
from edge_sdk.watchdog.price import price
from edge_sdk.watchdog.recovery import EngineRecovery
from edge_sdk.window_settings import WindowSettings


@dataclass(frozen=True)
class Rungs:
    """Opens runners.

    Attributes:
        bundle: has the variants of all rungs.
        variant: as configured, which is rung 0.
        engine, options: as configured; without an engine, the one for a variant's kind.
        isolation, hang_ms, task: see ``edge_sdk.loop.Loop``.
        recover: makes an engine's recovery.
    """

    bundle: Bundle
    variant: Variant
    engine: str | None
    options: Options
    isolation: Isolation
    hang_ms: float
    task: dict[str, object]
    recover: Callable[[Engine], EngineRecovery]

    @property
    def window(self) -> WindowSettings | None:
        """Of the signal; None where the input is no window. All rungs share it, as they share the source."""
        return self.bundle.contract_of(self.variant).window

    def open(self, rung: Rung) -> Runner:
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
        configured = self.options if rung.engine in (None, self.engine) else {}
        engine = engine_for(variant.kind, rung.engine or self.engine)
        return Runner(
            self.bundle,
            variant,
            engine=engine,
            options=own_options(engine, configured) if rung.options is None else rung.options,
            isolation=self.isolation,
            hang_ms=self.hang_ms,
            task=self.task,
            recover=self.recover,
        )

    def price(self, rung: Rung) -> str:
        """See ``edge_sdk.watchdog.price``."""
        return price(rung, self.bundle, self.variant.id)


def give_back_memory() -> None:
    """Once all is open, return freed memory to the system: glibc keeps what held a model's content, twice its size, for ever."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries keep nothing, and have no such function
    if trim is not None:
        trim(0)
