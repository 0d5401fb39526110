"""Flags and bundles that cannot be used are told in one line, with the exit code for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edge_sdk.bundle import Bundle, write_bundle
from edge_sdk.bundle.golden import golden_inputs
from edge_sdk.bundle.write import stored_files
from edge_sdk.cli import group
from edge_sdk.errors import BundleError, ConfigError, EdgeSdkError, EngineError
from edge_sdk.tensors import TensorSpec
from tests.small_bundles import INPUT, OUTPUT, null_bundle
from tests.test_engine_refusals import adding


def refusal(*words: object) -> EdgeSdkError:
    """The error that the command ends with; anything else is raised."""
    with pytest.raises(EdgeSdkError) as caught:
        CliRunner().invoke(group, [str(word) for word in words], catch_exceptions=False)
    return caught.value


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return null_bundle(tmp_path / "null.edge")


BAD = ["inf", "nan", "1e99", "3e8", "0", "-1"]


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("flag", ["bench --hang", "run --hang", "run --deadline"])
def test_budgets_are_sensible_milliseconds(flag: str, value: str, bundle: Path) -> None:
    command, name = flag.split()
    source = ["--source", "replay:x.npy", "--deadline", "50"] if command == "run" else []
    error = refusal(command, bundle, *source, name, value)
    assert isinstance(error, ConfigError)
    assert str(error).startswith(f"{name} is a number of milliseconds above 0, at most 1e+08; found ")


def test_a_wrong_engine_option_is_named(bundle: Path) -> None:
    words = ["run", bundle, "--source", "replay:x.npy", "--deadline", "50", "--engine", "null", "--isolation", "none"]
    assert "found 'abc'" in str(refusal(*words, "--engine-option", "wait_ms=abc"))


def test_help_says_which_variant_and_engine_are_the_default() -> None:
    said = " ".join(CliRunner().invoke(group, ["run", "--help"]).output.split())
    assert "default the bundle's first, or with --board the first that the board runs" in said
    assert "or one that a package of yours brings" in said


# What bench measures


def changed(path: Path, *, golden: list[np.ndarray] | None = None, **variant: object) -> Path:
    """The null bundle with another variant, and with golden inputs."""
    with Bundle(path) as bundle:
        manifest, files = bundle.manifest, {"model": b"nothing"}
    if golden is not None:
        files["golden.npz"] = golden_inputs(golden)
    manifest = manifest.model_copy(
        update={
            "variants": (manifest.variants[0].model_copy(update=variant),),
            "golden_inputs": "golden.npz" if golden is not None else None,
            "files": stored_files(files),
        }
    )
    write_bundle(path, manifest, files, overwrite=True)
    return path


@pytest.mark.parametrize("command", ["bench", "run"])
def test_a_variant_of_two_inputs_is_refused(command: str, bundle: Path) -> None:
    changed(bundle, inputs=(INPUT, TensorSpec("second", (1, 4), "int8")))
    source = ["--source", "replay:x.npy", "--deadline", "50"] if command == "run" else []
    error = refusal(command, bundle, "--engine", "null", "--isolation", "none", *source)
    assert "variant null has 2 inputs" in str(error)


@pytest.mark.parametrize("command", ["bench", "run"])
@pytest.mark.parametrize("outputs", [(), (TensorSpec("output", (1, 5), "int8"),), (OUTPUT, OUTPUT)])
def test_a_manifest_that_is_not_of_its_model_is_refused(
    command: str, outputs: tuple[TensorSpec, ...], bundle: Path
) -> None:
    named = tuple(TensorSpec(f"o{i}", o.shape, o.dtype) for i, o in enumerate(outputs))
    changed(bundle, outputs=named)
    source = ["--source", "replay:x.npy", "--deadline", "50"] if command == "run" else []
    error = refusal(command, bundle, "--engine", "null", "--isolation", "none", *source)
    assert isinstance(error, EngineError)
    assert "the model's outputs are not what the bundle states: found 'output' int8 1x4; stated " in str(error)


def test_golden_inputs_without_a_first_one_are_refused(bundle: Path) -> None:
    error = refusal("bench", changed(bundle, golden=[]), "--engine", "null", "--isolation", "none")
    assert isinstance(error, BundleError)
    assert "the golden vectors lack entry '0'; they have none" in str(error)


def test_bench_and_inspect_go_by_content_not_by_name(bundle: Path, tmp_path: Path) -> None:
    renamed, model = bundle.rename(tmp_path / "bundle.tflite"), tmp_path / "model.edge"
    model.write_bytes(adding())
    for file, bench_says, inspect_says in (
        (renamed, "bundle.tflite, null on null", "made by a test"),
        (model, "model.edge on ai_edge_litert", "TensorFlow Lite model"),
    ):
        engine = "null" if file is renamed else "litert"
        words = ["bench", str(file), "--engine", engine, "--isolation", "none", "--runs", "2"]
        done = CliRunner().invoke(group, words, catch_exceptions=False)
        assert bench_says in done.output
        assert inspect_says in CliRunner().invoke(group, ["inspect", str(file)], catch_exceptions=False).output
