"""Files of labels."""

from __future__ import annotations

import re
from pathlib import Path

_NUMBERED = re.compile(r"(\d+)[:\s]+(.*)")


def read_label_file(file_path: str) -> dict[int, str]:
    """The names of classes, by their ids.

    Args:
        file_path: a text file, UTF-8, one class a line: ``0:cat`` or ``0 cat``, or ``cat`` alone, whose id is then the number of the line,
            counted from 0.

    Raises:
        OSError: if it cannot be read.
    """
    labels = {}
    for row, line in enumerate(Path(file_path).read_text(encoding="utf-8").splitlines()):
        numbered = _NUMBERED.fullmatch(line.strip())
        labels[int(numbered[1]) if numbered else row] = numbered[2].strip() if numbered else line.strip()
    return labels
