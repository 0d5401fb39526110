"""Whether a compiled model was made of a certain model, and which operators of it run on the Edge TPU.

The compiler puts one custom operator in the place of each run of mapped operators, and leaves everything else as it was, names of tensors
included. So the two graphs are laid side by side: what stayed must be the same, constants and options included, and each custom operator
must stand exactly where operators are missing. What is inside of it is opaque; ``weights`` tells what can be seen of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from converters.graph import main_graph, operator_name, read_graph, shape_of, text, type_name
from edge_sdk.edgetpu.package import CUSTOM_CODE
from edge_sdk.errors import ModelError
from edge_sdk.tensors import Array
from edge_sdk.tflite import describe


@dataclass(frozen=True)
class Match:
    """What of a model runs where.

    Attributes:
        mapped: places of its operators that run on the Edge TPU, one set for each custom operator.
    """

    mapped: tuple[frozenset[int], ...]

    @property
    def on_tpu(self) -> frozenset[int]:
        """All that run on the Edge TPU."""
        return frozenset().union(*self.mapped)


def match(original: bytes, compiled: Sequence[bytes]) -> Match:
    """Lay a model beside what was compiled of it.

    Args:
        original: the model.
        compiled: one file, or the segments of a pipeline in their order.

    Raises:
        ModelError: if the compiled one is of another model; the message has the first difference. Or if one of them is damaged.
    """
    whole = _Original(original)
    pieces = [_Piece(content) for content in compiled]
    if not any(piece.custom for piece in pieces):
        raise ModelError(
            f"the compiled model has no {CUSTOM_CODE}: nothing of it runs on the Edge TPU, so it is not compiled"
        )
    for piece in pieces:
        whole.compare_tensors(piece)
    whole.compare_ends(pieces)
    stayed = frozenset(whole.compare_operator(piece, operator) for piece in pieces for operator in piece.others)
    regions = tuple(whole.region(piece, operator, stayed) for piece in pieces for operator in piece.custom)
    return Match(regions)


class _Graph:
    """The one graph of a model, by tensor names."""

    def __init__(self, content: bytes, what: str) -> None:
        try:
            describe(content)  # bounds what the next line reads
            self.model = read_graph(content)
        except ModelError as exc:
            raise ModelError(f"{what}: {exc}") from exc
        if len(self.model.subgraphs) != 1:
            raise ModelError(f"{what} has {len(self.model.subgraphs)} subgraphs; those for the Edge TPU have one")
        self.graph = main_graph(self.model)

    def name(self, index: int) -> str:
        return text(self.graph.tensors[index].name)

    def data(self, tensor: Any) -> Array | None:
        """A constant's bytes; None of anything else."""
        data = self.model.buffers[tensor.buffer].data if 0 < tensor.buffer < len(self.model.buffers) else None
        return None if data is None or len(data) == 0 else np.asarray(data, np.uint8)

    def computed(self, indices: Sequence[int]) -> Iterator[str]:
        """Names of those that are no constants and not left out."""
        for index in indices:
            if index >= 0 and self.data(self.graph.tensors[index]) is None:
                yield self.name(index)


class _Piece(_Graph):
    """A compiled file."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content, "the compiled model")
        self.custom = [op for op in self.graph.operators if operator_name(self.model, op) == CUSTOM_CODE]
        self.others = [op for op in self.graph.operators if operator_name(self.model, op) != CUSTOM_CODE]


class _Original(_Graph):
    def __init__(self, content: bytes) -> None:
        super().__init__(content, "the model")
        self.operators = self.graph.operators
        if any(operator_name(self.model, operator) == CUSTOM_CODE for operator in self.operators):
            raise ModelError(
                f"the model has an {CUSTOM_CODE} itself: it is compiled already; give the one that it was compiled of"
            )
        self.tensors: dict[str, Any] = {}
        for tensor in self.graph.tensors:
            known = self.tensors.setdefault(text(tensor.name), tensor)
            if known is not tensor and self.data(tensor) is None:
                raise ModelError(
                    f"the model has two tensors {text(tensor.name)!r}; what was compiled of it goes by their names"
                )
        self.makers = {self.name(i): place for place, op in enumerate(self.operators) for i in op.outputs if i >= 0}
        self.inputs = set(map(self.name, self.graph.inputs))

    def compare_tensors(self, piece: _Piece) -> None:
        """Each tensor of the piece that is no constant is one of the model's."""
        for tensor in piece.graph.tensors:
            name = text(tensor.name)
            if piece.data(tensor) is not None:
                continue
            known = self.tensors.get(name)
            if known is None:
                _differ(f"tensor {name!r} of the compiled model is none of the model's")
            if (found := _form(tensor)) != (wanted := _form(known)):
                _differ(f"tensor {name!r} is {_said(found)}, and {_said(wanted)} in the model")

    def compare_ends(self, pieces: Sequence[_Piece]) -> None:
        """One file has the model's inputs and outputs; segments together have them."""
        inputs, outputs = ([self.name(i) for i in side] for side in (self.graph.inputs, self.graph.outputs))
        if len(pieces) == 1:
            graph = pieces[0].graph
            for side, wanted, indices in (("inputs", inputs, graph.inputs), ("outputs", outputs, graph.outputs)):
                if (found := [pieces[0].name(i) for i in indices]) != wanted:
                    _differ(f"its {side} are {', '.join(found)}, and {', '.join(wanted)} in the model")
        known = set(inputs)
        for number, piece in enumerate(pieces):
            if lacking := [name for name in piece.computed(piece.graph.inputs) if name not in known]:
                _differ(
                    f"input {lacking[0]!r} of segment {number} is neither the model's nor made by a segment before it"
                )
            known.update(piece.name(i) for i in piece.graph.outputs)
        if lacking := [name for name in outputs if name not in known]:
            _differ(f"output {lacking[0]!r} of the model is made by no segment")
        for piece in pieces:
            made = {piece.name(i) for i in piece.graph.inputs}
            for operator in piece.graph.operators:
                self._are_made(piece, operator.inputs, made)
                made.update(piece.name(i) for i in operator.outputs if i >= 0)
            self._are_made(piece, piece.graph.outputs, made)

    def _are_made(self, piece: _Piece, indices: Sequence[int], made: set[str]) -> None:
        for name in piece.computed(indices):
            if name not in made and not self.tensors[name].isVariable:
                _differ(f"tensor {name!r} of the compiled model is made by none of its operators")

    def compare_operator(self, piece: _Piece, operator: Any) -> int:
        """The place of an operator that stayed on the processor."""
        outputs = [piece.name(i) for i in operator.outputs if i >= 0]
        place = self.makers.get(outputs[0]) if outputs else None
        found = operator_name(piece.model, operator)
        if place is None:
            _differ(
                f"operator {found} of the compiled model makes {', '.join(map(repr, outputs)) or 'nothing'}; none of the model's does"
            )
        known = self.operators[place]
        where = f"operator {place} ({operator_name(self.model, known)})"
        if found != operator_name(self.model, known):
            _differ(f"{where} is {found} in the compiled model")
        if outputs != [self.name(i) for i in known.outputs if i >= 0]:
            _differ(f"{where} makes other tensors in the compiled model: {', '.join(outputs)}")
        if not _same(operator.builtinOptions, known.builtinOptions) or _bytes(operator.customOptions) != _bytes(
            known.customOptions
        ):
            _differ(f"{where} has other options in the compiled model")
        if len(operator.inputs) != len(known.inputs):
            _differ(
                f"{where} has {len(operator.inputs)} inputs in the compiled model, and {len(known.inputs)} in the model"
            )
        for number, (theirs, ours) in enumerate(zip(operator.inputs, known.inputs, strict=True)):
            self._compare_input(piece, int(theirs), int(ours), f"input {number} of {where}")
        return place

    def _compare_input(self, piece: _Piece, theirs: int, ours: int, where: str) -> None:
        if min(theirs, ours) < 0:
            if theirs != ours:
                _differ(f"{where} is left out in one of the two")
            return
        found, known = piece.graph.tensors[theirs], self.graph.tensors[ours]
        data, wanted = piece.data(found), self.data(known)
        if data is None and wanted is None:
            if text(found.name) != text(known.name):
                _differ(f"{where} is {text(found.name)!r} in the compiled model, and {text(known.name)!r} in the model")
        elif data is None or wanted is None:
            _differ(f"{where} is a constant in one of the two")
        elif _form(found) != _form(known) or not np.array_equal(data, wanted):
            _differ(f"{where}, the constant {text(known.name)!r}, has other content in the compiled model")

    def region(self, piece: _Piece, operator: Any, stayed: frozenset[int]) -> frozenset[int]:
        """Places of the operators that a custom operator stands for: those between its inputs and its outputs."""
        inputs = set(piece.computed(operator.inputs))
        open_ = [piece.name(i) for i in operator.outputs if i >= 0]
        region: set[int] = set()
        met: set[str] = set()
        while open_:
            name = open_.pop()
            if name in inputs:
                met.add(name)
                continue
            place = self.makers.get(name)
            if place is None and name in self.inputs:
                _differ(f"the {CUSTOM_CODE} does not take the model's input {name!r}, which its outputs depend on")
            if place is None or place in region:
                continue  # a variable; or known
            if place in stayed:
                _differ(
                    f"operator {place} ({operator_name(self.model, self.operators[place])}) stayed on the processor, but the {CUSTOM_CODE} "
                    f"does not take what it makes, {name!r}"
                )
            region.add(place)
            open_.extend(self.computed(self.operators[place].inputs))
        if unused := sorted(inputs - met):
            _differ(f"the {CUSTOM_CODE} takes {unused[0]!r}, which its outputs do not depend on in the model")
        return frozenset(region)


_Form = tuple[tuple[int, ...], str, tuple[float, ...], tuple[int, ...], int]


def _form(tensor: Any) -> _Form:
    """Shape, type, scales, zero points, and the axis that they lie along."""
    quantization = tensor.quantization
    scales = () if quantization is None or quantization.scale is None else tuple(map(float, quantization.scale))
    points = () if quantization is None or quantization.zeroPoint is None else tuple(map(int, quantization.zeroPoint))
    axis = int(quantization.quantizedDimension) if len(scales) > 1 else 0
    return shape_of(tensor), type_name(tensor), scales, points if any(points) else (), axis


def _said(form: _Form) -> str:
    shape, dtype, scales, points, _ = form
    named = f"{'x'.join(map(str, shape)) or 'scalar'} {dtype.lower()}"
    if len(scales) == 1:
        return f"{named} of scale {scales[0]:.6g} and zero point {points[0] if points else 0}"
    return f"{named} of {len(scales)} scales" if scales else named


def _same(found: Any, wanted: Any) -> bool:
    """Whether two options are alike; those that are left out stand for defaults."""
    if found is None or wanted is None:
        given = found if wanted is None else wanted
        return given is None or _same(given, type(given)())
    if type(found) is not type(wanted):
        return False
    if hasattr(found, "__dict__"):
        return all(_same(value, getattr(wanted, key)) for key, value in vars(found).items())
    return bool(np.array_equal(found, wanted))


def _bytes(options: Any) -> bytes:
    return b"" if options is None else np.asarray(options, np.uint8).tobytes()


def _differ(what: str) -> NoReturn:
    raise ModelError(f"the compiled model was made of another model. The first difference: {what}")
