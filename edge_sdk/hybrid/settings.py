"""``[remote]`` of an app.toml: which server, and when it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from edge_sdk.contract import describe_validation
from edge_sdk.errors import ConfigError
from edge_sdk.remote.settings import ServerSettings

Policy = Literal["local", "remote", "hybrid"]
_FILES = ("ca_file", "cert_file", "key_file", "token_file")


class RemoteSettings(ServerSettings):
    """A server and the policy by which it is asked.

    Attributes:
        policy: ``local``: never. ``remote``: always, and nothing runs here. ``hybrid``: where it pays.
        prefer: of ``hybrid``: ``local`` asks the server where the local value is uncertain; ``remote`` asks it as long as its measured
            p95 fits, and has the local engine begin at the latest moment at which it is still in time.
        certain: from which score on a local value is certain; see ``edge_sdk.hybrid.certainty``.
        variant: id of the variant whose tensors the server takes; default the loop's own.
        margin_ms: kept free before the deadline; default a tenth of it, 2 to 5 ms.
        keep_up: of ``hybrid``: nor wait for the server so long that the next sample is dropped which the device could have taken.
        in_flight: requests under way at once; a further one needs a further connection.
        window_s: how old what was measured of the server may be.
        prove_s: how often the server is shown the golden vectors while it is asked.
        tolerance: how far its golden outputs may be off; default the variant's own, see ``edge_sdk.bundle.manifest.Variant``.
        first_wait_s, longest_wait_s: before a server that is out is tried again: the first and the longest of doubling waits.
        healthy_s: after a failure within so long the waits go on doubling, later they begin anew.
        bytes_per_s: at most so many go both ways in a second, on average.
        bytes_per_day: and so many in 24 hours, counted from the loop's start.
    """

    policy: Policy = "hybrid"
    prefer: Literal["local", "remote"] = "local"
    certain: float = Field(default=0.8, gt=0.5, le=1)
    variant: str | None = None
    margin_ms: float | None = Field(default=None, ge=0)
    keep_up: bool = True
    in_flight: int = Field(default=1, ge=1, le=16)
    window_s: float = Field(default=60.0, gt=0)
    prove_s: float = Field(default=60.0, gt=0)
    tolerance: float | None = Field(default=None, ge=0)
    first_wait_s: float = Field(default=0.5, gt=0)
    longest_wait_s: float = Field(default=10.0, gt=0)
    healthy_s: float = Field(default=30.0, ge=0)
    bytes_per_s: float | None = Field(default=None, gt=0)
    bytes_per_day: float | None = Field(default=None, gt=0)

    def margin_of(self, deadline_ms: float) -> float:
        """Milliseconds that are kept free before a deadline."""
        return self.margin_ms if self.margin_ms is not None else min(max(0.1 * deadline_ms, 2.0), 5.0)

    def below(self, folder: Path) -> RemoteSettings:
        """With relative paths taken from ``folder``."""
        files = {name: folder / path for name in _FILES if (path := getattr(self, name)) is not None}
        return self.model_copy(update=files)


def remote_settings_from(given: RemoteSettings | Mapping[str, object] | None) -> RemoteSettings | None:
    """The settings, where there is a server that may be asked.

    Raises:
        ConfigError: if a key is unknown, missing or out of range.
    """
    if given is None or isinstance(given, RemoteSettings):
        settings = given
    else:
        try:
            settings = RemoteSettings.model_validate(dict(given))
        except ValidationError as exc:
            raise ConfigError(describe_validation(exc, "[remote]")) from exc
    return None if settings is None or settings.policy == "local" else settings


def help_from(
    given: RemoteSettings | None, url: str | None, protocol: str | None, model: str | None, policy: str | None
) -> RemoteSettings | None:
    """``[remote]`` with what flags change in it.

    Raises:
        ConfigError: if the flags alone are too few, or do not fit.
    """
    flags = {"url": url, "protocol": protocol, "model": model, "policy": policy}
    wanted = {key: value for key, value in flags.items() if value is not None}
    if not wanted:
        return given
    try:
        return RemoteSettings.model_validate({**(given.model_dump(exclude_unset=True) if given else {}), **wanted})
    except ValidationError as exc:
        raise ConfigError(describe_validation(exc, "--remote")) from exc
