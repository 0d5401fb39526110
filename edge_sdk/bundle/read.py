"""Reading a bundle: nothing in it is believed before sizes, paths, limits and hashes are checked."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import stat
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from types import TracebackType

import numpy as np
from pydantic import JsonValue, ValidationError

from edge_sdk.array_files import READING_ERRORS
from edge_sdk.bundle.manifest import MANIFEST, SCHEMA_VERSION, Manifest, Variant
from edge_sdk.contract import Contract, describe_validation
from edge_sdk.edgetpu.plan import Plan
from edge_sdk.errors import BundleError, BundleVersionError
from edge_sdk.inputs import check_plain_file
from edge_sdk.printable import no_control_characters
from edge_sdk.tasks import TaskSettings
from edge_sdk.tensors import Array

MAX_ENTRIES = 1_000
MAX_DIRECTORY_BYTES = 1 << 20
MAX_MANIFEST_BYTES = 4 << 20
MAX_PLAN_BYTES = 32 << 20
MAX_TOTAL_BYTES = 4 << 30
MAX_ARRAY_BYTES = 256 << 20
_CHUNK_BYTES = 1 << 20


class Bundle:
    """An open bundle. Every entry was checked against its hash when it was opened.

    Args:
        path: the ``.edge`` file.

    Raises:
        BundleError: if it is damaged, hostile or no bundle.
        BundleVersionError: if a newer edge-sdk wrote it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        check_plain_file(self.path, BundleError, give="a bundle (.edge)", most_bytes=MAX_TOTAL_BYTES)
        try:
            _check_directory(self.path)
            self._zip = zipfile.ZipFile(self.path)
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as exc:
            raise BundleError(f"{self.path} is not a bundle (a zip file made by edge-sdk convert): {exc}") from exc
        try:
            self._check_entries()
            self.manifest = self._read_manifest()
            self._check_files()
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> Bundle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    def read(self, name: str) -> bytes:
        """One entry's content.

        Raises:
            BundleError: if there is no such entry, or it changed on disk since the bundle was opened.
        """
        stored = self.manifest.files.get(name)
        if stored is None:
            raise BundleError(f"{self.path} has no entry {name!r}; it has {', '.join(sorted(self.manifest.files))}")
        content = self._content(name)
        self._check_hash(name, hashlib.sha256(content).hexdigest())
        return content

    def variant(self, id_: str | None = None, *, kinds: tuple[str, ...] = ()) -> Variant:
        """The variant of this id; without one, the first of the ``kinds`` that a board runs, else the bundle's first.

        Raises:
            BundleError: if there is none.
        """
        variants = self.manifest.variants
        if id_ is not None:
            for variant in variants:
                if variant.id == id_:
                    return variant
            raise BundleError(f"{self.path} has no variant {id_!r}; it has {', '.join(v.id for v in variants)}")
        for kind in kinds:
            for variant in variants:
                if variant.kind == kind:
                    return variant
        if kinds:
            raise BundleError(
                f"{self.path} has no variant for this board, which runs {', '.join(kinds)}; it has {', '.join(v.id for v in variants)}"
            )
        return variants[0]

    def contract_of(self, variant: Variant) -> Contract:
        """The contract that makes the variant's input."""
        return variant.contract or self.manifest.contract

    def task_of(self, variant: Variant) -> TaskSettings:
        """The settings of the task that decodes the variant's outputs."""
        return variant.task or self.manifest.task

    def golden_inputs_of(self, variant: Variant) -> str | None:
        """The entry with the raw inputs of the variant's golden vectors, or None."""
        return variant.golden_inputs or self.manifest.golden_inputs

    def measured_of(self, variant: Variant) -> dict[str, JsonValue]:
        """What was measured of the variant."""
        return variant.measured or self.manifest.measured

    def model_of(self, variant: Variant) -> bytes:
        """The file that an engine runs.

        Raises:
            BundleError: if the variant is a pipeline of several, or damaged.
        """
        if variant.segments:
            others = ", ".join(each.id for each in self.manifest.variants if not each.segments)
            raise BundleError(
                f"{self.path}: variant {variant.id} is a pipeline of {len(variant.segments) + 1} segments, each for an Edge TPU of its "
                f"own; one engine runs one file. Variants of one file: {others or 'none'}"
            )
        return self.read(variant.file)

    def segments_of(self, variant: Variant) -> tuple[bytes, ...]:
        """The files of a pipeline, in the order that they run; of any other variant its one file.

        Raises:
            BundleError: if one is damaged.
        """
        return tuple(self.read(name) for name in (variant.file, *variant.segments))

    def plan_of(self, variant: Variant) -> Plan | None:
        """What the Edge TPU makes of the variant's model, or None if the bundle does not say.

        Raises:
            BundleError: if the entry is no plan.
        """
        if variant.plan is None:
            return None
        content = self.read(variant.plan)
        if len(content) > MAX_PLAN_BYTES:
            raise BundleError(
                f"{self.path}: plan {variant.plan!r} has {len(content)} bytes; at most {MAX_PLAN_BYTES} are allowed"
            )
        try:
            return Plan.model_validate_json(content)
        except ValidationError as exc:
            raise BundleError(describe_validation(exc, f"{self.path}: {variant.plan}")) from exc

    def labels(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the model's output; empty if the bundle has none."""
        if self.manifest.labels is None:
            return ()
        try:
            return tuple(map(no_control_characters, self.read(self.manifest.labels).decode().splitlines()))
        except ValueError as exc:
            raise BundleError(
                f"{self.path}: entry {self.manifest.labels!r} is not text in UTF-8, a label a line: {exc}"
            ) from exc

    def arrays(self, name: str) -> dict[str, Array]:
        """The arrays of an ``.npz`` entry.

        Raises:
            BundleError: if there is no such entry, or it is no ``.npz`` of plain arrays; pickled objects are refused.
        """
        content = io.BytesIO(self.read(name))
        try:
            with zipfile.ZipFile(content) as inner:
                unpacked = sum(entry.file_size for entry in inner.infolist())
            if unpacked > MAX_ARRAY_BYTES:
                raise BundleError(
                    f"{self.path}: arrays {name!r} have {unpacked} bytes; at most {MAX_ARRAY_BYTES} are allowed"
                )
            with np.load(content, allow_pickle=False) as stored:
                arrays = {key: stored[key] for key in stored.files}
        except READING_ERRORS as exc:
            raise BundleError(f"{self.path}: entry {name!r} does not hold plain arrays: {exc}") from exc
        for key, array in arrays.items():
            if array.dtype.kind not in "biuf":
                raise BundleError(
                    f"{self.path}: array {key!r} of entry {name!r} holds {array.dtype}; numbers are needed"
                )
        return arrays

    def _check_entries(self) -> None:
        entries = self._zip.infolist()
        if len(entries) > MAX_ENTRIES:
            raise BundleError(f"{self.path} has {len(entries)} entries; at most {MAX_ENTRIES} are allowed")
        names = set()
        for entry in entries:
            name = entry.filename
            parts = PurePosixPath(name).parts
            if not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in name or name.endswith("/"):
                raise BundleError(
                    f"{self.path}: entry {name!r} is not a plain relative path; the bundle is hostile or damaged"
                )
            if name in names:
                raise BundleError(f"{self.path}: entry {name!r} stands twice")
            names.add(name)
            if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
                raise BundleError(f"{self.path}: entry {name!r} is a link or device; the bundle is hostile or damaged")
            if (
                entry.compress_type != zipfile.ZIP_STORED
                or entry.file_size != entry.compress_size
                or entry.flag_bits & 1
            ):
                raise BundleError(
                    f"{self.path}: entry {name!r} is compressed or encrypted; a bundle's entries are stored plain"
                )
        total = sum(entry.file_size for entry in entries)
        on_disk = self.path.stat().st_size
        if total > min(MAX_TOTAL_BYTES, on_disk):
            raise BundleError(
                f"{self.path}: its entries claim {total} bytes, the file has {on_disk} and the limit is {MAX_TOTAL_BYTES}; "
                "the bundle is hostile or damaged"
            )
        if MANIFEST not in names:
            raise BundleError(f"{self.path} has no {MANIFEST}; it is not a bundle made by edge-sdk convert")
        if self._zip.getinfo(MANIFEST).file_size > MAX_MANIFEST_BYTES:
            raise BundleError(f"{self.path}: {MANIFEST} is larger than {MAX_MANIFEST_BYTES} bytes")

    def _read_manifest(self) -> Manifest:
        try:
            content = json.loads(self._content(MANIFEST))
        except (ValueError, RecursionError) as exc:
            raise BundleError(f"{self.path}: {MANIFEST} is not JSON: {exc}") from exc
        version = content.get("schema_version") if isinstance(content, dict) else None
        if not isinstance(version, int) or isinstance(version, bool):
            raise BundleError(
                f"{self.path}: {MANIFEST} has no schema_version; it is not a bundle made by edge-sdk convert"
            )
        if version > SCHEMA_VERSION:
            raise BundleVersionError(
                f"{self.path} has schema version {version}; this edge-sdk reads up to {SCHEMA_VERSION}. "
                "Run: pip install --upgrade edge-device-sdk"
            )
        try:
            return Manifest.model_validate(content)
        except ValidationError as exc:
            raise BundleError(describe_validation(exc, f"{self.path}: {MANIFEST}")) from exc

    def _check_files(self) -> None:
        present = {entry.filename for entry in self._zip.infolist()} - {MANIFEST}
        stated = set(self.manifest.files)
        if present != stated:
            odd = ", ".join(sorted(present ^ stated))
            raise BundleError(
                f"{self.path}: the manifest and the file do not have the same entries; they differ in {odd}"
            )
        manifest = self.manifest
        named = [manifest.labels, manifest.golden_inputs, manifest.report]
        named += [variant.golden_inputs for variant in manifest.variants]
        named += [n for v in manifest.variants for n in (v.file, v.golden, v.plan, *v.segments)]
        for name in named:
            if name is not None and name not in stated:
                raise BundleError(f"{self.path}: the manifest names {name!r}, which the bundle does not hold")
        if len({variant.id for variant in manifest.variants}) != len(manifest.variants):
            raise BundleError(f"{self.path}: two variants have the same id")
        for name, stored in manifest.files.items():
            size = self._zip.getinfo(name).file_size
            if size != stored.size_bytes:
                raise BundleError(
                    f"{self.path}: entry {name!r} has {size} bytes, the manifest states {stored.size_bytes}"
                )
            self._check_hash(name, self._hash(name))

    def _check_hash(self, name: str, found: str) -> None:
        if found != self.manifest.files[name].sha256:
            raise BundleError(
                f"{self.path}: entry {name!r} does not have the hash that the manifest states; the file is damaged"
            )

    def _hash(self, name: str) -> str:
        digest = hashlib.sha256()
        with self._reading(name), self._zip.open(name) as entry:
            while chunk := entry.read(_CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()

    def _content(self, name: str) -> bytes:
        with self._reading(name):
            return self._zip.read(name)

    @contextlib.contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        try:
            yield
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, RuntimeError) as exc:
            raise BundleError(f"{self.path}: entry {name!r} cannot be read: {exc}") from exc


def _check_directory(path: Path) -> None:
    """Refuse a directory of entries that is too long, before ``zipfile`` reads it whole.

    It goes by the file's end record, which stands last and has the directory's size at byte 12 (APPNOTE.TXT 4.3.16). The locator of a
    64-bit record before it would overrule that; the writer of bundles needs one only beyond 2 GiB.

    Raises:
        BundleError: if the directory is too long.
        BadZipFile: if the file does not end as a bundle does.
    """
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(size - 42, 0))
        end = file.read()
    if len(end) < 42 or end[20:24] != b"PK\5\6":
        raise zipfile.BadZipFile("it does not end in a directory of entries; it was cut off, or is no zip file")
    (directory_bytes,) = struct.unpack("<L", end[32:36])
    if directory_bytes > MAX_DIRECTORY_BYTES or (end[:4] == b"PK\6\7" and size < zipfile.ZIP64_LIMIT):
        raise BundleError(
            f"{path} has a directory of more than {MAX_DIRECTORY_BYTES} bytes, or a 64-bit one that it does not need; "
            "the bundle is hostile or damaged"
        )
