"""Text that came with a file or a model, on its way to a terminal: a name must not move the cursor or colour the screen."""

from __future__ import annotations


def printable(text: str) -> str:
    """One line, each character that cannot be printed replaced by U+FFFD; line ends too."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def printable_lines(text: str) -> str:
    """The same for several lines, which stay lines."""
    return "\n".join(map(printable, text.split("\n")))


def no_control_characters(text: str) -> str:
    """``text`` as it is.

    Raises:
        ValueError: if it has a control character (Unicode's category Cc), line ends among them.
    """
    if any(c < " " or "\x7f" <= c <= "\x9f" for c in text):
        raise ValueError(f"{text[:80]!r} has a control character; a name is one line of plain text")
    return text
