"""A bundle takes the variants of another one, each with what is its own; what does not belong together is refused."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edge_sdk.bundle import Bundle, Manifest, Variant, write_bundle
from edge_sdk.bundle.add import add_variants
from edge_sdk.bundle.golden import check_golden, golden_inputs, golden_outputs, pack_arrays
from edge_sdk.bundle.write import stored_files
from edge_sdk.cli import group
from edge_sdk.contract import Contract
from edge_sdk.errors import BundleError, ConfigError
from edge_sdk.loop import Loop
from edge_sdk.tasks.settings import ClassifySettings, RawSettings, TaskSettings
from edge_sdk.tensors import TensorSpec
from tests.small_bundles import Numbers

LARGE = Contract(input="tensor")
SMALL = Contract(input="tensor", mean=(1.0,), std=(2.0,))


def model(path: Path, size: int, contract: Contract, labels: str = "a\nb\n", task: TaskSettings | None = None) -> Path:
    """A model of ``size`` numbers that gives them back, with one golden vector."""
    spec = TensorSpec("numbers", (1, size), "float32")
    sample = np.full(size, 3.0, np.float32)
    seen = (sample - (contract.mean or (0.0,))[0]) / (contract.std or (1.0,))[0]
    files = {
        "model": str(size).encode(),
        "labels.txt": labels.encode(),
        "in.npz": golden_inputs([sample]),
        "out.npz": golden_outputs([[seen[None].astype(np.float32)]]),
    }
    variant = Variant(id="float", kind="null", file="model", inputs=(spec,), outputs=(spec,), golden="out.npz")
    manifest = Manifest(
        name=path.stem,
        created_by="a test",
        contract=contract,
        task=task or RawSettings(),
        labels="labels.txt",
        variants=(variant,),
        golden_inputs="in.npz",
        measured={"top-1": size / 10},
        files=stored_files(files),
    )
    write_bundle(path, manifest, files)
    return path


def added(tmp_path: Path, base: Path, other: Path) -> Bundle:
    with Bundle(base) as first, Bundle(other) as second:
        assert add_variants(first, second, tmp_path / "both.edge", suffix="small") == ("float-small",)
    return Bundle(tmp_path / "both.edge")


def test_each_variant_keeps_its_contract_golden_vectors_and_figures(tmp_path: Path) -> None:
    with added(tmp_path, model(tmp_path / "l.edge", 4, LARGE), model(tmp_path / "s.edge", 2, SMALL)) as both:
        large, small = both.manifest.variants
        assert (both.contract_of(large), both.contract_of(small)) == (LARGE, SMALL)
        assert (both.measured_of(large), both.measured_of(small)) == ({"top-1": 0.4}, {"top-1": 0.2})
        assert (both.read(large.file), both.read(small.file)) == (b"4", b"2")
        assert both.manifest.schema_version == 3
        for variant, size in ((large, 4), (small, 2)):
            assert set(both.arrays(both.golden_inputs_of(variant) or "")["0"].shape) == {size}


def test_the_loop_feeds_a_variant_by_its_own_contract(tmp_path: Path) -> None:
    added(tmp_path, model(tmp_path / "l.edge", 4, LARGE), model(tmp_path / "s.edge", 4, SMALL)).close()
    options = {"input": "1,4 float32", "output": "1,4 float32"}
    for variant, given in (("float", 0.0), ("float-small", -0.5)):
        loop = Loop(
            tmp_path / "both.edge",
            Numbers(1),
            deadline_ms=1_000,
            engine="null",
            variant=variant,
            engine_options=options,
        )
        with loop:
            list(loop)
            assert loop.runner.engine.input_arrays[0].tolist() == [[given] * 4]


def test_golden_vectors_of_both_are_replayed(tmp_path: Path) -> None:
    from tests.test_golden_vectors import Fixed

    with added(tmp_path, model(tmp_path / "l.edge", 3, LARGE), model(tmp_path / "s.edge", 3, SMALL)) as both:
        for variant, right in zip(both.manifest.variants, (3.0, 1.0), strict=True):
            engine = Fixed(np.full((1, 3), right, np.float32))
            check = check_golden(both, variant, engine)
            assert check is not None and check.passed
            assert np.all(engine.input_arrays[0] == right)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": "a\nc\n"}, "different labels"),
        ({"task": ClassifySettings(kind="classify")}, "has task raw, .* has classify"),
    ],
)
def test_what_does_not_belong_together_is_refused(changes: dict[str, object], said: str, tmp_path: Path) -> None:
    with (
        Bundle(model(tmp_path / "l.edge", 4, LARGE)) as base,
        Bundle(model(tmp_path / "s.edge", 2, SMALL, **changes)) as other,  # type: ignore[arg-type]
        pytest.raises(BundleError, match=said),
    ):
        add_variants(base, other, tmp_path / "both.edge", suffix="small")
    assert not (tmp_path / "both.edge").exists()


def test_a_suffix_is_a_word_and_is_used_once(tmp_path: Path) -> None:
    base, other = model(tmp_path / "l.edge", 4, LARGE), model(tmp_path / "s.edge", 2, SMALL)
    added(tmp_path, base, other).close()
    with Bundle(tmp_path / "both.edge") as first, Bundle(other) as second:
        with pytest.raises(BundleError, match="has a variant 'float-small' already"):
            add_variants(first, second, tmp_path / "more.edge", suffix="small")
        with pytest.raises(ConfigError, match=r"'\.\./x'"):
            add_variants(first, second, tmp_path / "more.edge", suffix="../x")


def test_the_command_writes_over_its_own_bundle_only_if_told(tmp_path: Path) -> None:
    base, other = model(tmp_path / "l.edge", 4, LARGE), model(tmp_path / "s.edge", 2, SMALL)
    words = ["bundle", "add", str(base), str(other), "-o", str(base)]
    assert CliRunner().invoke(group, words).exit_code != 0
    done = CliRunner().invoke(group, [*words, "--overwrite"])
    assert done.exit_code == 0 and "added float-small" in done.output
    assert [v["id"] for v in json.loads(zipfile.ZipFile(base).read("manifest.json"))["variants"]] == [
        "float",
        "float-small",
    ]


def test_a_bundle_without_such_variants_is_written_as_before(tmp_path: Path) -> None:
    content = json.loads(zipfile.ZipFile(model(tmp_path / "l.edge", 4, LARGE)).read("manifest.json"))
    assert content["schema_version"] == 1
    assert not {"contract", "task", "golden_inputs", "measured"} & set(content["variants"][0])


def test_golden_inputs_that_are_the_same_are_stored_once(tmp_path: Path) -> None:
    with added(tmp_path, model(tmp_path / "l.edge", 4, LARGE), model(tmp_path / "s.edge", 4, LARGE)) as both:
        assert both.manifest.variants[1].golden_inputs is None
        assert both.read("in.npz") == pack_arrays({"0": np.full(4, 3.0, np.float32)})


def test_a_second_addition_with_the_same_suffix_leaves_the_first_one_its_golden_vectors(tmp_path: Path) -> None:
    third = model(tmp_path / "t.edge", 2, SMALL)
    with Bundle(third) as bundle:
        files = {name: bundle.read(name) for name in bundle.manifest.files}
        renamed = bundle.manifest.variants[0].model_copy(update={"id": "integer"})
        manifest = bundle.manifest.model_copy(update={"variants": (renamed,)})
    write_bundle(third, manifest, files, overwrite=True)
    with (
        added(tmp_path, model(tmp_path / "l.edge", 4, LARGE), model(tmp_path / "s.edge", 3, SMALL)) as two,
        Bundle(third) as other,
    ):
        add_variants(two, other, tmp_path / "three.edge", suffix="small")
    with Bundle(tmp_path / "three.edge") as three:
        for variant, size in zip(three.manifest.variants, (4, 3, 2), strict=True):
            assert three.arrays(three.golden_inputs_of(variant) or "")["0"].shape == (size,), variant.id
            assert three.read(variant.file) == str(size).encode()


def test_what_was_added_before_keeps_its_golden_inputs(tmp_path: Path) -> None:
    once = model(tmp_path / "large.edge", 4, LARGE), model(tmp_path / "small.edge", 3, SMALL)
    with added(tmp_path, *once) as both, Bundle(model(tmp_path / "larger.edge", 5, LARGE)) as base:
        ids = add_variants(base, both, tmp_path / "all.edge", suffix="more")
    with Bundle(tmp_path / "all.edge") as bundle:
        shapes = {
            id_: bundle.arrays(bundle.golden_inputs_of(bundle.variant(id_)) or "")["0"].shape for id_ in ("float", *ids)
        }
    assert shapes == {"float": (5,), "float-more": (4,), "float-small-more": (3,)}
