"""Writing bundles: what is written is read back, the same content is the same bytes, and nothing is ever lost."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_sdk.bundle import Bundle, Manifest, Variant, write_bundle
from edge_sdk.bundle.write import stored_files
from edge_sdk.contract import Contract
from edge_sdk.errors import OutputError
from edge_sdk.tasks import ClassifySettings, DetectSettings, RawSettings, TaskSettings
from edge_sdk.tasks.settings import AnchorSettings
from edge_sdk.tensors import TensorSpec

ROOT = Path(__file__).parents[1]

names = st.text(
    st.characters(codec="utf-8", exclude_categories=["C"], exclude_characters='/\\:"'), min_size=1, max_size=12
).filter(lambda name: name not in (".", "..", "manifest.json") and name.strip())
finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
specs = st.builds(
    TensorSpec,
    name=st.text(st.characters(codec="utf-8"), max_size=9),
    shape=st.lists(st.integers(1, 40), max_size=4).map(tuple),
    dtype=st.sampled_from(["int8", "uint8", "int16"]),
    scale=st.floats(0, 10),
    zero_point=st.integers(-128, 127),
)
tasks: st.SearchStrategy[TaskSettings] = st.one_of(
    st.just(RawSettings()),
    st.builds(ClassifySettings, kind=st.just("classify"), top_k=st.integers(1, 9), threshold=finite),
    st.builds(
        DetectSettings,
        kind=st.just("detect"),
        boxes=st.just("b"),
        scores=st.just("s"),
        anchors=st.builds(AnchorSettings, strides=st.lists(st.integers(1, 64), min_size=1, max_size=6).map(tuple)),
        threshold=st.floats(0.01, 0.99),
    ),
)
contracts = st.one_of(
    st.builds(Contract, input=st.just("tensor")),
    st.builds(
        Contract,
        input=st.just("image"),
        colour=st.sampled_from(["rgb", "bgr", "gray"]),
        resize=st.sampled_from(["stretch", "letterbox", "crop"]),
        mean=st.tuples(finite),
        std=st.tuples(st.floats(0.01, 300)),
        pad=st.integers(0, 255),
    ),
)
measured = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | finite
    | st.text(st.characters(codec="utf-8"), max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def bundles(draw: st.DrawFn) -> tuple[Manifest, dict[str, bytes]]:
    files = draw(st.dictionaries(names, st.binary(max_size=300), min_size=1, max_size=5))
    variants = [
        Variant(
            id=f"tflite-int8-{i}",
            kind="tflite-int8",
            file=draw(st.sampled_from(sorted(files))),
            inputs=tuple(draw(st.lists(specs, min_size=1, max_size=2))),
            outputs=tuple(draw(st.lists(specs, max_size=2))),
            operators=draw(
                st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=9), st.integers(0, 99), max_size=3)
            ),
        )
        for i in range(draw(st.integers(1, 3)))
    ]
    manifest = Manifest(
        name=draw(names),
        created_by="a test",
        contract=draw(contracts),
        task=draw(tasks),
        variants=tuple(variants),
        measured=draw(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=9), measured, max_size=3)),
        files=stored_files(files),
    )
    return manifest, files


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(made=bundles())
def test_what_is_written_is_read_back(tmp_path: Path, made: tuple[Manifest, dict[str, bytes]]) -> None:
    manifest, files = made
    path = tmp_path / "it.edge"
    write_bundle(path, manifest, files, overwrite=True)
    with Bundle(path) as bundle:
        assert bundle.manifest == manifest
        assert {name: bundle.read(name) for name in manifest.files} == files


def simple(content: bytes) -> tuple[Manifest, dict[str, bytes]]:
    files = {"model": content}
    variant = Variant(id="v", kind="null", file="model", inputs=(), outputs=())
    contract = Contract(input="tensor")
    manifest = Manifest(
        name="n", created_by="t", contract=contract, task=RawSettings(), variants=(variant,), files=stored_files(files)
    )
    return manifest, files


def test_the_same_content_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.edge", "other.edge"):
        write_bundle(tmp_path / name, *simple(b"weights"))
    assert (tmp_path / "one.edge").read_bytes() == (tmp_path / "other.edge").read_bytes()


def test_an_existing_file_is_replaced_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "it.edge"
    path.write_bytes(b"somebody's work")
    with pytest.raises(OutputError, match=r"exists already; give another name, or --overwrite"):
        write_bundle(path, *simple(b"weights"))
    assert path.read_bytes() == b"somebody's work"
    write_bundle(path, *simple(b"weights"), overwrite=True)
    with Bundle(path) as bundle:
        assert bundle.read("model") == b"weights"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist; create it first"):
        write_bundle(tmp_path / "no" / "it.edge", *simple(b""))
    with pytest.raises(OutputError, match="is a folder"):
        write_bundle(tmp_path, *simple(b""), overwrite=True)


def test_an_entry_that_the_manifest_does_not_state_is_refused_before_writing(tmp_path: Path) -> None:
    manifest, files = simple(b"weights")
    with pytest.raises(ValueError, match=r"manifest.files"):
        write_bundle(tmp_path / "it.edge", manifest, {**files, "more": b""})
    assert list(tmp_path.iterdir()) == []


FULL_DISK = """
import resource, sys
from pathlib import Path
from edge_sdk.errors import OutputError
from tests.test_bundle_roundtrip import simple, write_bundle
made = simple(bytes(2_000_000))
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    write_bundle(Path(sys.argv[1]), *made, overwrite=True)
except OutputError as exc:
    print(exc)
"""


def test_a_disk_that_takes_no_more_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "it.edge"
    write_bundle(path, *simple(b"the old one"))
    command = [sys.executable, "-W", "error", "-c", FULL_DISK, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "cannot write" in done.stdout and "nothing was changed" in done.stdout
    assert done.stderr == ""
    with Bundle(path) as bundle:
        assert bundle.read("model") == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


INTERRUPTED = """
import os, signal, sys
from pathlib import Path
from edge_sdk.bundle import write
from tests.test_bundle_roundtrip import simple, write_bundle
made = simple(b"new")
write.zipfile.ZipFile.writestr = lambda *_: os.kill(os.getpid(), signal.SIGINT)
write_bundle(Path(sys.argv[1]), *made, overwrite=True)
"""


def test_ctrl_c_while_writing_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "it.edge"
    write_bundle(path, *simple(b"the old one"))
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(path)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == -signal.SIGINT, done.stderr
    with Bundle(path) as bundle:
        assert bundle.read("model") == b"the old one"
    assert list(tmp_path.iterdir()) == [path]
