"""Which version a bundle is written as: the lowest whose readers know what stands in it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from edge_sdk.bundle import Bundle, write_bundle
from edge_sdk.bundle import read as reading
from edge_sdk.bundle.add import add_variants
from edge_sdk.bundle.manifest import Manifest, Variant, schema_version_for
from edge_sdk.bundle.write import stored_files
from edge_sdk.contract import Contract
from edge_sdk.edgetpu.plan import Estimate, Plan, PlannedOperator
from edge_sdk.errors import BundleError
from edge_sdk.loop import Loop
from edge_sdk.tasks import RawSettings, TaskSettings
from edge_sdk.tensors import TensorSpec
from tests.small_bundles import Numbers

VARIANT = Variant(
    id="v",
    kind="null",
    file="model",
    inputs=(TensorSpec("i", (1, 4), "int8"),),
    outputs=(TensorSpec("o", (1, 4), "int8"),),
)
DETECT = {"kind": "detect", "boxes": "boxes", "anchors": "none"}
OLD = [{"kind": "raw"}, {"kind": "classify"}, DETECT]
NEW = [
    DETECT | {"track": {}},
    {"kind": "keyword"},
    {"kind": "anomaly", "score": "output", "threshold": 1.0},
    {"kind": "segment"},
    {"kind": "pose"},
]


def task_of(keys: dict[str, object]) -> TaskSettings:
    return TypeAdapter(TaskSettings).validate_python(keys)


@pytest.mark.parametrize("keys", OLD, ids=lambda keys: str(keys["kind"]))
def test_old_tasks_are_written_as_before(keys: dict[str, object]) -> None:
    task = task_of(keys)
    assert schema_version_for([VARIANT], task) == 1
    assert "track" not in task.model_dump(mode="json")
    assert task_of(task.model_dump(mode="json")) == task


@pytest.mark.parametrize("keys", NEW, ids=lambda keys: str(keys["kind"]))
def test_new_tasks_are_refused_by_old_readers(keys: dict[str, object]) -> None:
    task = task_of(keys)
    assert schema_version_for([VARIANT], task) == 3
    assert task_of(task.model_dump(mode="json")) == task
    told = {
        "name": "n",
        "created_by": "a test",
        "contract": Contract(input="tensor"),
        "task": task,
        "variants": (VARIANT,),
        "files": {},
    }
    assert Manifest(schema_version=3, **told).task == task
    with pytest.raises(ValidationError, match=r"schema_version 2 is too low .* needs 3"):
        Manifest(schema_version=2, **told)


def test_an_app_can_take_the_tracking_away() -> None:
    assert task_of(DETECT | {"track": "none"}) == task_of(DETECT)


PLAN = Plan(
    model_sha256="0" * 64,
    compiler="16.0",
    runtime="14",
    operators=(PlannedOperator(index=0, name="CONV_2D", output="o", mapped=True, rule="supported", macs=7),),
    partitions=1,
    weight_bytes=4,
    cached_bytes=8,
    streamed_bytes=0,
    input_bytes=4,
    output_bytes=4,
    tpu={"usb3": Estimate(ms=1.0, low_ms=0.5, high_ms=2.0)},
)


def bundle_of(path: Path, variant: Variant, files: dict[str, bytes]) -> Path:
    manifest = Manifest(
        schema_version=schema_version_for([variant], RawSettings()),
        name="n",
        created_by="a test",
        contract=Contract(input="tensor"),
        task=RawSettings(),
        variants=(variant,),
        files=stored_files(files),
    )
    write_bundle(path, manifest, files)
    return path


def test_a_plan_travels_in_version_4_and_nothing_else_changes(tmp_path: Path) -> None:
    planned = VARIANT.model_copy(update={"plan": "plans/v.json"})
    files = {"model": b"m", "plans/v.json": PLAN.model_dump_json().encode()}
    with Bundle(bundle_of(tmp_path / "new.edge", planned, files)) as bundle:
        assert bundle.manifest.schema_version == 4
        assert bundle.plan_of(bundle.variant()) == PLAN
    with Bundle(bundle_of(tmp_path / "old.edge", VARIANT, {"model": b"m"})) as bundle:
        assert bundle.plan_of(bundle.variant()) is None
    with zipfile.ZipFile(tmp_path / "old.edge") as old:
        content = json.loads(old.read("manifest.json"))
    assert content["schema_version"] == 1
    assert not {"plan", "segments"} & set(content["variants"][0])


@pytest.mark.parametrize("content", [b"", b"{}", b"[1, 2]", PLAN.model_dump_json().encode()[:-1], b"\xff"])
def test_an_entry_that_is_no_plan_is_refused(tmp_path: Path, content: bytes) -> None:
    planned = VARIANT.model_copy(update={"plan": "plans/v.json"})
    path = bundle_of(tmp_path / "b.edge", planned, {"model": b"m", "plans/v.json": content})
    with Bundle(path) as bundle, pytest.raises(BundleError, match="plans/v"):
        bundle.plan_of(bundle.variant())


def test_a_plan_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_PLAN_BYTES", 100)
    planned = VARIANT.model_copy(update={"plan": "plans/v.json"})
    path = bundle_of(tmp_path / "b.edge", planned, {"model": b"m", "plans/v.json": b" " * 101})
    with Bundle(path) as bundle, pytest.raises(BundleError, match="has 101 bytes; at most 100"):
        bundle.plan_of(bundle.variant())


@pytest.mark.parametrize("key", ["plan", "segments"])
def test_an_entry_that_is_not_there_is_refused(tmp_path: Path, key: str) -> None:
    lacking = VARIANT.model_copy(update={key: "gone" if key == "plan" else ("gone",)})
    with pytest.raises(BundleError, match="names 'gone', which the bundle does not hold"):
        Bundle(bundle_of(tmp_path / "b.edge", lacking, {"model": b"m"}))


def test_segments_stay_in_their_order_and_no_single_engine_takes_them(tmp_path: Path) -> None:
    names = [f"s{n}" for n in range(12)]
    pipeline = VARIANT.model_copy(update={"segments": tuple(names)})
    path = bundle_of(tmp_path / "b.edge", pipeline, {"model": b"first", **{n: n.encode() for n in names}})
    with Bundle(path) as bundle:
        assert bundle.manifest.schema_version == 4
        assert bundle.segments_of(bundle.variant()) == (b"first", *(name.encode() for name in names))
        with pytest.raises(BundleError, match="pipeline of 13 segments"):
            bundle.model_of(bundle.variant())
    loop = Loop(path, source=Numbers(1), deadline_ms=50, engine="null", isolation="none")
    with pytest.raises(BundleError, match="pipeline of 13 segments"), loop:
        pass


def test_plan_and_segments_go_along_into_another_bundle(tmp_path: Path) -> None:
    whole = VARIANT.model_copy(update={"plan": "p", "segments": ("s.tflite",)})
    files = {"model": b"first", "s.tflite": b"second", "p": PLAN.model_dump_json().encode()}
    with (
        Bundle(bundle_of(tmp_path / "base.edge", VARIANT, {"model": b"m"})) as base,
        Bundle(bundle_of(tmp_path / "other.edge", whole, files)) as other,
    ):
        add_variants(base, other, tmp_path / "both.edge", suffix="small")
    with Bundle(tmp_path / "both.edge") as both:
        added = both.variant("v-small")
        assert both.segments_of(added) == (b"first", b"second")
        assert both.plan_of(added) == PLAN
