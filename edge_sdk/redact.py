"""Keeping passwords out of messages: what is shown of a text that may hold a URL or a setting with one."""

from __future__ import annotations

import re

_IN_URL = re.compile(
    r"(:/{1,2}[^\s/:@]*:)[^\s'\"]*(?=@)"
)  # to the last @: a password may hold what ought to be escaped
_AS_SETTING = re.compile(
    r"(\b(?:user-pw|proxy-pw|password|passwd|pass|pw|token|secret)\s*=\s*)(\"[^\"]*\"|[^\s&!,;]+)", re.IGNORECASE
)


def redacted(text: str) -> str:
    """The text with ``***`` in the place of passwords: in ``scheme://user:PASSWORD@host``, and in ``password=PASSWORD`` and its like."""
    return _AS_SETTING.sub(r"\1***", _IN_URL.sub(r"\1***", text))
