"""Opening the server's side of a loop, and putting it beside what runs here."""

from __future__ import annotations

from collections.abc import Callable

from edge_sdk.bundle import Bundle, Variant
from edge_sdk.hybrid.clock import WaitClock
from edge_sdk.hybrid.remote_runner import RemoteRunner
from edge_sdk.hybrid.remote_side import RemoteSide
from edge_sdk.hybrid.runner import HybridRunner
from edge_sdk.hybrid.settings import RemoteSettings
from edge_sdk.remote.clients import open_client
from edge_sdk.result import Event
from edge_sdk.runner import Runs


class Help:
    """A server for a loop.

    Args:
        bundle, variant: of the loop.
        settings: which server, and by which policy.
        task: overrides of the task's settings.
        deadline_ms, hang_ms: of the loop.
        live: whether its source is.
        tell: told of events.

    Attributes:
        side: the server's.

    Raises:
        BundleError: if the bundle has no variant of the id that ``settings`` name.
        ConfigError, ContractError: if the settings do not fit it.
        MissingPackageError: if the protocol needs a package that is not installed.
    """

    def __init__(
        self,
        bundle: Bundle,
        variant: Variant,
        settings: RemoteSettings,
        *,
        task: dict[str, object],
        deadline_ms: float,
        hang_ms: float,
        live: Callable[[], bool],
        tell: Callable[[Event], None],
    ) -> None:
        chosen = bundle.variant(settings.variant) if settings.variant else variant
        self.side = RemoteSide(bundle, chosen, settings, task=task, make_client=open_client, tell=tell)
        self._deadline_ms, self._hang_ms, self._live = deadline_ms, hang_ms, live

    @property
    def alone(self) -> bool:
        """Whether nothing runs here."""
        return self.side.settings.policy == "remote"

    def runner(self, local: Callable[[], Runs]) -> Runs:
        """What runs at a rung.

        Args:
            local: opens what runs there without a server; not called where nothing is to run here.

        Raises:
            EdgeSdkError: as ``local`` does.
            ConfigError: if what runs there cannot be helped.
        """
        if self.alone:
            return RemoteRunner(self.side, self._hang_ms)
        runner, settings = local(), self.side.settings
        margin_ms = settings.margin_of(self._deadline_ms)
        try:
            clock = WaitClock(
                self._deadline_ms,
                margin_ms,
                keep_up=settings.keep_up,
                fastest_ms=runner.fastest_ms,
                live=self._live,
            )
            return HybridRunner(runner, self.side, clock)
        except BaseException:
            runner.close()
            raise
