"""What the doctor looks at: this machine by default, a folder of files and a fake or two in a test."""

from __future__ import annotations

import os
import platform
import pwd
import re
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import TYPE_CHECKING

from edge_sdk.doctor.probe import Probe, try_import, try_interpreter, try_providers
from edge_sdk.profiles import our_boards

if TYPE_CHECKING:
    from boards.detect import Detection


def try_shared_memory() -> str:
    """Make and drop what the process engine needs of the kernel; says why that is impossible, or nothing."""
    try:
        os.close(os.memfd_create("edge-sdk-doctor"))
        os.close(os.eventfd(0))
    except (OSError, AttributeError) as exc:
        return str(exc)
    return ""


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a container without an entry for this number
        return str(os.geteuid())


@dataclass(frozen=True)
class Environment:
    """A machine and a Python on it.

    Attributes:
        root: where dev, proc, sys, etc and usr are.
        search_path: folders in which Python finds packages.
        python: its version, (major, minor).
        bits: of Python's pointers: of the userland, whatever the kernel is.
        machine: the kernel's name of itself.
        in_virtual_environment: whether system packages may be out of sight.
        page_size_bytes: of the kernel.
        interpreter_probe, import_probe, providers_probe: see ``edge_sdk.doctor.probe``.
        can_open: whether a device may be read and written by this user.
        kernel: its release.
        user, user_id: who runs this.
        group_ids: those of this process.
        shared_memory_error: why memfd or eventfd do not work, or "".
    """

    root: Path = Path("/")
    search_path: tuple[str, ...] = field(default_factory=lambda: tuple(sys.path))
    python: tuple[int, int] = (sys.version_info.major, sys.version_info.minor)
    bits: int = struct.calcsize("P") * 8
    machine: str = field(default_factory=platform.machine)
    in_virtual_environment: bool = sys.prefix != sys.base_prefix
    page_size_bytes: int = field(default_factory=lambda: os.sysconf("SC_PAGE_SIZE"))
    kernel: str = field(default_factory=platform.release)
    user: str = field(default_factory=_user)
    user_id: int = field(default_factory=os.geteuid)
    group_ids: frozenset[int] = field(default_factory=lambda: frozenset((os.getegid(), *os.getgroups())))
    interpreter_probe: Callable[[str, tuple[str, ...]], Probe] = try_interpreter
    import_probe: Callable[[str, tuple[str, ...]], Probe] = try_import
    providers_probe: Callable[[tuple[str, ...]], Probe] = try_providers
    can_open: Callable[[Path], bool] = lambda path: os.access(path, os.R_OK | os.W_OK)
    shared_memory_error: Callable[[], str] = try_shared_memory

    @cached_property
    def packages(self) -> dict[str, Distribution]:
        """Installed distributions by their normal name (PEP 503): lower case, single hyphens."""
        found: dict[str, Distribution] = {}
        for distribution in distributions(path=list(self.search_path)):
            try:
                metadata = distribution.metadata
            except (
                FileNotFoundError
            ):  # what the backport, importlib_metadata, says of a folder left over from an uninstall
                continue
            if metadata and "Name" in metadata:
                name = metadata["Name"]
                found.setdefault(name.lower().replace("_", "-").replace(".", "-"), distribution)
        return found

    def version(self, package: str) -> str | None:
        """Version of an installed distribution, or None."""
        found = self.packages.get(package)
        return found.version if found else None

    def major(self, package: str) -> int | None:
        """First number of an installed distribution's version, or None."""
        number = re.match(r"\d+", self.version(package) or "")
        return int(number[0]) if number else None

    def detection(self) -> Detection:
        """The board and its accelerators.

        Raises:
            BoardError: if the profiles are gone, broken or not ours.
            ImportError: if what reads them (pydantic) is not installed.
        """
        with our_boards():
            from boards.detect import detect
        return detect(self.root, self.machine)

    def exists(self, path: str) -> bool:
        """Whether an absolute path is there below the root; it may hold ``*``."""
        return any(self.root.glob(path.lstrip("/")))
