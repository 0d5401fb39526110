"""Options of an engine: known ones, and numbers within bounds."""

from __future__ import annotations

from edge_sdk.engines import Options
from edge_sdk.errors import ConfigError


def check_options(engine: str, options: Options, known: tuple[str, ...]) -> None:
    """Raise ConfigError if an option is unknown."""
    if unknown := set(options) - set(known):
        raise ConfigError(f"engine {engine} has no option {', '.join(sorted(unknown))}; it has {', '.join(known)}")


def threads_of(engine: str, options: Options) -> int:
    """The option ``threads``.

    Raises:
        ConfigError: if it is no number, or out of range.
    """
    return number_of(engine, "threads", options, 64)


def number_of(engine: str, option: str, options: Options, most: int) -> int:
    """An option that is a number from 1 to ``most``, by default 1.

    Raises:
        ConfigError: if it is no number, or out of range.
    """
    try:
        number = int(options.get(option, "1"))
    except ValueError:
        number = 0
    if not 1 <= number <= most:
        raise ConfigError(f"engine {engine}: {option} is a number from 1 to {most}; found {options[option]!r}")
    return number
