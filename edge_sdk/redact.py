"""Keeping passwords out of messages: what is shown of a text that may hold a URL or a setting with one."""

from __future__ import annotations

import re

# To the last @ of the line: a password may hold what ought to be escaped, also quotes and spaces.
_IN_URL = re.compile(r"(:/{1,2}[^\s/:@]*:).*(?=@)")
_AS_SETTING = re.compile(
    r"(\b[\w-]*(?:pw|password|passwd|passphrase|pass|token|secret)\s*=\s*)(\"[^\"]*\"|'[^']*'|[^\s&!,;]+)",
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """The text with ``***`` in the place of passwords: in ``scheme://user:PASSWORD@host``, and in ``password=PASSWORD`` and its like."""
    return _AS_SETTING.sub(r"\1***", _IN_URL.sub(r"\1***", text))
