"""Every metric against an independent implementation or a value computed by hand, over all samples and over draws of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.verify.coco_json import TrueObject
from converters.verify.evaluate import PerSample, compare, measure, read_truth
from converters.verify.metrics import Mean, measure_for, metrics_of
from converters.verify.metrics.anomaly import Auc, Ranked
from converters.verify.metrics.classes import TopK
from converters.verify.metrics.coco import AveragePrecision, Image, Matches, coco_evaluation
from converters.verify.parity import _Detect
from converters.verify.settings import EvaluateSettings
from converters.verify.sides import Side
from edge_sdk.contract import Contract
from edge_sdk.errors import ConfigError, DataError, ModelError
from edge_sdk.tasks import ClassifySettings, RawSettings, TaskSettings
from edge_sdk.tasks.detect import Detection
from tests.tiny_models import TinyModel, conv_options, image_net, options

IMAGE = Contract.model_validate({"input": "image", "colour": "rgb", "range": [0, 1], "resize": "stretch"})
NUMBERS = Contract(input="tensor")
RAW = RawSettings()
AP = AveragePrecision(EvaluateSettings())


def multiply(shape: tuple[int, ...], by: Any = 1.0, out: tuple[int, ...] | None = None) -> bytes:
    """A model that gives its input times ``by``, in another shape where ``out`` is given."""
    net = TinyModel()
    entry, product = net.tensor("entry", shape), net.tensor("product", shape)
    net.operator("MUL", [entry, net.constant("by", np.asarray(by, np.float32))], [product], options("Mul"))
    if out is None:
        return net.build([entry], [product])
    last = net.tensor("last", out)
    net.operator("RESHAPE", [product, net.constant("shape", np.array(out, np.int32))], [last], options("Reshape"))
    return net.build([entry], [last])


def pixels(kernel: Any, size: int = 4) -> bytes:
    """A 1x1 convolution over an image: ``kernel`` is (channels out, 3)."""
    weights = np.asarray(kernel, np.float32).reshape(-1, 1, 1, 3)
    net = TinyModel()
    image, mask = net.tensor("image", (1, size, size, 3)), net.tensor("mask", (1, size, size, len(weights)))
    bias = net.constant("bias", np.zeros(len(weights), np.float32))
    net.operator("CONV_2D", [image, net.constant("kernel", weights), bias], [mask], conv_options())
    return net.build([image], [mask])


def score(
    content: bytes,
    where: str | Path,
    settings: EvaluateSettings,
    contract: Contract = NUMBERS,
    task: TaskSettings = RAW,
) -> dict[str, float]:
    """The metrics of a model on ground truth, by name."""
    truth = read_truth(str(where), contract, task, (), settings)
    (scored,) = measure(truth, [truth.side(content, contract, task, ())])
    return {scores.kind.name: scores.over_all() for scores in scored.scores}


def arrays(tmp_path: Path, inputs: Any, truth: Any) -> Path:
    np.savez(tmp_path / "truth.npz", inputs=np.asarray(inputs), truth=np.asarray(truth))
    return tmp_path / "truth.npz"


def found(box: tuple[float, float, float, float], score: float, label: str = "cat") -> Detection:
    return Detection(box, label, 0, score, ())


def average_precision(images: Sequence[Image]) -> tuple[float, float]:
    mean, half = AP.gather(images)
    return mean.over_all(), half.over_all()


def test_average_precision_by_hand() -> None:
    """Two objects; ranked: a hit, a miss, a hit. Precision 1 up to recall 1/2, then 2/3: at 51 and 50 of the 101 recalls."""
    there = [TrueObject("cat", (0.0, 0.0, 10.0, 10.0))]
    images = [
        ([found((0, 0, 10, 10), 0.9), found((50, 50, 60, 60), 0.8)], there),
        ([found((0, 0, 10, 10), 0.7)], there),
    ]
    assert average_precision(images) == pytest.approx(((51 + 50 * 2 / 3) / 101,) * 2)


def test_second_hit_of_one_object_counts_as_wrong_and_overlap_decides_by_iou() -> None:
    there = [TrueObject("cat", (0.0, 0.0, 10.0, 10.0))]
    two = [([found((0, 0, 10, 6.2), 0.9), found((0, 0, 10, 10), 0.8)], there)]  # IoU 0.62: right at 0.50, 0.55, 0.60
    mean, half = average_precision(two)
    assert half == pytest.approx(1)
    assert mean == pytest.approx((3 * 1 + 7 * 0.5) / 10)


def test_crowds_count_neither_way() -> None:
    crowd = TrueObject("cat", (20.0, 20.0, 90.0, 90.0), crowd=True)
    there = [TrueObject("cat", (0.0, 0.0, 10.0, 10.0)), crowd]
    seen = [found((30, 30, 50, 50), 0.9), found((0, 0, 10, 10), 0.8)]  # the first lies in the crowd
    assert average_precision([(seen, there)]) == pytest.approx((1, 1))
    assert average_precision([(seen, there[:1])]) == pytest.approx((0.5, 0.5))


def test_without_objects_average_precision_is_0() -> None:
    assert average_precision([([found((0, 0, 1, 1), 0.5)], [])]) == (0, 0)


def random_images(seed: int, count: int = 12) -> list[Image]:
    """Objects of three classes, some of them crowds; detections that hit, miss, lie beside and come twice."""
    rng = np.random.default_rng(seed)
    images: list[Image] = []
    for _ in range(count):
        corners = rng.uniform(0, 80, (rng.integers(0, 6), 2))
        labels = rng.choice(["ant", "bee", "cow"], len(corners))
        sizes = rng.uniform(5, 30, (len(corners), 2))
        objects = [
            TrueObject(str(label), (x, y, x + w, y + h), bool(rng.random() < 0.15))
            for label, (x, y), (w, h) in zip(labels, corners, sizes, strict=True)
        ]
        near = [o for o in objects for _ in range(rng.integers(0, 3))]
        seen = [
            found(tuple(np.array(o.box) + rng.normal(0, 2, 4)), float(rng.random()), o.label)  # type: ignore[arg-type]
            for o in near
        ]
        seen += [found((1, 1, 9, 9), float(rng.random()), str(label)) for label in rng.choice(["ant", "bee"], 2)]
        images.append((seen, objects))
    return images


def by_pycocotools(images: Sequence[Image]) -> tuple[float, float]:
    """The whole of COCOeval: evaluate, accumulate, and the means that its summary takes."""
    names = sorted({o.label for _, objects in images for o in objects if not o.crowd})
    evaluation = coco_evaluation(images, names)
    with redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"]  # IoU, recall, class, area, most boxes

    def mean(part: npt.NDArray[np.float64]) -> float:
        return float(part[part > -1].mean())

    return mean(precision), mean(precision[0])


@pytest.mark.parametrize("seed", range(6))
def test_average_precision_is_that_of_pycocotools(seed: int) -> None:
    images = random_images(seed)
    assert average_precision(images) == pytest.approx(by_pycocotools(images), abs=1e-12)


@pytest.mark.parametrize(("hits", "objects"), [(3, 7), (7, 25), (35, 50), (41, 50), (57, 100), (95, 100)])
def test_average_precision_is_that_of_pycocotools_where_recalls_meet_its_hundredths(hits: int, objects: int) -> None:
    """35 of 50 is a recall of 0.7, and pycocotools' 0.7 is a bit more: which of the 101 are reached is a matter of rounding."""
    places = [(20.0 * i, 0.0, 20.0 * i + 10, 10.0) for i in range(objects)]
    seen = [found(place, 0.9 - i / 1000) for i, place in enumerate(places[:hits])]
    images = [(seen, [TrueObject("cat", place) for place in places])]
    assert average_precision(images) == pytest.approx(by_pycocotools(images), abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_a_draw_of_images_is_scored_as_pycocotools_scores_copies_of_them(seed: int) -> None:
    images = random_images(seed)
    drawn = np.random.default_rng(seed).integers(0, len(images), len(images))
    counts = np.bincount(drawn, minlength=len(images))[None].astype(float)
    mean, half = (scores.value(counts)[0] for scores in AP.gather(images))
    assert (mean, half) == pytest.approx(by_pycocotools([images[i] for i in drawn]), abs=1e-12)


def test_many_draws_are_the_same_as_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from converters.verify.metrics import coco

    counts = np.random.default_rng(0).integers(0, 3, (50, 12)).astype(float)
    scores = AP.gather(random_images(1))[0]
    assert isinstance(scores, Matches)
    at_once = scores.value(counts)
    monkeypatch.setattr(coco, "_DRAWS", 7)
    assert np.allclose(at_once, scores.value(counts), rtol=1e-12)


def test_top_1_and_top_5_by_hand(tmp_path: Path) -> None:
    rows = np.array([[0, 1, 2, 3, 4, 9, 0, 0], [9, 8, 7, 6, 5, 4, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]], np.float32)
    path = arrays(tmp_path, rows, [5, 5, 0])  # best; sixth; of equal ones the lower index is the better
    assert score(multiply((1, 8)), path, EvaluateSettings(metric="top-1")) == pytest.approx(
        {"top-1": 2 / 3, "top-5": 2 / 3}
    )
    path = arrays(tmp_path, rows, [0, 4, 7])  # not among five; fifth; not among five
    assert score(multiply((1, 8)), path, EvaluateSettings(metric="top-1")) == pytest.approx(
        {"top-1": 0, "top-5": 1 / 3}
    )


def test_the_metric_that_was_named_comes_first_and_top_5_of_five_classes_says_nothing(tmp_path: Path) -> None:
    path = arrays(tmp_path, np.eye(8, dtype=np.float32), np.arange(8))
    assert list(score(multiply((1, 8)), path, EvaluateSettings(metric="top-5"))) == ["top-5", "top-1"]
    path = arrays(tmp_path, np.eye(5, dtype=np.float32), np.arange(5))
    assert list(score(multiply((1, 5)), path, EvaluateSettings(metric="top-1"))) == ["top-1"]


def test_regression_by_hand(tmp_path: Path) -> None:
    path = arrays(tmp_path, np.array([[1.0, 2.0], [3.0, 4.0]]), [[2.0, 2.0], [6.0, 10.0]])  # the model doubles
    scored = score(multiply((1, 2), 2.0), path, EvaluateSettings(metric="mae"))
    assert scored == pytest.approx({"mae": (0 + 2 + 0 + 2) / 4, "mse": (0 + 4 + 0 + 4) / 4})
    assert list(scored) == ["mae", "mse"]


def pairs_won(scores: npt.NDArray[np.float64], positive: npt.NDArray[np.bool_]) -> float:
    """AUC as Hanley and McNeil define it, pair by pair."""
    wins = [(a > b) + (a == b) / 2 for a in scores[positive] for b in scores[~positive]]
    return float(np.mean(wins))


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30), st.integers(0, 10))
def test_auc_is_the_share_of_pairs_and_so_is_that_of_a_draw(rows: list[tuple[int, bool]], seed: int) -> None:
    scores, positive = np.array([s for s, _ in rows], float), np.array([p for _, p in rows])
    if positive.all() or not positive.any():
        return
    ranked = Ranked(Auc.kinds[0], scores, positive)
    assert ranked.over_all() == pytest.approx(pairs_won(scores, positive))
    counts = np.random.default_rng(seed).integers(0, 4, len(rows))
    again, of_those = np.repeat(scores, counts), np.repeat(positive, counts)
    if 0 < of_those.sum() < len(of_those):
        assert ranked.value(counts[None].astype(float))[0] == pytest.approx(pairs_won(again, of_those))


def test_auc_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="the independent AUC is scikit-learn's")
    rng = np.random.default_rng(0)
    positive = rng.random(300) < 0.2
    scores = np.round(rng.normal(positive * 1.0, 1), 1)  # with ties
    assert Ranked(Auc.kinds[0], scores, positive).over_all() == pytest.approx(metrics.roc_auc_score(positive, scores))


def test_auc_of_a_score_and_of_a_reconstruction(tmp_path: Path) -> None:
    path = arrays(tmp_path, np.array([[1.0], [2.0], [3.0], [2.0]], np.float32), [0, 0, 1, 1])
    settings = EvaluateSettings(metric="auc")
    assert score(multiply((1, 1)), path, settings) == {"auc": (1 + 1 + 1 + 0.5) / 4}
    path = arrays(tmp_path, np.array([[1.0, 0], [0.5, 0], [0, 3.0], [0, 0.1]], np.float32), [0, 0, 1, 1])
    first_only = multiply((1, 2), [1.0, 0.0])  # reconstructs the first number, and not the second
    assert score(first_only, path, settings) == {"auc": 1}


def test_iou_by_hand_of_two_classes_and_of_one_channel(tmp_path: Path) -> None:
    image = np.zeros((1, 4, 4, 3), np.uint8)
    image[0, :, :2, 0] = 255  # red on the left half
    mask = np.zeros((1, 4, 4), np.uint8)
    mask[0, :2, :] = 255  # the object is the upper half: 4 of 8 + 8 - 4 pixels
    path = arrays(tmp_path, image, mask)
    one = EvaluateSettings(metric="iou", threshold=0.5)
    assert score(pixels([[1, 0, 0]]), f"{path}?colour=rgb", one, IMAGE) == {"iou": pytest.approx(4 / 12)}
    assert score(pixels([[1, 0, 0]]), f"{path}?colour=bgr", one, IMAGE) == {"iou": 0}  # there is no red in it then
    two = EvaluateSettings(metric="iou")
    background_first = pixels([[0.1, 0, 0], [1, 0, 0]])  # where nothing is red, both are 0 and the lower index wins
    assert score(background_first, f"{path}?colour=rgb", two, IMAGE) == {"iou": pytest.approx(4 / 12)}
    mask[0, 0, 3] = 1  # beside 0 and 255: which of them is the object?
    with pytest.raises(DataError, match=r"mask truth.npz\[0\] holds both 1 and 255"):
        score(background_first, f"{arrays(tmp_path, image, mask)}?colour=rgb", two, IMAGE)


def test_iou_sums_over_samples_before_the_mean_over_classes(tmp_path: Path) -> None:
    """Three classes; 255 counts neither way; a class that is nowhere is not in the mean."""
    image = np.zeros((2, 4, 4, 3), np.uint8)
    image[:, :, :, 1] = 255  # the model says 1 everywhere
    mask = np.zeros((2, 4, 4), np.uint8)
    mask[0, :2] = 1  # 8 of 16 are right
    mask[1] = 255
    mask[1, 0, 0] = 1  # all that counts is right
    path = arrays(tmp_path, image, mask)
    scored = score(pixels(np.eye(3)), f"{path}?colour=rgb", EvaluateSettings(metric="iou"), IMAGE)
    assert scored == {"iou": pytest.approx((9 / 17 + 0 / 8) / 2)}


@pytest.mark.parametrize(("resize", "share"), [("letterbox", 1.0), ("stretch", 1.0), ("crop", 1.0)])
def test_masks_go_the_way_of_their_image(resize: str, share: float, tmp_path: Path) -> None:
    """A wide image with a red object that lies off the centre: the mask follows it, under every resize."""
    import cv2

    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    mask = np.zeros((32, 64), np.uint8)
    mask[8:24, 16:40] = 255
    image = np.zeros((32, 64, 3), np.uint8)
    image[:, :, 2] = mask  # blue, green, red
    cv2.imwrite(str(tmp_path / "images" / "a.png"), image)
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), mask)
    contract = IMAGE.model_copy(update={"resize": resize})
    scored = score(pixels([[1, 0, 0]], size=32), tmp_path, EvaluateSettings(metric="iou", threshold=0.5), contract)
    assert scored == {"iou": pytest.approx(share)}


def test_keypoints_by_hand(tmp_path: Path) -> None:
    """Two points of an image of the input's own size; the output is the image's first row, as numbers."""
    truth = [
        [[3.0, 4.0, 2.0], [9.0, 9.0, 0.0]],
        [[0.0, 0.0, 1.0], [6.0, 8.0, 1.0]],
    ]  # the second of the first is not labelled
    inputs = np.zeros((2, 1, 2, 2), np.float32)
    path = arrays(tmp_path, inputs, truth)
    model = multiply((1, 1, 2, 2), out=(1, 2, 2))  # says (0, 0) always
    assert score(model, path, EvaluateSettings(metric="keypoints")) == {
        "keypoints": pytest.approx((5 + (0 + 10) / 2) / 2)
    }
    normalised = EvaluateSettings(metric="keypoints", normalised=True)
    assert score(model, path, normalised) == {"keypoints": pytest.approx(5 / np.hypot(1, 2))}
    inputs[0, 0, 0] = (4, 3)  # y, x: right
    swapped = EvaluateSettings(metric="keypoints", points="yx")
    assert score(model, arrays(tmp_path, inputs, truth), swapped) == {"keypoints": pytest.approx(5 / 2)}
    inputs[0, 0, 0] = (1.5, 4)  # shares of a width of 2 and a height of 1
    relative = EvaluateSettings(metric="keypoints", relative=True)
    assert score(model, arrays(tmp_path, inputs, truth), relative) == {"keypoints": pytest.approx(5 / 2)}


def test_keypoints_are_placed_where_the_image_lies_in_the_input(tmp_path: Path) -> None:
    """A letterboxed image of 8 x 4 in 4 x 4: half the size, one pixel down."""
    image = np.zeros((1, 4, 8, 3), np.uint8)
    path = arrays(tmp_path, image, [[[6.0, 2.0]]])  # lies at (3, 2)
    net = TinyModel()
    entry, pooled = net.tensor("image", (1, 4, 4, 3)), net.tensor("pooled", (1, 3))
    net.operator(
        "MEAN", [entry, net.constant("axes", np.array([1, 2], np.int32))], [pooled], options("Reducer", keepDims=False)
    )
    contract = IMAGE.model_copy(update={"resize": "letterbox"})
    settings = EvaluateSettings(metric="keypoints")
    assert score(net.build([entry], [pooled]), f"{path}?colour=rgb", settings, contract) == {
        "keypoints": pytest.approx(np.hypot(3, 2))
    }


def test_one_model_is_measured_alone_and_compared_later(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    truth = read_truth(
        str(arrays(tmp_path, rows, rows.argmax(axis=1))), NUMBERS, RAW, (), EvaluateSettings(metric="top-1")
    )
    alone = [
        measure(truth, [truth.side(content, NUMBERS, RAW, ())])[0]
        for content in (multiply((1, 4)), multiply((1, 4), -1))
    ]
    together = measure(
        truth, [truth.side(content, NUMBERS, RAW, ()) for content in (multiply((1, 4)), multiply((1, 4), -1))]
    )
    assert compare(*alone) == compare(*together)
    (metric,) = compare(*alone)
    assert (metric.float_value, metric.int8_value, metric.drop, metric.samples) == (100, 0, 1, 40)


CLASSIFY = ClassifySettings(kind="classify")
MISFITS = {
    "iou of a classifier": (image_net(), IMAGE, CLASSIFY, "iou", "it is for segment and raw\\. Metrics of classify are top-1, top-5"),
    "mAP of raw": (image_net(), IMAGE, RAW, "mAP", r"metric mAP does not fit task raw: it is for detect"),
    "top-1 of a map": (pixels([[1, 0, 0]]), IMAGE, RAW, "top-1", r"'mask' of shape \(1, 4, 4, 1\): it takes one score"),
    "iou of scores": (image_net(), IMAGE, RAW, "iou", r"metric iou does not fit output 'scores' of shape \(1, 4\)"),
    "auc of scores": (image_net(), IMAGE, RAW, "auc", r"'scores' of shape \(1, 4\): it takes one number"),
    "iou without a threshold": (pixels([[1, 0, 0]]), IMAGE, RAW, "iou", r"threshold is missing: output 'mask' has one channel"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISFITS)
def test_metric_that_does_not_fit_is_named_with_those_that_do(name: str, tmp_path: Path) -> None:
    content, contract, task, metric, said = MISFITS[name]
    truth = {"iou": np.zeros((2, 16, 16), np.uint8)}.get(metric, np.array([0, 1]))
    path = arrays(tmp_path, np.zeros((2, 16, 16, 3), np.uint8), truth)
    settings = EvaluateSettings.model_validate({"metric": metric})
    side = Side(content, contract, task, ())
    with pytest.raises(ConfigError, match=said):
        read_truth(f"{path}?colour=rgb", contract, task, (), settings, inputs=side.inputs, outputs=side.outputs)


def test_output_is_named_where_there_are_several(tmp_path: Path) -> None:
    net = TinyModel()
    entry, one, two = net.tensor("entry", (1, 2)), net.tensor("one", (1, 2)), net.tensor("two", (1, 2))
    for factor, out in ((1.0, one), (3.0, two)):
        net.operator("MUL", [entry, net.constant(f"by {factor}", np.float32([factor]))], [out], options("Mul"))
    content = net.build([entry], [one, two])
    path = arrays(tmp_path, np.ones((2, 2), np.float32), np.zeros((2, 2)))
    with pytest.raises(ConfigError, match=r"output is missing: the model has 'one', 'two'"):
        score(content, path, EvaluateSettings(metric="mse"))
    with pytest.raises(ConfigError, match=r"output = 'three': the model has no such output; it has 'one', 'two'"):
        score(content, path, EvaluateSettings(metric="mse", output="three"))
    assert score(content, path, EvaluateSettings(metric="mse", output="two"))["mse"] == 9


def test_output_with_nan_is_refused(tmp_path: Path) -> None:
    path = arrays(tmp_path, np.full((2, 2), 3e38, np.float32), np.zeros((2, 2)))
    with pytest.raises(ModelError, match="output 'product' holds NaN or infinity"):
        score(multiply((1, 2), 9.0), path, EvaluateSettings(metric="mse"))


def test_float_that_makes_no_mistake_has_no_share_to_rise_by() -> None:
    kind = measure_for(EvaluateSettings(metric="mse"), RAW).kinds[0]
    exact, off = (PerSample((Mean(kind, np.full(40, value)),)) for value in (0.0, 1.0))
    with pytest.raises(DataError, match="makes no mistake by mse"):
        compare(exact, off)


def test_every_metric_has_a_task_and_the_settings_know_them_all() -> None:
    named = set(EvaluateSettings.model_fields["metric"].annotation.__args__[0].__args__)  # type: ignore[union-attr]
    assert named == {name for task in ("classify", "detect", "raw") for name in metrics_of(task)}
    assert TopK.kinds[0].name == "top-1"


def test_objects_that_int8_alone_finds_are_warned_of() -> None:
    """All of float's are found again, which says nothing of them."""
    real = Detection(box=(0.0, 0.0, 10.0, 10.0), label="face", index=0, score=0.9)
    ghost = Detection(box=(50.0, 50.0, 60.0, 60.0), label="face", index=0, score=0.5)
    calm, wild = _Detect(), _Detect()
    for number in range(30):
        calm.see((real,), (real, ghost) if number < 3 else (real,))
        wild.see((real,), (real, ghost) if number < 4 else (real,))
    assert calm.warning() is None
    assert (
        wild.warning() is not None and "finds 4 objects where float finds none; float finds 30 in all" in wild.warning()
    )
    assert wild.agreement()[0].value == 100
