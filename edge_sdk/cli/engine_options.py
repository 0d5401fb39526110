"""The flag ``--engine-option``."""

from __future__ import annotations

from edge_sdk.engines import Options
from edge_sdk.errors import ConfigError


def engine_options_from(texts: tuple[str, ...]) -> Options:
    """The options in texts such as ``"threads=2"``.

    Raises:
        ConfigError: if one is of another form.
    """
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--engine-option is KEY=VALUE, such as threads=2; found {text!r}")
        pairs[key] = value
    return pairs
