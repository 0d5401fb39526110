"""Reading bundles: everything hostile or damaged is a BundleError that says what it is."""

from __future__ import annotations

import io
import json
import stat
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_sdk.bundle import Bundle
from edge_sdk.bundle.read import MAX_ARRAY_BYTES, MAX_ENTRIES, MAX_MANIFEST_BYTES
from edge_sdk.bundle.write import stored_files
from edge_sdk.errors import BundleError, BundleVersionError

FILES = {"model.tflite": b"weights" * 100, "labels.txt": b"cat\ndog\n"}


def manifest() -> dict[str, Any]:
    spec = {"name": "in", "shape": [1, 4], "dtype": "int8", "scale": 0.5, "zero_point": 0}
    variant = {"id": "tflite-int8", "kind": "tflite-int8", "file": "model.tflite", "inputs": [spec], "outputs": [spec]}
    return {
        "schema_version": 1,
        "name": "pets",
        "created_by": "a test",
        "contract": {"input": "tensor"},
        "task": {"kind": "raw"},
        "labels": "labels.txt",
        "variants": [variant],
        "files": {name: stored.model_dump() for name, stored in stored_files(FILES).items()},
    }


Entries = list[tuple[zipfile.ZipInfo, bytes]]


def entries(content: dict[str, Any] | bytes | None = None) -> Entries:
    """A good bundle's entries, with another manifest where one is given."""
    text = content if isinstance(content, bytes) else json.dumps(content or manifest()).encode()
    return [(zipfile.ZipInfo("manifest.json"), text), *((zipfile.ZipInfo(name), data) for name, data in FILES.items())]


def packed(path: Path, found: Entries) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        for info, data in found:
            made.writestr(info, data)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pets.edge"


def test_a_good_bundle_is_read(path: Path) -> None:
    with Bundle(packed(path, entries())) as bundle:
        assert bundle.manifest.name == "pets"
        assert bundle.labels() == ("cat", "dog")
        assert bundle.read("model.tflite") == FILES["model.tflite"]
        assert bundle.variant().id == bundle.variant(kinds=("edgetpu", "tflite-int8")).id == "tflite-int8"


# Entries


def extra(name: str, **fields: object) -> Entries:
    info = zipfile.ZipInfo("placeholder")
    info.filename = name
    for field, value in fields.items():
        setattr(info, field, value)
    return [*entries(), (info, b"x" * 500)]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (extra("../../etc/cron.d/x"), "is not a plain relative path"),
        (extra("a/../../x"), "is not a plain relative path"),
        (extra("/etc/passwd"), "is not a plain relative path"),
        (extra("..\\x"), "is not a plain relative path"),
        (extra("C:x"), "is not a plain relative path"),
        (extra("folder/"), "is not a plain relative path"),
        (extra("model.tflite"), "stands twice"),
        (extra("manifest.json"), "stands twice"),
        (extra("x", compress_type=zipfile.ZIP_DEFLATED), "is compressed"),
        (extra("x", external_attr=(stat.S_IFLNK | 0o777) << 16), "is a link or device"),
        (extra("x", external_attr=(stat.S_IFCHR | 0o666) << 16), "is a link or device"),
        (extra("x"), "do not have the same entries; they differ in x"),
        (entries()[:-1], "do not have the same entries; they differ in labels.txt"),
        (entries()[1:], "has no manifest.json"),
        ([(zipfile.ZipInfo(str(i)), b"") for i in range(MAX_ENTRIES + 1)], "1001 entries; at most 1000"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hostile_and_odd_entries_are_refused(path: Path, found: Entries, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        Bundle(packed(path, found))


def test_a_claimed_size_beyond_the_file_is_refused_before_anything_is_allocated(path: Path) -> None:
    content = packed(path, entries()).read_bytes()
    at = content.rindex(b"PK\x01\x02")  # the central directory's last entry: sizes at 20 and 24
    path.write_bytes(content[: at + 20] + struct.pack("<II", 3 << 30, 3 << 30) + content[at + 28 :])
    with pytest.raises(BundleError, match=r"entries claim 3\d+ bytes, the file has \d{4}"):
        Bundle(path)


def test_an_encrypted_entry_is_refused(path: Path) -> None:
    content = bytearray(packed(path, entries()).read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match="is compressed or encrypted"):
        Bundle(path)


def test_one_changed_byte_is_found_by_its_hash(path: Path) -> None:
    content = packed(path, entries()).read_bytes()
    changed = content.replace(b"weightsweights", b"weightsWeights", 1)
    path.write_bytes(changed)
    with pytest.raises(BundleError, match=r"'model.tflite' cannot be read: Bad CRC"):
        Bundle(path)
    crc = struct.pack("<I", zipfile.crc32(changed[changed.index(b"weights") :][:700]))  # a forger mends the CRC
    old = struct.pack("<I", zipfile.crc32(FILES["model.tflite"]))
    path.write_bytes(changed.replace(old, crc))
    with pytest.raises(BundleError, match=r"'model.tflite' does not have the hash that the manifest states"):
        Bundle(path)


def test_a_change_on_disk_after_opening_is_found(path: Path) -> None:
    with Bundle(with_entry(path, "large", b"weights" * 20_000)) as bundle:
        content = path.read_bytes()
        with path.open("r+b") as opened:  # the same file, as a download over it would
            opened.write(content.replace(b"weights", b"WEIGHTS"))
        with pytest.raises(BundleError, match="'large' cannot be read: Bad CRC"):
            bundle.read("large")


# The manifest


def test_a_newer_version_says_what_to_do(path: Path) -> None:
    with pytest.raises(BundleVersionError, match=r"version 6; this edge-sdk reads up to 5. Run: pip install --upgrade"):
        Bundle(packed(path, entries(manifest() | {"schema_version": 6, "unheard_of": 1})))


def with_(way: str, value: object) -> dict[str, Any]:
    found = manifest()
    *steps, last = way.split(".")
    item: Any = found
    for step in steps:
        item = item[int(step)] if step.isdigit() else item[step]
    item[last] = value
    return found


def detecting(**anchors: object) -> dict[str, Any]:
    return {"kind": "detect", "boxes": "in", "scores": "in", "anchors": {"strides": [8], **anchors}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is not JSON"),
        (b"\xff\xfe{", "is not JSON"),
        (b"[" * 200_000, "is not JSON"),
        (b'{"measured":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, "is not JSON"),
        (b'{"schema_version": ' + b"1" * 5_000 + b"}", "is not JSON|newer|reads up to"),
        (b"[]", "has no schema_version"),
        (b"{}", "has no schema_version"),
        (b'{"schema_version": true}', "has no schema_version"),
        (with_("schema_version", 0), "schema_version"),
        (with_("surprise", 1), "surprise: no such key"),
        (with_("variants.0.surprise", 1), "variants.0.surprise: no such key"),
        (with_("variants.0.inputs.0.surprise", 1), "surprise: "),
        (with_("contract.surprise", 1), "contract.surprise: no such key"),
        (with_("variants", []), "variants"),
        (with_("task", {"kind": "magic"}), "task"),
        (with_("labels", "elsewhere.txt"), "names 'elsewhere.txt', which the bundle does not hold"),
        (with_("variants.0.file", "../model"), "names '../model', which the bundle does not hold"),
        (with_("variants", manifest()["variants"] * 2), "two variants have the same id"),
        (
            with_("files", {**manifest()["files"], "ghost": {"sha256": "0" * 64, "size_bytes": 1}}),
            "they differ in ghost",
        ),
        (
            with_("files", {**manifest()["files"], "manifest.json": {"sha256": "0" * 64, "size_bytes": 1}}),
            "manifest.json",
        ),
        (with_("variants.0.inputs.0.dtype", "object"), "dtype 'object'; allowed are int8"),
        (with_("variants.0.inputs.0.shape", [1, -1]), r"shape \(1, -1\); axes are 1 or more"),
        (with_("variants.0.inputs.0.shape", [1 << 20, 1 << 20]), "at most 1073741824 bytes"),
        (with_("variants.0.inputs.0.shape", [1] * 33), "33 axes; at most 32"),
        (with_("variants.0.inputs.0.scale", float("nan")), "int8 and scale nan"),
        (with_("variants.0.inputs.0.dtype", "float32"), "float32 and scale 0.5"),
        (with_("variants.0.golden_tolerance", float("inf")), "golden_tolerance: Input should be a finite number"),
        (with_("variants.0.golden_tolerance", float("nan")), "golden_tolerance: Input should be a finite number"),
        (with_("variants.0.golden_tolerance", -1), "golden_tolerance: Input should be greater than or equal to 0"),
        (with_("measured", {"drop": float("nan")}), r"measured.*Input should be a finite number"),
        (with_("variants.0.id", "\x1b[31mX"), r"id: '\\x1b\[31mX' has a control character"),
        (with_("variants.0.kind", "a\nb"), "kind: .* has a control character"),
        (with_("name", "\x9b2J"), "name: .* has a control character"),
        (with_("name", "n" * 501), "name: String should have at most 500 characters"),
        (with_("boards", ["pi\x07"]), "boards.0: .* has a control character"),
        (with_("task", detecting(strides=[1] * 200_000)), "strides: .* at most 64 items"),
        (with_("task", detecting(aspect_ratios=[1.0] * 100_000)), "aspect_ratios: .* at most 16 items"),
        (with_("task", detecting(offset=[float("nan"), 0.5])), r"offset\.0: Input should be a finite number"),
        (with_("task", {**detecting(), "keypoints": 10**9}), "keypoints: .* less than or equal to 1000"),
    ],
)
def test_a_manifest_that_is_wrong_is_refused_by_name(path: Path, content: Any, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        Bundle(packed(path, entries(content)))


def test_a_manifest_that_is_wrong_in_many_places_is_told_in_a_few_lines(path: Path) -> None:
    with pytest.raises(BundleError) as caught:
        Bundle(packed(path, entries(with_("boards", [0] * 100_000))))
    lines = str(caught.value).splitlines()
    assert len(lines) == 11
    assert "boards.0: Input should be a valid string" in lines[0] and lines[-1].endswith("and 99990 more")


def test_a_wrong_variant_is_not_called_a_missing_one(path: Path) -> None:
    with pytest.raises(BundleError) as caught:
        Bundle(packed(path, entries(with_("variants.0.golden_tolerance", -1))))
    assert len(str(caught.value).splitlines()) == 1


def test_a_wrong_hash_or_size_in_the_manifest_is_refused(path: Path) -> None:
    found = manifest()
    found["files"]["labels.txt"]["sha256"] = "0" * 64
    with pytest.raises(BundleError, match=r"'labels.txt' does not have the hash"):
        Bundle(packed(path, entries(found)))
    found["files"]["labels.txt"]["size_bytes"] = 9
    with pytest.raises(BundleError, match=r"'labels.txt' has 8 bytes, the manifest states 9"):
        Bundle(packed(path, entries(found)))


def test_an_enormous_manifest_is_refused_unread(path: Path) -> None:
    with pytest.raises(BundleError, match="is larger than"):
        Bundle(packed(path, entries(b" " * (MAX_MANIFEST_BYTES + 1))))


# The file


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x03\x04" + b"\0" * 100, b"<html>not found</html>"])
def test_what_is_no_zip_is_named(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"is not a bundle"):
        Bundle(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="does not exist"):
        Bundle(tmp_path / "nothing.edge")
    with pytest.raises(BundleError, match=r"is not a file; give a bundle"):
        Bundle(tmp_path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_anywhere_is_a_bundle_error_or_does_no_harm(path: Path, data: st.DataObject) -> None:
    packed(path, entries())
    content = bytearray(path.read_bytes())
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=5)):
        word = data.draw(st.sampled_from([b"\xff\xff\xff\xff", b"\0\0\0\0"]) | st.binary(min_size=1, max_size=4))
        content[at : at + len(word)] = word
    path.write_bytes(content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))])
    try:
        with Bundle(path) as bundle:
            assert bundle.read("model.tflite") == FILES["model.tflite"]
            assert bundle.labels() == ("cat", "dog")
    except BundleError:
        return


# What is asked of a bundle


def test_variants_and_entries_that_are_not_there_are_named(path: Path) -> None:
    with Bundle(packed(path, entries())) as bundle:
        with pytest.raises(BundleError, match="no variant 'edgetpu'; it has tflite-int8"):
            bundle.variant("edgetpu")
        with pytest.raises(BundleError, match="which runs edgetpu, openvino; it has tflite-int8"):
            bundle.variant(kinds=("edgetpu", "openvino"))
        with pytest.raises(BundleError, match=r"no entry 'x'; it has labels.txt, model.tflite"):
            bundle.read("x")


def with_entry(path: Path, name: str, data: bytes) -> Path:
    found = manifest()
    files = {**FILES, name: data}
    found["files"] = {key: stored.model_dump() for key, stored in stored_files(files).items()}
    text = json.dumps(found).encode()
    return packed(path, [(zipfile.ZipInfo(key), value) for key, value in {"manifest.json": text, **files}.items()])


def npz(compress: Callable[..., None] = np.savez, **arrays: Any) -> bytes:
    buffer = io.BytesIO()
    compress(buffer, **arrays)
    return buffer.getvalue()


def claiming(shape: str) -> bytes:
    """An .npz whose one array claims a shape that is not there."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("a.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    return buffer.getvalue()


def test_arrays_are_read(path: Path) -> None:
    with Bundle(with_entry(path, "g.npz", npz(a=np.arange(3), b=np.eye(2)))) as bundle:
        assert {key: value.tolist() for key, value in bundle.arrays("g.npz").items()} == {
            "a": [0, 1, 2],
            "b": [[1, 0], [0, 1]],
        }


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"nothing", "does not hold plain arrays"),
        (b"", "does not hold plain arrays"),
        (npz(a=np.array([{"a": 1}], object)), "does not hold plain arrays: Object arrays cannot be loaded"),
        (claiming("(1000000000000000,)"), "does not hold plain arrays"),
        (claiming("(3,)"), "does not hold plain arrays"),
        (claiming("(-1,)"), "does not hold plain arrays"),
        (claiming("'"), "does not hold plain arrays"),
    ],
    ids=["text", "empty", "pickle", "absurd", "short", "negative", "syntax"],
)
def test_arrays_that_are_none_are_refused(path: Path, data: bytes, message: str) -> None:
    with Bundle(with_entry(path, "g.npz", data)) as bundle, pytest.raises(BundleError, match=message):
        bundle.arrays("g.npz")


def test_arrays_that_unpack_beyond_the_limit_are_refused_unread(path: Path) -> None:
    bomb = npz(np.savez_compressed, a=np.broadcast_to(np.uint8(0), MAX_ARRAY_BYTES + 1))
    assert len(bomb) < MAX_ARRAY_BYTES / 500
    with (
        Bundle(with_entry(path, "g.npz", bomb)) as bundle,
        pytest.raises(BundleError, match="at most 268435456 are allowed"),
    ):
        bundle.arrays("g.npz")


def test_one_plain_npy_is_no_table_of_arrays(path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(3))
    with (
        Bundle(with_entry(path, "g.npz", buffer.getvalue())) as bundle,
        pytest.raises(BundleError, match="plain arrays"),
    ):
        bundle.arrays("g.npz")


def test_labels_that_are_not_text_are_refused(path: Path) -> None:
    found = manifest()
    files = {**FILES, "labels.txt": b"\xff\xfe\0c"}
    found["files"] = {key: stored.model_dump() for key, stored in stored_files(files).items()}
    text = json.dumps(found).encode()
    packed(path, [(zipfile.ZipInfo(key), value) for key, value in {"manifest.json": text, **files}.items()])
    with Bundle(path) as bundle, pytest.raises(BundleError, match=r"'labels.txt' is not text in UTF-8"):
        bundle.labels()


def test_labels_that_would_command_a_terminal_are_refused(path: Path) -> None:
    found = manifest()
    found["labels"] = "escape.txt"
    files = {**FILES, "escape.txt": b"cat\n\x1b]0;title\x07\x1b[31mdog\n"}
    found["files"] = {key: stored.model_dump() for key, stored in stored_files(files).items()}
    text = json.dumps(found).encode()
    packed(path, [(zipfile.ZipInfo(key), value) for key, value in {"manifest.json": text, **files}.items()])
    with Bundle(path) as bundle, pytest.raises(BundleError, match=r"'\\x1b\]0;title.*has a control character"):
        bundle.labels()


# What opening costs


def test_opening_holds_no_entry_in_memory(path: Path) -> None:
    with_entry(path, "large", bytes(40_000_000))
    tracemalloc.start()
    try:
        with Bundle(path) as bundle:
            _, peak = tracemalloc.get_traced_memory()
            assert len(bundle.read("large")) == 40_000_000
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000


def test_an_entry_that_changed_since_opening_is_refused(path: Path) -> None:
    with_entry(path, "large", b"a" * 1_000_000)
    with Bundle(path) as bundle:
        path.write_bytes(path.read_bytes().replace(b"a" * 1_000_000, b"b" * 1_000_000))
        with pytest.raises(BundleError, match="'large'"):
            bundle.read("large")


def directory_of(count: int) -> bytes:
    """A central directory of so many entries without content."""
    header = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, 0, 0, 0, 0, 33, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0)
    return b"".join(header + b"%06d" % number for number in range(count))


@pytest.mark.parametrize("wide", [False, True], ids=["32 bits", "64 bits"])
def test_a_directory_of_a_million_entries_is_refused_unread(path: Path, wide: bool) -> None:
    directory = directory_of(60_000)
    size = len(directory)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 60_000, 60_000, size, 0, 0)
    if wide:
        end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 60_000, 60_000, size, 0)
        locator = struct.pack("<4sLQL", b"PK\6\7", 0, size, 1)
        end = end64 + locator + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 50, 0, 0)
    path.write_bytes(directory + end)
    tracemalloc.start()
    try:
        with pytest.raises(BundleError, match="a directory of more than"):
            Bundle(path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
