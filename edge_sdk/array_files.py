"""Files of arrays of strangers: what reading one may end in."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib

READING_ERRORS = (
    *(ValueError, OSError, EOFError, KeyError, RuntimeError, OverflowError, MemoryError, TypeError, SyntaxError),
    *(struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)
"""What numpy and zipfile raise on files that are damaged or made up. RuntimeError: encrypted, or a method that is not there."""
