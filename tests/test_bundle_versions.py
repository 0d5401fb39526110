"""Which version a bundle is written as: the lowest whose readers know what stands in it."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from edge_sdk.bundle.manifest import Manifest, Variant, schema_version_for
from edge_sdk.contract import Contract
from edge_sdk.tasks import TaskSettings
from edge_sdk.tensors import TensorSpec

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
