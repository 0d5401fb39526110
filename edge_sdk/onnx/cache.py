"""What was built for one model on one machine, kept in a folder: never that of another version, never one that is half written.

A folder is made beside its place and renamed when it is whole. ``cache.json`` in it says what it was built from, and the SHA-256 of each
file.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from edge_sdk.engines.starting import long_start, say
from edge_sdk.errors import EngineError
from edge_sdk.refusal import refusal

_SEAL = "cache.json"
_FORM = "1"  # of these folders


class BuildCache:
    """One build.

    Args:
        root: the folder of all builds.
        thing: what it is, for messages and its folder's name: ``"engine"``.
        facts: what it depends on: another value of any is another build.

    Attributes:
        folder: where it is.

    Raises:
        EngineError: if ``root`` cannot be written.
    """

    def __init__(self, root: Path, thing: str, facts: Mapping[str, str]) -> None:
        self._thing, self._facts = thing, {**facts, "form": _FORM}
        key = hashlib.sha256(json.dumps(self._facts, sort_keys=True).encode()).hexdigest()[:32]
        self.folder = root / f"{thing}-{key}"
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise _unusable(root, exc) from exc

    @contextmanager
    def locked(self, build_s: float) -> Iterator[None]:
        """One process at a time: the second one finds what the first has built.

        Args:
            build_s: the longest that a build may take, and so the other process.

        Raises:
            EngineError: if the folder cannot be written.
        """
        try:
            fd = os.open(self.folder.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as exc:
            raise _unusable(self.folder.parent, exc) from exc
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                with long_start(f"waiting for another process, which works on {self.folder}", build_s):
                    fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def is_whole(self) -> bool:
        """Whether it is there, and as it was when it was made; what is not is removed, and that is said."""
        if not self.folder.exists():
            return False
        if why := self._broken():
            self.drop(why)
            return False
        return True

    def drop(self, why: str) -> None:
        """Remove it, and say why."""
        say(f"the {self._thing} kept in {self.folder} is not used and removed: {why}")
        shutil.rmtree(self.folder, ignore_errors=True)

    def is_unchanged(self) -> bool:
        """Whether nobody has written to it since it was made."""
        return not self._broken()

    @contextmanager
    def building(self, *, on: bool = False) -> Iterator[Path]:
        """A folder to build in, which takes the build's place when the block ends well.

        Args:
            on: begin with what is there already.

        Raises:
            EngineError: if it cannot be written.
        """
        beside = self.folder.with_suffix(".new")
        try:
            if beside.exists():
                say(f"an interrupted build of the {self._thing} is removed: {beside}")
                shutil.rmtree(beside)
            if on and self.is_whole():
                shutil.copytree(self.folder, beside)
                (beside / _SEAL).unlink()
            else:
                beside.mkdir()
        except OSError as exc:
            raise _unusable(self.folder.parent, exc) from exc
        try:
            yield beside
            self._seal(beside)
            shutil.rmtree(self.folder, ignore_errors=True)
            beside.rename(self.folder)
        except OSError as exc:
            raise _unusable(self.folder.parent, exc) from exc
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def _seal(self, folder: Path) -> None:
        seal = {"facts": self._facts, "files": _digests(folder)}
        with (folder / _SEAL).open("w", encoding="utf-8") as file:
            json.dump(seal, file, indent=1)
            file.flush()
            os.fsync(file.fileno())

    def _broken(self) -> str:
        """What is wrong with it; empty if nothing is."""
        try:
            seal = json.loads((self.folder / _SEAL).read_text(encoding="utf-8"))
            found = _digests(self.folder)
        except (OSError, ValueError) as exc:
            return f"it is half written, or damaged: {exc}"
        if not isinstance(seal, dict) or seal.get("facts") != self._facts:
            return "it was built from something else"
        if not isinstance(files := seal.get("files"), dict):
            return "it is damaged: it does not say what it holds"
        changed = [name for name, digest in found.items() if files.get(name) != digest]
        if changed or set(found) != set(files):
            names = changed or sorted(set(files) - set(found))
            return f"{names[0]} is not as it was when it was built"
        return ""


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file but the seal, by its path below the folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != _SEAL:
            with path.open("rb") as file:
                digest = hashlib.sha256()
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
            found[str(path.relative_to(folder))] = digest.hexdigest()
    return found


def _unusable(root: Path, exc: OSError) -> EngineError:
    return EngineError(
        f"engine onnx keeps what TensorRT builds in {root}, which cannot be written: {refusal(exc)}. Name another folder with "
        "the option cache"
    )
