"""The trio: interpreter, libedgetpu and kernel driver, which must fit each other, or the process dies.

libedgetpu passes the interpreter a structure whose length depends on the TensorFlow that it was built for. What others have seen work,
or not, stands in the profiles of the accelerators, ``boards/coral-*.toml``, with its source.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edge_sdk.edgetpu.devices import list_devices, system_root
from edge_sdk.profiles import our_boards

if TYPE_CHECKING:
    from boards.profile import Software

Standing = Literal["good", "unverified", "bad", "unknown"]
_LIBRARY_FOLDERS = ("usr/local/lib", "usr/lib/*-linux-gnu*", "lib/*-linux-gnu*", "usr/lib", "lib", "usr/lib64")
_PACKAGES = ("libedgetpu1-std", "libedgetpu1-max", "libedgetpu1-legacy-std", "libedgetpu1-legacy-max")


@dataclass(frozen=True)
class Trio:
    """What is installed here.

    Attributes:
        interpreter: its package as the index names it, ``ai-edge-litert``; and its version.
        library: libedgetpu's file, resolved, or None where it is not found.
        library_package: the Debian package that it came with, ``libedgetpu1-std 16.0``, or "".
        driver: version of the kernel's module for a device on PCI, or "" where USB alone is used, which needs none.
    """

    interpreter: str
    interpreter_version: str
    library: Path | None
    library_package: str
    driver: str

    @property
    def key(self) -> str:
        """Equal for equal trios: of the library's content, not of its name."""
        content = self.library.read_bytes() if self.library else b""
        parts = (hashlib.sha256(content).hexdigest(), self.interpreter, self.interpreter_version, self.driver)
        return " ".join((*parts, platform.python_version(), platform.release() if self.driver else "usb"))

    def __str__(self) -> str:
        library = self.library_package or f"{self.library or 'libedgetpu'} (of no package)"
        driver = f"driver {self.driver}" if self.driver else "no driver, as by USB"
        return f"{self.interpreter} {self.interpreter_version}, {library}, {driver}"


@dataclass(frozen=True)
class Judgement:
    """What is known of a trio: ``good`` and ``bad`` are verified or concluded, as the entry says; ``unknown`` has no entry."""

    standing: Standing
    entry: Software | None = None

    def __str__(self) -> str:
        if self.entry is None:
            return "nobody is on record for this combination"
        said = {"good": "reported to work", "unverified": "said to work, unverified", "bad": "reported not to work"}
        if self.standing == "bad" and not self.entry.verified:
            return f"expected not to work ({self.entry.source})"
        return f"{said[self.standing]} ({self.entry.source})"


def find_trio(interpreter: str, interpreter_version: str, library: str) -> Trio:
    """The trio of this machine.

    Args:
        interpreter: the package's import name, such as ``ai_edge_litert``.
        interpreter_version: of it.
        library: libedgetpu's name or path.
    """
    root = system_root()
    file = find_library(library)
    package = library_package(root) if file and not str(file).startswith("/usr/local") else ""
    on_pci = any(device.bus == "pci" for device in list_devices())
    return Trio(
        interpreter.replace("_", "-"), interpreter_version, file, package, driver_version(root) if on_pci else ""
    )


def find_library(library: str, root: Path = Path("/")) -> Path | None:
    """The file that a name or path of a library means, with links resolved; a name is looked for in the folders below ``root``."""
    if "/" in library:
        return Path(library).resolve() if Path(library).is_file() else None
    folders = [Path(each) for each in os.environ.get("LD_LIBRARY_PATH", "").split(":") if each]
    folders += [each for pattern in _LIBRARY_FOLDERS for each in sorted(root.glob(pattern))]
    return next((file.resolve() for folder in folders if (file := folder / library).is_file()), None)


def entries() -> tuple[Software, ...]:
    """What the profiles say, those to take in front; of the accelerators that are seen here, else of the one on USB."""
    with our_boards():
        import boards
    ids = {device.id for device in list_devices()}
    found = [each for each in map(boards.load, boards.names()) if isinstance(each, boards.Accelerator)]
    seen = [each for each in found if ids & set(each.connection.ids)]
    wanted = seen or [each for each in found if each.name == "coral-usb"]
    return tuple(dict.fromkeys(entry for board in wanted for entry in board.software))


def judge(trio: Trio, known: tuple[Software, ...]) -> Judgement:
    """What is known of this trio."""
    library = trio.library_package.partition(" ")[2].partition("-")[0]
    for entry in known:
        named = entry.interpreter.partition(" ")[0] == trio.interpreter and library in entry.libraries
        if named and any(_fits(trio.interpreter_version, rule) for rule in entry.versions):
            if not entry.works:
                return Judgement("bad", entry)
            return Judgement("good" if entry.verified else "unverified", entry)
    return Judgement("unknown")


def advice(known: tuple[Software, ...]) -> str:
    """The combinations to take, in one sentence."""
    good = [each for each in known if each.works and each.libedgetpu and "cannot use it" not in each.note]
    good.sort(key=lambda each: not each.verified)
    listed = [f"{each.interpreter} with libedgetpu {each.libedgetpu} ({_word(each)}: {each.source})" for each in good]
    return f"combinations that work: {'; '.join(listed)}" if listed else "no combination that works is known"


def _word(entry: Software) -> str:
    return "verified" if entry.verified else "unverified"


def _fits(version: str, rule: str) -> bool:
    sign, wanted = rule[:2], rule[2:]
    if sign == "==":
        return version == wanted
    found, limit = _numbers(version), _numbers(wanted)
    return found >= limit if sign == ">=" else found <= limit


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition(".post")[0])[:3])


def library_package(root: Path) -> str:
    """The package of libedgetpu that dpkg has installed, with its version, ``libedgetpu1-std 16.0``; "" where there is none."""
    try:
        text = (root / "var/lib/dpkg/status").read_text(encoding="utf-8", errors="replace")
    except OSError:  # no Debian
        return ""
    for stanza in text.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Status|Version): (.*)$", stanza, re.MULTILINE))
        if fields.get("Package") in _PACKAGES and fields.get("Status", "").endswith(" installed"):
            return f"{fields['Package']} {fields.get('Version', '')}"
    return ""


def driver_version(root: Path) -> str:
    """The kernel's module for devices on PCI, with its version."""
    for module in ("apex", "gasket"):
        try:
            return f"{module} {(root / 'sys/module' / module / 'version').read_text().strip()}"
        except OSError:  # not loaded, or it does not say
            continue
    return "of unknown version"
