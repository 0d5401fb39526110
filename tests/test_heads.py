from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from converters.repair.candidate import Candidate
from converters.repair.keep_out import keep_out
from converters.repair.split_head import mixed_outputs, split_head
from converters.verify.prove import prove
from edge_sdk import Loop
from edge_sdk.bundle import Bundle, write_bundle
from edge_sdk.bundle.golden import golden_inputs, golden_outputs
from edge_sdk.bundle.manifest import Head, Manifest, Part, Variant, schema_version_for
from edge_sdk.bundle.write import stored_files
from edge_sdk.contract import Contract
from edge_sdk.engines.isolation import open_engine
from edge_sdk.heads import Assembler
from edge_sdk.tasks import RawSettings, make_task
from edge_sdk.tensors import TensorSpec
from tests import repair_models as models
from tests.small_bundles import INPUT, OUTPUT, Numbers

BOXES = TensorSpec("boxes", (1, 5, 4), "int8", 1.25, -128)
LOGITS = TensorSpec("logits", (1, 5, 2), "int8", 0.1, 3)
OTHER = TensorSpec("other", (1, 3), "int8", 1.0)
HEAD = Head(
    name="output",
    shape=(1, 5, 6),
    axis=2,
    parts=(
        Part(output="boxes", runs=((0, 4),)),
        Part(output="logits", runs=((4, 6),), activation="sigmoid", factor=(2.0,), offset=(0.5, -0.5)),
    ),
)


def stored(spec: TensorSpec, seed: int = 0) -> np.ndarray:
    limits = np.iinfo(spec.dtype)
    return np.random.default_rng(seed).integers(limits.min, limits.max, spec.shape, spec.dtype, endpoint=True)


def test_parts_become_the_output_that_the_model_had() -> None:
    assembler = Assembler((HEAD,), (OTHER, BOXES, LOGITS))
    assert [(s.name, s.shape, s.dtype) for s in assembler.outputs] == [
        ("other", (1, 3), "int8"),
        ("output", (1, 5, 6), "float32"),
    ]
    for seed in range(2):  # buffers are used again
        boxes, logits, other = stored(BOXES, seed), stored(LOGITS, seed), stored(OTHER, seed)
        kept, output = assembler.assemble((other, boxes, logits))
        assert kept is other
        sigmoid = 1 / (1 + np.exp(-LOGITS.dequantize(logits).astype(np.float64)))
        np.testing.assert_array_equal(output[..., :4], BOXES.dequantize(boxes))
        np.testing.assert_allclose(output[..., 4:], 2 * sigmoid + [0.5, -0.5], atol=1e-6)


@pytest.mark.parametrize("dtype, scale", [("int8", 0.05), ("uint8", 0.05), ("int16", 0.0005), ("float32", 0.0)])
@pytest.mark.parametrize("activation", ["none", "sigmoid", "softmax"])
def test_every_activation_of_every_type(dtype: str, scale: float, activation: str) -> None:
    spec = TensorSpec("part", (1, 7, 3), dtype, scale, 2 if dtype == "int8" else 0)
    part = Part(output="part", runs=((0, 1), (4, 6)), activation=activation)  # type: ignore[arg-type]
    rest = TensorSpec("rest", (1, 7, 3), "float32")
    head = Head(name="o", shape=(1, 7, 6), axis=2, parts=(part, Part(output="rest", runs=((1, 4),))))
    values = stored(spec) if scale else np.random.default_rng(0).normal(0, 3, spec.shape).astype(np.float32)
    real = spec.dequantize(values).astype(np.float64)
    powers = np.exp(real - real.max(axis=2, keepdims=True))
    wanted = {"none": real, "sigmoid": 1 / (1 + np.exp(-real)), "softmax": powers / powers.sum(axis=2, keepdims=True)}
    other = np.full(rest.shape, 9, np.float32)
    (output,) = Assembler((head,), (spec, rest)).assemble((values, other))
    np.testing.assert_allclose(output[..., [0, 4, 5]], wanted[activation], atol=2e-6)
    assert (output[..., 1:4] == 9).all()


def test_parts_lie_along_any_axis() -> None:
    first, second = TensorSpec("a", (1, 2, 5), "int8", 0.5), TensorSpec("b", (1, 1, 5), "int8", 2.0)
    head = Head(
        name="o",
        shape=(1, 3, 5),
        axis=1,
        parts=(Part(output="a", runs=((0, 1), (2, 3)), offset=(1, 2)), Part(output="b", runs=((1, 2),))),
    )
    a, b = stored(first), stored(second)
    (output,) = Assembler((head,), (first, second)).assemble((a, b))
    np.testing.assert_array_equal(output[0, 1], b[0, 0] * 2.0)
    np.testing.assert_array_equal(output[0, [0, 2]], a[0] * np.float32(0.5) + np.array([[1], [2]], np.float32))


@pytest.mark.parametrize(
    "change, said",
    [
        ({"axis": 3}, "axis 3 of 3"),
        ({"shape": (1, 5, 7)}, "6 entries, axis 2 has 7"),
        ({"parts": (HEAD.parts[0],)}, "4 entries, axis 2 has 6"),
        ({"parts": (HEAD.parts[0], Part(output="logits", runs=((3, 6),)))}, "entry 3 of axis 2 stands in no or two"),
        ({"shape": (1, 1 << 40, 6)}, "bytes"),
    ],
)
def test_a_head_that_is_not_whole_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Head.model_validate(HEAD.model_dump() | change)


@pytest.mark.parametrize(
    "outputs, said",
    [((BOXES,), "'logits', which is no output"), ((BOXES, TensorSpec("logits", (1, 2), "int8")), "shape")],
)
def test_a_head_that_does_not_fit_its_variant_is_refused(outputs: tuple[TensorSpec, ...], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Variant(id="v", kind="null", file="model", inputs=(INPUT,), outputs=outputs, heads=(HEAD,))


def test_part_numbers_fit_its_entries() -> None:
    with pytest.raises(ValidationError, match="3 numbers in factor; 1 or 2"):
        Part(output="x", runs=((0, 2),), factor=(1, 2, 3))
    with pytest.raises(ValidationError, match="start < stop"):
        Part(output="x", runs=((2, 2),))


def test_the_task_sees_the_model_s_own_outputs() -> None:
    task = make_task(RawSettings(), input_=INPUT, outputs=(BOXES, LOGITS), labels=(), heads=(HEAD,))
    value = task.decode((stored(BOXES), stored(LOGITS)), None)
    assert list(value) == ["output"] and value["output"].shape == (1, 5, 6)
    again = task.decode((stored(BOXES, 1), stored(LOGITS, 1)), None)
    assert not np.array_equal(value["output"], again["output"])  # the caller's own, not the buffer


def bundle(path: Path, heads: tuple[Head, ...]) -> Path:
    """A null model whose outputs are zeros."""
    files = {"model": b"nothing"}
    variant = Variant(id="null", kind="null", file="model", inputs=(INPUT,), outputs=(OUTPUT,), heads=heads)
    manifest = Manifest(
        schema_version=schema_version_for([variant], Contract(input="tensor")),
        name="null",
        created_by="a test",
        contract=Contract(input="tensor"),
        task=RawSettings(),
        variants=(variant,),
        files=stored_files(files),
    )
    write_bundle(path, manifest, files)
    return path


SHIFTED = Head(name="scores", shape=(1, 4), axis=1, parts=(Part(output="output", runs=((0, 4),), offset=(7,)),))


def test_a_bundle_without_heads_is_one_that_old_readers_take(tmp_path: Path) -> None:
    with Bundle(bundle(tmp_path / "old.edge", ())) as opened:
        content = json.loads(opened._zip.read("manifest.json"))
    assert content["schema_version"] == 1 and "heads" not in content["variants"][0]
    with Bundle(bundle(tmp_path / "new.edge", (SHIFTED,))) as opened:
        content = json.loads(opened._zip.read("manifest.json"))
        assert content["schema_version"] == 2 and opened.manifest.variants[0].heads == (SHIFTED,)


def test_heads_in_a_manifest_of_version_1_are_refused(tmp_path: Path) -> None:
    with Bundle(bundle(tmp_path / "new.edge", (SHIFTED,))) as opened:
        content = opened.manifest.model_dump()
    with pytest.raises(ValidationError, match="too low"):
        Manifest.model_validate(content | {"schema_version": 1})


def test_the_loop_gives_assembled_outputs(tmp_path: Path) -> None:
    path = bundle(tmp_path / "new.edge", (SHIFTED,))
    with Loop(path, Numbers(2), deadline_ms=1_000, engine="null", isolation="none") as loop:
        values = [result.value["scores"] for result in loop]
    assert len(values) == 2 and all((value == 7).all() and value.dtype == np.float32 for value in values)


def test_inspect_tells_of_heads(tmp_path: Path) -> None:
    path = bundle(tmp_path / "new.edge", (SHIFTED,))
    command = [sys.executable, "-m", "edge_sdk.cli", "inspect", str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Heads" in said and "scores" in said and "output, scaled" in said


def test_a_split_detector_runs_on_the_device_as_on_the_workstation(tmp_path: Path) -> None:
    """Float to bundle to loop and bench: the device gives the model's own output, near to float."""
    content, images = models.joint_head_detector(), models.squares(12, 3)[0]
    (plan,) = mixed_outputs(content, images)
    done = split_head(content, plan)
    kept = keep_out(done.content, (done.head,), "scores")
    quantized = models.quantize(Candidate(kept.content, models.statistics(kept.content, images).ranges()))
    proven = prove(quantized.content)
    golden = [list(outputs) for outputs in stored_outputs(quantized.content, images[:1])]
    files = {
        "model.tflite": quantized.content,
        "in.npz": golden_inputs([images[0][0]]),
        "out.npz": golden_outputs(golden),
    }
    variant = Variant(
        id="tflite-int8",
        kind="tflite-int8",
        file="model.tflite",
        inputs=proven.inputs,
        outputs=proven.outputs,
        heads=kept.heads,
        golden="out.npz",
    )
    manifest = Manifest(
        schema_version=2,
        name="squares",
        created_by="a test",
        contract=Contract(input="tensor"),
        task=RawSettings(),
        variants=(variant,),
        golden_inputs="in.npz",
        files=stored_files(files),
    )
    path = tmp_path / "squares.edge"
    write_bundle(path, manifest, files)
    np.save(tmp_path / "images.npy", np.concatenate(images))
    with Loop(path, f"replay:{tmp_path / 'images.npy'}", deadline_ms=10_000, isolation="none") as loop:
        found = np.concatenate([result.value["output"] for result in loop])
    np.testing.assert_array_equal(found, models.outputs_of(quantized.content, images, kept.heads)[0])
    real = models.outputs_of(content, images)[0]
    assert models.sqnr(real[..., 4], found[..., 4]) > 20 and models.sqnr(real[..., :4], found[..., :4]) > 25
    command = [sys.executable, "-m", "edge_sdk.cli", "bench", str(path), "--runs", "3", "--isolation", "none"]
    assert "golden vectors: 1 replayed" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def stored_outputs(content: bytes, images: list[np.ndarray]) -> list[tuple[np.ndarray, ...]]:
    engine = open_engine("litert", content, isolation="none")
    made = []
    for image in images:
        engine.input_arrays[0][...] = engine.inputs[0].quantize(image)
        made.append(engine.run())
    return made
