"""The float model's response as a judge of the contract: is it surer, or right more often, with another one?

A network stands out for the inputs that it was trained on. For every sample, how far its best class stands above the others is measured
in standard deviations of that sample's logits. A wrong range multiplies all logits, and makes softmax look sure; this measure does not
change then. It is taken twice, plainly and with each logit's mean over all samples removed, so that a model that says the same of
everything does not look sure. On EfficientNet-Lite0 and MobileNetV2 and 20 ImageNet photographs it ranks the true contract first
of eight. With right answers at hand accuracy decides, where it can.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from converters.calibrate.activation import before_squashing
from converters.calibrate.alternatives import differences, image_alternatives, tensor_alternatives
from converters.calibrate.likeness import Likeness
from converters.calibrate.ranges import encoded
from converters.calibrate.samples import RawSample, Samples
from converters.interpreter import open_interpreter
from edge_sdk.contract import Contract
from edge_sdk.encoder import Encoder
from edge_sdk.tasks import ClassifySettings, DetectSettings, TaskSettings
from edge_sdk.tensors import Array, TensorSpec
from edge_sdk.tflite import describe

SAMPLES = 24
_FEWEST = 8  # different samples, to compare at all
_CLASSES = 10  # of fewer, the best one's distance from the others says little
_ANSWERED = 100  # samples with right answers, at most
_BUDGET_S = 10.0  # for all runs, if the fewest samples take no longer
_ONE_CLASS = 20  # samples of which all have the same best class

Floats = npt.NDArray[np.float64]


def check_contract(
    content: bytes,
    contract: Contract,
    task: TaskSettings,
    samples: Iterable[RawSample],
    classes: Sequence[int] | None = None,
) -> tuple[str, ...]:
    """Compare the contract with those that it is often confused with.

    Args:
        content: the float model, with one input.
        contract: what is said of its input.
        task: what its outputs mean. Only ``classify`` and ``detect`` are judged.
        samples: of these at most 24 are used, and none that is nearly another; with ``classes``, the first 100.
        classes: the right class of every sample, if they are known.

    Returns:
        At most one warning, that another contract is better or all samples are of one class; none is the rule.

    Raises:
        DataError: if a sample does not fit the contract.
    """
    model = _Responder.of(content, task)
    if model is None:
        return ()
    chosen: Iterable[RawSample] = _different(samples) if classes is None else islice(samples, _ANSWERED)
    if contract.input != "image":
        chosen = list(chosen)  # small, and their range decides what is compared
    many = classes is not None or isinstance(task, DetectSettings) or model.row >= _CLASSES
    alternatives = _alternatives(contract, chosen, many)
    told, *others = model.scores((contract, *alternatives), chosen)
    if len(told) < _FEWEST:
        return ()
    answers = None if classes is None else np.array(classes[: len(told)])
    verdicts = [_compare(told, scores, task, answers) for scores in others]
    found = [(verdict, other) for verdict, other in zip(verdicts, alternatives, strict=True) if verdict is not None]
    if found:
        verdict, other = max(found, key=lambda pair: pair[0].value)
        said = f"With {differences(contract, other)} the float model is {verdict.said}: was it trained so?"
        return (f"{said} The contract says {differences(other, contract)}.",)
    if isinstance(task, ClassifySettings) and len(told) >= _ONE_CLASS and len(set(told.argmax(axis=1))) == 1:
        return (
            f"The float model says class {told[0].argmax()} of all {len(told)} samples that were looked at: they are of one class only, "
            "or the contract is wrong. Give samples of every class.",
        )
    return ()


@dataclass(frozen=True)
class _Verdict:
    """That an alternative is better, by how much, and in words."""

    value: float
    said: str


@dataclass(frozen=True)
class _Responder:
    """The float model, as far as its response is judged."""

    interpreter: Any
    entry: TensorSpec
    output: int
    columns: slice  # of the output's last axis
    row: int  # its length

    @classmethod
    def of(cls, content: bytes, task: TaskSettings) -> _Responder | None:
        """Or None where there is nothing to judge."""
        model = describe(content)
        tensors = model.tensors
        names = {tensors[i].name: i for i in model.outputs}
        if isinstance(task, ClassifySettings) and len(model.outputs) == 1:
            output, columns = model.outputs[0], slice(None)
        elif isinstance(task, DetectSettings) and task.scores in names and task.background in (None, 0):
            output, columns = names[task.scores], slice(0 if task.background is None else 1, None)
        else:
            return None
        if tensors[output].dtype != "float32" or len(model.inputs) != 1:
            return None
        entry = tensors[model.inputs[0]]
        spec = TensorSpec(entry.name, entry.shape, entry.dtype)
        inner = before_squashing(model, output)
        return cls(open_interpreter(content), spec, inner, columns, tensors[output].shape[-1])

    def scores(self, contracts: Sequence[Contract], samples: Iterable[RawSample]) -> list[Floats]:
        """For every contract the logits of every sample, (samples, classes); of a detector (samples, anchors), each anchor's best class.

        Ends early when the time is up.
        """
        encoders = [Encoder(contract, self.entry) for contract in contracts]
        rows: list[list[npt.NDArray[np.float32]]] = [[] for _ in contracts]
        until = time.perf_counter() + _BUDGET_S
        for sample in samples:
            for encoder, row in zip(encoders, rows, strict=True):
                ((_, array),) = encoded([sample], encoder)
                row.append(self._run(array))
            if len(rows[0]) >= _FEWEST and time.perf_counter() > until:
                break
        return [np.nan_to_num(np.array(row, np.float64)) for row in rows]

    def _run(self, array: Array) -> npt.NDArray[np.float32]:
        self.interpreter.set_tensor(self.interpreter.get_input_details()[0]["index"], array)
        self.interpreter.invoke()
        found = self.interpreter.get_tensor(self.output).reshape(-1, self.row)[:, self.columns]
        best: npt.NDArray[np.float32] = found[0] if len(found) == 1 else found.max(axis=1)
        return best


def _alternatives(contract: Contract, samples: Iterable[RawSample], many: bool) -> tuple[Contract, ...]:
    """What the contract is compared with; other ranges only where their effect can be judged."""
    if contract.input == "image":
        return image_alternatives(contract, rescaled=many)
    if contract.input == "window":
        return ()  # features and units leave no range to confuse
    extremes = [(float(sample.data.min()), float(sample.data.max())) for sample in samples if sample.data.size]
    if not many or not extremes:
        return ()
    return tensor_alternatives(contract, min(low for low, _ in extremes), max(high for _, high in extremes))


def _compare(told: Floats, other: Floats, task: TaskSettings, answers: npt.NDArray[np.int64] | None) -> _Verdict | None:
    """Whether ``other`` is so much better that it is worth a warning."""
    if answers is not None and isinstance(task, ClassifySettings):
        right, right_too = told.argmax(axis=1) == answers, other.argmax(axis=1) == answers
        if right_too.sum() < right.sum():
            return None
        if (verdict := _righter(right, right_too)) is not None:
            return verdict
    if isinstance(task, DetectSettings):
        return _finds_more(told.max(axis=1), other)
    if told.shape[1] < _CLASSES:
        return _surer_of_few(told, other)
    return _surer(told, other)


def _righter(told: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> _Verdict | None:
    """By the exact sign test on the samples of which only one is right (McNemar, 1947)."""
    won, lost = int((other & ~told).sum()), int((told & ~other).sum())
    chance = sum(math.comb(won + lost, k) for k in range(won, won + lost + 1)) / 2 ** (won + lost)
    if chance > 0.002:
        return None
    return _Verdict(float(other.sum()), f"right on {other.sum()} of {len(told)} samples, against {told.sum()}")


def _surer(told: Floats, other: Floats) -> _Verdict | None:
    plain = _standing_out(told), _standing_out(other)
    centred = _standing_out(told - told.mean(axis=0)), _standing_out(other - other.mean(axis=0))
    if not all(_clearly(*pair, wins=0.75, t=3.5, gain=0.05) for pair in (plain, centred)):
        return None
    said = (
        f"surer on {(plain[1] > plain[0]).sum()} of {len(told)} samples (its best class stands {plain[1].mean():.1f} standard "
        f"deviations above the others, against {plain[0].mean():.1f})"
    )
    return _Verdict(float(centred[1].mean()), said)


def _surer_of_few(told: Floats, other: Floats) -> _Verdict | None:
    """Of few classes: by the margin between the two best logits; only used where the range is the same."""
    margins = [np.diff(np.sort(scores, axis=1)[:, -2:], axis=1)[:, 0] for scores in (told, other)]
    if told.shape[1] < 2 or not _clearly(*margins, wins=0.85, t=4.5, gain=0.3):
        return None
    won, (before, after) = int((margins[1] > margins[0]).sum()), (float(margin.mean()) for margin in margins)
    said = f"surer on {won} of {len(told)} samples (its two best classes lie {after:.2f} apart, against {before:.2f})"
    return _Verdict(after, said)


def _finds_more(told: Floats, scores: Floats) -> _Verdict | None:
    """Of a detector: by the best score of each sample, unless a good part of all anchors find something, which is nonsense."""
    before, after = _sigmoid(told), _sigmoid(scores.max(axis=1))
    nonsense = (scores > 0).mean() > 0.05
    if nonsense or not _clearly(before, after, wins=0.9, t=4.5, gain=0.3) or after.mean() - before.mean() < 0.2:
        return None
    said = f"surer on {(after > before).sum()} of {len(told)} samples (best score {after.mean():.2f} against {before.mean():.2f})"
    return _Verdict(float(after.mean()), said)


def _standing_out(logits: Floats) -> Floats:
    spread = np.maximum(logits.std(axis=1), 1e-12)
    standing: Floats = (logits.max(axis=1) - logits.mean(axis=1)) / spread
    return standing


def _clearly(told: Floats, other: Floats, *, wins: float, t: float, gain: float) -> bool:
    """Whether ``other`` is larger on a share ``wins`` of the samples, by the paired t statistic, and by a part of the mean."""
    gained = other - told
    error = max(float(gained.std(ddof=1)) / math.sqrt(len(gained)), 1e-12)
    mean = float(gained.mean())
    return bool((gained > 0).mean() >= wins and mean / error > t and mean > gain * abs(float(told.mean())))


def _sigmoid(values: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(values, -50, 50)))


def _different(samples: Iterable[RawSample]) -> Iterator[RawSample]:
    """Samples of which none is nearly another: frames of one scene would count as many votes of the same voter."""
    likeness = Likeness()
    for sample in samples.spread(SAMPLES) if isinstance(samples, Samples) else islice(samples, SAMPLES):
        near = likeness.near
        likeness.see(sample.data, sample.name)
        if likeness.near == near:
            yield sample
