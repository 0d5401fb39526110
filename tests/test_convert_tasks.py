"""Conversions to the tasks keyword, anomaly, segment and pose: thresholds, agreement without labels, metrics with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters import ConvertResult, convert
from converters.calibrate.samples import RawSample
from converters.verify.judges import JudgeAnomaly, JudgePose, JudgeSegment, threshold_of
from converters.verify.sides import Side
from edge_sdk import Bundle, Loop
from edge_sdk.contract import Contract
from edge_sdk.errors import ConfigError, DataError
from edge_sdk.tasks import AnomalySettings, PoseSettings
from edge_sdk.tasks.anomaly import Anomaly
from edge_sdk.tasks.pose import Pose
from edge_sdk.tasks.segment import Segmentation
from edge_sdk.tasks.settings import ThresholdRule
from tests.tiny_models import TinyModel, conv_options, image_net, options

NUMBERS = {"input": "tensor"}
IMAGE = {"input": "image", "colour": "rgb", "range": [-1, 1], "resize": "stretch"}
RNG = np.random.default_rng(0)
MIX = RNG.normal(size=(4, 24)).astype(np.float32)


def normal(count: int, seed: int) -> np.ndarray:
    """Numbers that four others explain, and a little noise."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(count, 4)) @ MIX + rng.normal(0, 0.1, (count, 24))).astype(np.float32)


def autoencoder(path: Path) -> Path:
    """24 numbers through their four principal components."""
    _, _, rows = np.linalg.svd(normal(500, 1), full_matrices=False)
    net = TinyModel()
    x = net.tensor("window", (1, 24))
    for number, weights in enumerate((rows[:4], rows[:4].T), start=1):
        made = net.tensor(f"layer_{number}", (1, len(weights)))
        kernel = net.constant(f"weights_{number}", np.ascontiguousarray(weights, np.float32))
        bias = net.constant(f"bias_{number}", np.zeros(len(weights), np.float32))
        net.operator("FULLY_CONNECTED", [x, kernel, bias], [made], options("FullyConnected"))
        x = made
    path.write_bytes(net.build([0], [x]))
    return path


def segmenter(path: Path, classes: int = 3, *, decided: bool = False) -> Path:
    net = TinyModel()
    image = net.tensor("image", (1, 16, 16, 3))
    kernel = net.constant("kernel", RNG.normal(0, 0.5, (classes, 3, 3, 3)).astype(np.float32))
    scores = net.tensor("scores", (1, 16, 16, classes))
    net.operator(
        "CONV_2D", [image, kernel, net.constant("bias", np.zeros(classes, np.float32))], [scores], conv_options()
    )
    if decided:
        best = net.tensor("best", (1, 16, 16), dtype="INT32")
        net.operator(
            "ARG_MAX", [scores, net.constant("axis", np.array(3, np.int32))], [best], options("ArgMax", outputType=2)
        )
        scores = best
    path.write_bytes(net.build([image], [scores]))
    return path


def photos(path: Path, count: int, seed: int) -> str:
    np.save(path, np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3)).astype(np.uint8))
    return f"{path}?colour=rgb"


def converted(model: Path, contract: dict[str, Any], task: dict[str, Any], **told: Any) -> ConvertResult:
    return convert(model, output=model.with_suffix(".edge"), contract=contract, task=task, overwrite=True, **told)


@pytest.fixture
def windows(tmp_path: Path) -> dict[str, Path]:
    files = {"calibrate": tmp_path / "some.npy", "holdout": tmp_path / "others.npy"}
    np.save(files["calibrate"], normal(150, 2))
    np.save(files["holdout"], normal(120, 3))
    return files


@pytest.mark.parametrize("rule", [{"sigmas": 2.5}, {"percentile": 95}])
def test_the_threshold_of_an_anomaly_is_measured_on_held_out_samples_of_the_int8_model(
    rule: dict[str, float], tmp_path: Path, windows: dict[str, Path]
) -> None:
    task = {"kind": "anomaly", "score": "reconstruction", "threshold": rule}
    done = converted(autoencoder(tmp_path / "net.tflite"), NUMBERS, task, **windows)
    with Bundle(done.bundle) as bundle:
        assert bundle.manifest.schema_version == 3
        told = bundle.manifest.task
        content = bundle.read(bundle.manifest.variants[0].file)
        assert isinstance(told, AnomalySettings) and isinstance(told.threshold, float)
        side = Side(content, Contract(input="tensor"), told, ())
        scores = np.array([side.run(RawSample(row, "bgr", "row")).score for row in normal(120, 3)])
        assert bundle.manifest.measured["threshold"] == told.threshold
    if "sigmas" in rule:
        assert told.threshold == pytest.approx(scores.mean() + 2.5 * scores.std(ddof=1), rel=1e-6)
    else:
        assert told.threshold == pytest.approx(np.percentile(scores, 95), rel=1e-6)
    (figure,) = [f for f in done.figures.parity.agreement if f.name == "threshold"]
    assert "over these 120 samples" in figure.explanation


def test_a_loop_tells_anomalies_by_the_threshold_and_an_app_may_set_another(
    tmp_path: Path, windows: dict[str, Path]
) -> None:
    task = {"kind": "anomaly", "score": "reconstruction", "threshold": {"sigmas": 4}}
    done = converted(autoencoder(tmp_path / "net.tflite"), NUMBERS, task, **windows)
    samples = np.concatenate([normal(20, 4), np.random.default_rng(5).normal(0, 2, (20, 24)).astype(np.float32)])
    np.savez(tmp_path / "run.npz", samples=samples)
    how: dict[str, Any] = {"deadline_ms": 1000, "isolation": "none"}
    with Loop(done.bundle, f"replay:{tmp_path}/run.npz", **how) as loop:
        found = [result.value.anomalous for result in loop]
    assert found == [False] * 20 + [True] * 20
    with Loop(done.bundle, f"replay:{tmp_path}/run.npz", task={"threshold": 1e9}, **how) as loop:
        assert not any(result.value.anomalous for result in loop)


def test_an_anomaly_is_evaluated_by_auc_and_gated_by_verdicts_without_labels(
    tmp_path: Path, windows: dict[str, Path]
) -> None:
    model = autoencoder(tmp_path / "net.tflite")
    task = {"kind": "anomaly", "score": "reconstruction"}
    odd = np.random.default_rng(6).normal(0, 2, (40, 24)).astype(np.float32)
    np.savez(tmp_path / "truth.npz", inputs=np.concatenate([normal(40, 7), odd]), truth=[0] * 40 + [1] * 40)
    done = converted(model, NUMBERS, task, evaluate=tmp_path / "truth.npz", **windows)
    assert done.figures.evaluation is not None
    (metric,) = done.figures.evaluation.metrics
    assert metric.name == "auc" and metric.int8_value > 0.99
    done = converted(model, NUMBERS, task, max_drop="10%", **windows)
    assert done.figures.gate is not None and done.figures.gate.metric == "verdict agreement"
    assert done.figures.gate.verdict == "passed"


def test_each_variant_has_the_threshold_of_its_own_scores(tmp_path: Path, windows: dict[str, Path]) -> None:
    task = {"kind": "anomaly", "score": "reconstruction"}
    done = converted(autoencoder(tmp_path / "net.tflite"), NUMBERS, task, recipes=["int8", "float16"], **windows)
    with Bundle(done.bundle) as bundle:
        first, second = bundle.manifest.variants
        assert first.task is None
        assert bundle.task_of(second).threshold < bundle.task_of(first).threshold  # int8's noise is part of its scores


def test_a_percentile_that_so_few_samples_cannot_tell_is_said(tmp_path: Path, windows: dict[str, Path]) -> None:
    task = {"kind": "anomaly", "score": "reconstruction", "threshold": {"percentile": 99.9}}
    done = converted(autoencoder(tmp_path / "net.tflite"), NUMBERS, task, **windows)
    assert any("percentile 99.9 of 120 scores" in said for said in done.figures.warnings)


def test_a_keyword_model_agrees_in_words_and_is_evaluated_by_top_1(tmp_path: Path) -> None:
    model = tmp_path / "net.tflite"
    model.write_bytes(image_net())
    (tmp_path / "labels.txt").write_text("silence\nunknown\nyes\nno\n")
    task = {"kind": "keyword", "background": ["silence", 1], "smoothing_ms": 500, "least_results": 3}
    data = {"calibrate": photos(tmp_path / "a.npy", 60, 0), "holdout": photos(tmp_path / "b.npy", 60, 1)}
    inputs = np.random.default_rng(2).integers(0, 256, (30, 16, 16, 3)).astype(np.uint8)
    np.savez(tmp_path / "truth.npz", inputs=inputs, truth=np.arange(30) % 4)
    done = converted(
        model, IMAGE, task, labels=tmp_path / "labels.txt", evaluate=f"{tmp_path}/truth.npz?colour=rgb", **data
    )
    assert [f.name for f in done.figures.parity.agreement] == ["keyword agreement"]
    assert done.figures.evaluation is not None and done.figures.evaluation.metrics[0].name == "top-1"
    with Bundle(done.bundle) as bundle:
        assert bundle.manifest.task.model_dump(exclude_defaults=True) == {
            "kind": "keyword", "background": ("silence", 1), "smoothing_ms": 500, "least_results": 3,
        }  # fmt: skip


@pytest.mark.parametrize("decided", [False, True], ids=["scores", "classes"])
def test_masks_agree_by_iou_and_are_evaluated_by_it(decided: bool, tmp_path: Path) -> None:
    model = segmenter(tmp_path / "net.tflite", decided=decided)
    data = {"calibrate": photos(tmp_path / "a.npy", 60, 0), "holdout": photos(tmp_path / "b.npy", 60, 1)}
    inputs = np.load(tmp_path / "b.npy")
    before = Side(model.read_bytes(), Contract.model_validate(IMAGE), _task({"kind": "segment"}), ())
    masks = np.stack([before.run(RawSample(image, "rgb", "x")).mask for image in inputs])
    masks[:, :4] = 0  # of which it is wrong
    np.savez(tmp_path / "truth.npz", inputs=inputs, truth=masks)
    done = converted(
        model, IMAGE, {"kind": "segment"}, evaluate=f"{tmp_path}/truth.npz?colour=rgb", max_drop="20%", **data
    )
    (agreement,) = done.figures.parity.agreement
    assert agreement.name == "iou agreement" and 90 < agreement.value < 100
    assert done.figures.evaluation is not None and done.figures.evaluation.metrics[0].name == "iou"
    assert done.figures.gate is not None and done.figures.gate.metric == "iou"
    assert converted(model, IMAGE, {"kind": "segment"}, max_drop="20%", **data).figures.gate.metric == "iou agreement"


@pytest.mark.parametrize("relative", [False, True])
def test_keypoints_agree_and_are_evaluated_by_their_distance(relative: bool, tmp_path: Path) -> None:
    model = tmp_path / "net.tflite"
    model.write_bytes(image_net(classes=8))  # its softmax stands for shares of the input's size
    data = {"calibrate": photos(tmp_path / "a.npy", 60, 0), "holdout": photos(tmp_path / "b.npy", 60, 1)}
    task = {"kind": "pose", "relative": relative}
    inputs = np.load(tmp_path / "b.npy")
    before = Side(model.read_bytes(), Contract.model_validate(IMAGE), _task(task), ())
    truth = np.stack([before.run(RawSample(image, "rgb", "x")).points for image in inputs]) + 1.0
    np.savez(tmp_path / "truth.npz", inputs=inputs, truth=truth)
    done = converted(model, IMAGE, task, evaluate=f"{tmp_path}/truth.npz?colour=rgb", **data)
    assert done.figures.evaluation is not None
    assert done.figures.evaluation.metrics[0].name == "keypoints"
    assert done.figures.evaluation.metrics[0].float_value == pytest.approx(2**0.5, rel=1e-4)
    assert [f.name for f in done.figures.parity.agreement] == ["keypoint agreement", "keypoint distance"]
    np.savez(tmp_path / "truth.npz", inputs=inputs, truth=truth[:, :3])
    with pytest.raises(DataError, match="has 3 keypoints, and the pose of output 'scores' 4"):
        converted(model, IMAGE, task, evaluate=f"{tmp_path}/truth.npz?colour=rgb", **data)


def _task(keys: dict[str, Any]) -> Any:
    from pydantic import TypeAdapter

    from edge_sdk.tasks import TaskSettings

    return TypeAdapter(TaskSettings).validate_python(keys)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"kind": "anomaly"}, r"score: is missing; allowed are kind, output, score, activation, threshold"),
        (
            {"kind": "keyword", "smoothing": 3},
            r"smoothing: no such key; allowed are kind, output, activation, background",
        ),
        ({"kind": "anomaly", "score": "output", "threshold": {"sigma": 3}}, r"sigma: no such key"),
        ({"kind": "pose", "numbers": 3, "score": "there"}, r"score = 'there': the model has no such output"),
    ],
)
def test_what_the_model_toml_gets_wrong_is_named(task: dict[str, Any], message: str, tmp_path: Path) -> None:
    model = segmenter(tmp_path / "net.tflite")
    with pytest.raises(ConfigError, match=message):
        converted(model, IMAGE, task, calibrate=photos(tmp_path / "a.npy", 4, 0))


def test_an_output_that_the_task_does_not_read_cannot_be_evaluated(tmp_path: Path) -> None:
    model = segmenter(tmp_path / "net.tflite")
    (tmp_path / "net.toml").write_text(
        '[task]\nkind = "segment"\noutput = "scores"\n[evaluate]\ndata = "t.npz"\noutput = "other"\n'
    )
    with pytest.raises(ConfigError, match="output = 'other', and task segment reads 'scores'; leave output out"):
        convert(model, output=tmp_path / "x.edge", contract=IMAGE, calibrate=photos(tmp_path / "a.npy", 4, 0))


# The judges alone


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        (ThresholdRule(sigmas=3), lambda s: s.mean() + 3 * s.std(ddof=1)),
        (ThresholdRule(percentile=100), lambda s: s.max()),
        (ThresholdRule(percentile=50), np.median),
    ],
)
def test_thresholds_by_their_rules(rule: ThresholdRule, wanted: Callable[[np.ndarray], float]) -> None:
    scores = np.random.default_rng(0).exponential(size=101)
    assert threshold_of(scores, rule) == pytest.approx(float(wanted(scores)))
    assert threshold_of(np.array([2.0]), ThresholdRule(sigmas=3)) == 2.0


def test_a_score_that_is_no_number_gives_no_threshold() -> None:
    judge = JudgeAnomaly(AnomalySettings(kind="anomaly", score="output"))
    with pytest.raises(DataError, match="sample 0 has the scores nan and 1"):
        judge.see(Anomaly(float("nan"), 0, anomalous=True), Anomaly(1, 0, anomalous=True))


def test_masks_that_differ_agree_less_and_empty_ones_cannot_agree() -> None:
    def masked(rows: int) -> Segmentation:
        mask = np.zeros((10, 10), np.uint8)
        mask[:rows] = 1
        return Segmentation(mask, ("background", "object"), {}, (10, 10), None)

    judge = JudgeSegment()
    judge.see(masked(4), masked(4))
    judge.see(masked(4), masked(6))
    assert judge.as_metric().int8_value == pytest.approx(80) and judge.as_metric().float_value == 100
    empty = JudgeSegment()
    empty.see(masked(0), masked(3))
    assert empty.agreement() == ()
    with pytest.raises(DataError, match="finds no object"):
        empty.as_metric()


def test_keypoints_are_near_by_the_size_of_the_pose_where_float_sees_one() -> None:
    points = ((0.0, 0.0), (30.0, 40.0))
    judge = JudgePose(PoseSettings(kind="pose", score="s", threshold=0.5))
    judge.see(Pose(points, (), 0.9), Pose(((2.0, 0.0), (30.0, 44.0)), (), 0.8))
    judge.see(Pose(points, (), 0.1), Pose(((99.0, 0.0), (30.0, 44.0)), (), 0.1))
    judge.see(Pose(points, (), 0.9), Pose(points, (), 0.3))
    near, distance, again = judge.agreement()
    assert near.value == pytest.approx(75) and distance.value == pytest.approx(3) and again.value == 50
    with pytest.raises(DataError, match="finds no pose"):
        JudgePose(PoseSettings(kind="pose")).as_metric()


def test_samples_are_compared_each_for_itself(tmp_path: Path) -> None:
    task = {"kind": "anomaly", "score": "reconstruction", "threshold": 1.0, "smoothing_results": 5}
    side = Side(autoencoder(tmp_path / "net.tflite").read_bytes(), Contract(input="tensor"), _task(task), ())
    scores = [side.run(RawSample(row, "bgr", "row")).score for row in (*normal(3, 0), *normal(3, 0))]
    assert scores[:3] == scores[3:]
