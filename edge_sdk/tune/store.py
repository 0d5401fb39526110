"""The choice that was measured here, kept for the next start: one small file a bundle, in the state directory.

It holds for one bundle, board, machine and set of packages; where one of them is another by now, it is stale, and that is said.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_sdk import __version__
from edge_sdk.bundle import Bundle
from edge_sdk.contract import describe_validation
from edge_sdk.engines.cores import as_text, usable_cores
from edge_sdk.engines.variants import KINDS
from edge_sdk.errors import OutputError
from edge_sdk.profiles import our_boards
from edge_sdk.tune.candidates import name_of
from edge_sdk.watchdog.plan import STATE_VARIABLE
from edge_sdk.watchdog.state import StateError, pack, unpack, write_whole

_MOST_BYTES = 1 << 20
_FOLDER = "tuned"

Verdict = Literal["taken", "slower", "wrong", "cannot run", "left out"]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Row(_Strict):
    """What became of one candidate, or of a variant that is none.

    Attributes:
        variant, engine, options: the candidate's; without an engine it is the variant as a whole.
        golden: largest difference from the golden vectors, in steps of a quantized output or relative to the largest value; None where
            nothing was compared, -1 where it has no measure (NaN, infinity).
        p25_ms, p50_ms, p95_ms: of a whole step: encode, engine, decode. The first is what decides between two.
        memory_mb: PSS of the engine's process, in 10^6 bytes.
        startup_ms: until the first inference, the engine's libraries included.
        runs: how many steps were timed.
        verdict, reason: what it came to, and why.
    """

    variant: str
    engine: str = ""
    options: dict[str, str] = {}
    golden: float | None = None
    p25_ms: float | None = Field(default=None, ge=0)
    p50_ms: float | None = Field(default=None, ge=0)
    p95_ms: float | None = Field(default=None, ge=0)
    memory_mb: float | None = Field(default=None, ge=0)
    startup_ms: float | None = Field(default=None, ge=0)
    runs: int = Field(default=0, ge=0)
    verdict: Verdict
    reason: str = ""

    @property
    def name(self) -> str:
        """Of the candidate."""
        return name_of(self.variant, self.engine, self.options) if self.engine else self.variant


class Holds(_Strict):
    """What a choice holds for.

    Attributes:
        bundle: hash of its manifest, which has the hashes of all else.
        board: that the user named, else that was detected; empty without a profile.
        machine: the processor's name and the cores that may be used.
        accelerators: those that are seen.
        packages: versions of edge-sdk and of all that engines need.
    """

    bundle: str
    board: str
    machine: str
    accelerators: tuple[str, ...]
    packages: dict[str, str]

    def changes_to(self, now: Holds) -> str:
        """What is another by now, in words; empty if nothing is."""
        changes = ["the bundle is another"] if self.bundle != now.bundle else []
        for name, was, is_ in (
            ("board", self.board or "unknown", now.board or "unknown"),
            ("machine", self.machine, now.machine),
            ("accelerators seen", ", ".join(self.accelerators) or "none", ", ".join(now.accelerators) or "none"),
        ):
            if was != is_:
                changes.append(f"{name}: {was} then, {is_} now")
        for package in sorted(self.packages | now.packages):
            was, is_ = (each.packages.get(package, "not installed") for each in (self, now))
            if was != is_:
                changes.append(f"{package}: {was} then, {is_} now")
        return "; ".join(changes)


class Tuned(_Strict):
    """A choice with all that was measured for it. ``rows`` begin with the one that was taken."""

    holds: Holds
    objective: str
    why: str
    seconds: float = Field(ge=0)
    rows: tuple[Row, ...] = Field(min_length=1)

    @property
    def taken(self) -> Row:
        """The choice."""
        return self.rows[0]


def holds_now(bundle: Bundle, board: str | None) -> Holds:
    """What a choice that is made now holds for."""
    return Holds(
        bundle=hashlib.sha256(bundle.manifest.model_dump_json().encode()).hexdigest(),
        board=_detected() if board is None else board,
        machine=f"{_processor()}, cores {as_text(usable_cores())}",
        accelerators=tuple(each for kind in KINDS for each in kind.seen()),
        packages=_versions(),
    )


def state_dirs() -> tuple[Path, ...]:
    """Where choices are kept: the supervisor's state directory, systemd's, the user's. The first is written to, all are read.

    Raises:
        OutputError: if there is none.
    """
    given = (os.environ.get(STATE_VARIABLE, ""), os.environ.get("STATE_DIRECTORY", "").partition(":")[0])
    found = [Path(each) for each in given if each]
    home = os.environ.get("XDG_STATE_HOME")
    try:
        found.append((Path(home) if home else Path.home() / ".local/state") / "edge-sdk")
    except RuntimeError as exc:
        if not found:
            raise OutputError("this user has no home folder to keep the choice in; give --state-dir") from exc
    return tuple(dict.fromkeys(found))


def file_of(folder: Path, bundle: Path) -> Path:
    """Where in a state directory the choice for the bundle at this path is. A bundle that is replaced by a newer one keeps its file."""
    path = Path(os.path.abspath(bundle))  # noqa: PTH100 - links stay: the newest bundle may be one
    return folder / _FOLDER / f"{path.stem[:80]}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}.json"


def keep(tuned: Tuned, bundle: Path, folder: Path) -> Path:
    """Write the choice; where.

    Raises:
        OutputError: if the system refuses.
    """
    path = file_of(folder, bundle)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, pack(tuned.model_dump(mode="json")))
    except OSError as exc:
        raise OutputError(
            f"the choice cannot be kept in {path.parent}: {exc.strerror}; give a folder that can be written: --state-dir DIR"
        ) from exc
    return path


def stored(bundle: Path, folders: tuple[Path, ...], say: Callable[[str], None]) -> Tuned | None:
    """The choice that was kept for the bundle at this path, in the first of these folders that has one; None without.

    Args:
        bundle: its path.
        folders: see ``state_dirs``.
        say: told of a file that cannot be used.
    """
    for path in (file_of(folder, bundle) for folder in folders):
        try:
            with path.open("rb") as file:
                return Tuned.model_validate(unpack(file.read(_MOST_BYTES)))
        except FileNotFoundError:
            continue
        except OSError as exc:
            say(f"the choice kept in {path} cannot be read: {exc.strerror}")
        except StateError as exc:
            say(f"the choice kept in {path} is not used: {exc}")
        except ValidationError as exc:
            say(f"the choice kept in {path} is not used: {describe_validation(exc, 'it')}")
    return None


def _detected() -> str:
    with our_boards():
        from boards.detect import detect
    return detect().board or ""


def _processor() -> str:
    """Its name: of x86 the model, of Arm the implementer's and part's numbers (proc_cpuinfo(5))."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    named = facts.get("model name") or facts.get("Model") or facts.get("Hardware")
    parts = sorted({line.partition(":")[2].strip() for line in lines if line.startswith("CPU part")})
    return ", ".join(filter(None, (named, *parts))) or os.uname().machine


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {"edge-device-sdk": __version__}
    for package in sorted({package for kind in KINDS for package in kind.packages}):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
