"""What the system refuses, in words."""

from __future__ import annotations

import errno

_LIMITS = {
    errno.EMFILE: "; raise the limit: ulimit -n, or LimitNOFILE= in a systemd unit",
    errno.EAGAIN: ": no more processes or threads; raise the limit: ulimit -u, or TasksMax= in a systemd unit",
    errno.ENFILE: "; raise the limit: sysctl fs.file-max",
}


def refusal(exc: OSError) -> str:
    """Of what, why, and which limit was met, if it is one."""
    where = f"{exc.filename}: " if exc.filename else ""
    return f"{where}{exc.strerror or exc}{_LIMITS.get(exc.errno or 0, '')}"
