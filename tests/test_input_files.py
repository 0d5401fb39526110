"""Every command and source refuses what is no plain file of a sane size, before it reads any of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from converters.load import load
from edge_sdk.bundle import Bundle
from edge_sdk.bundle.read import MAX_TOTAL_BYTES
from edge_sdk.cli.bench import bench
from edge_sdk.cli.inspect import inspect
from edge_sdk.cli.model_file import MAX_BYTES
from edge_sdk.errors import BundleError, ConfigError, EdgeSdkError, ModelError, SourceError
from edge_sdk.inputs import MAX_TOML_BYTES, read_toml
from edge_sdk.sources import source_from

TOO_LONG = "n" * 300


def run_inspect(path: Path) -> None:
    CliRunner().invoke(inspect, [str(path)], catch_exceptions=False)


def run_bench(path: Path) -> None:
    CliRunner().invoke(bench, [str(path)], catch_exceptions=False)


def run_read_toml(path: Path) -> None:
    read_toml(path, give="an app.toml")


READERS = [
    (Bundle, BundleError, MAX_TOTAL_BYTES),
    (run_read_toml, ConfigError, MAX_TOML_BYTES),
    (run_inspect, ModelError, MAX_BYTES),
    (run_bench, ModelError, MAX_BYTES),
]
readers = pytest.mark.parametrize(("read", "error", "most_bytes"), READERS, ids=["bundle", "toml", "inspect", "bench"])


@readers
@pytest.mark.parametrize("place", ["/dev/zero", "folder", "pipe"])
def test_what_is_no_plain_file_is_refused_unread(
    read: object, error: type[EdgeSdkError], most_bytes: int, place: str, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")  # to open it would wait for ever
    with pytest.raises(error, match="is not a file; give "):
        read(tmp_path / place)  # type: ignore[operator]


@readers
def test_a_file_too_large_is_refused_unread(
    read: object, error: type[EdgeSdkError], most_bytes: int, tmp_path: Path
) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(most_bytes + 1)  # a hole: it takes no place on the disk
    with pytest.raises(error, match=f"has {most_bytes + 1} bytes; .* has at most {most_bytes}"):
        read(path)  # type: ignore[operator]


@readers
@pytest.mark.parametrize(
    ("name", "why"),
    [(TOO_LONG, "cannot be read: File name too long"), ("none/x", "does not exist")],
)
def test_a_name_that_no_file_has_is_refused(
    read: object, error: type[EdgeSdkError], most_bytes: int, name: str, why: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=why):
        read(tmp_path / name)  # type: ignore[operator]


@pytest.mark.parametrize(("read", "error", "most_bytes"), READERS[:2], ids=["bundle", "toml"])
def test_a_name_with_a_zero_byte_is_refused(
    read: object, error: type[EdgeSdkError], most_bytes: int, tmp_path: Path
) -> None:
    with pytest.raises(error, match=r"cannot be read: .*embedded null"):
        read(tmp_path / "a\0b")  # type: ignore[operator]


@pytest.mark.parametrize("kind", ["file", "images", "replay"])
@pytest.mark.parametrize(("name", "why"), [(TOO_LONG, "File name too long"), ("a\0b", "embedded null")])
def test_a_source_names_a_path_that_cannot_be(kind: str, name: str, why: str, tmp_path: Path) -> None:
    source = source_from({"kind": kind, "path": str(tmp_path / name)})
    with pytest.raises(SourceError, match=f"cannot be read: .*{why}.*; give "):
        source.open()


def test_a_model_to_convert_that_is_no_plain_file_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "endless.tflite").symlink_to("/dev/zero")
    with pytest.raises(ModelError, match=r"is not a file; give a trained model"):
        load(tmp_path / "endless.tflite")
