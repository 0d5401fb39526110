"""Reading an ONNX file: nothing in it is believed, and what it lacks or must not have is said by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.load.onnx.initializers import check_size, numpy_dtype, read_constants
from converters.load.onnx.node import STANDARD, Node
from converters.load.onnx.values import Constant
from edge_sdk.errors import ModelError, needs

MAX_NODES = 100_000
CONTROL_FLOW = ("If", "Loop", "Scan")
OLDEST_OPSET = 9
OUTSIDE = "an operator outside of ONNX's own; export the model with standard operators only"
LOOP = "control flow; an int8 model must be one graph. Unroll the loop when exporting"
BRANCH = (
    "control flow whose condition is computed while the model runs; an int8 model must be one graph. "
    "Take the branch when exporting"
)
_TOLD = 10


@dataclass(frozen=True)
class Source:
    """An ONNX graph, checked as far as that goes without following it.

    Attributes:
        nodes: in the order of the file.
        constants: initializers by name.
        opsets: the imported opset by domain.
        input, input_type: the one graph input's name and ``TypeProto``, all of its axes fixed.
        outputs: names of the graph's outputs.
        notes: what was changed, one sentence each.
    """

    nodes: tuple[Node, ...]
    constants: Mapping[str, Constant]
    opsets: Mapping[str, int]
    input: str
    input_type: Any
    outputs: tuple[str, ...]
    notes: tuple[str, ...]


def read_source(content: bytes, input_shape: tuple[int, ...] | None, folder: Path | None) -> Source:
    """Parse and check an ONNX model.

    Args:
        content: the file.
        input_shape: of the input, in the order of the file, where the file leaves axes open.
        folder: where weights stored outside the file lie; None refuses them.

    Raises:
        ModelError: if it is damaged, hostile, too old, or its input is not one tensor of known shape.
    """
    model = _with_functions_inlined(parse(content))
    graph = model.graph
    opsets = {_domain(entry.domain): int(entry.version) for entry in model.opset_import}
    _check_opset(opsets)
    if len(graph.node) > MAX_NODES:
        raise ModelError(f"the model has {len(graph.node)} nodes; at most {MAX_NODES} are allowed")
    if graph.sparse_initializer:
        name = graph.sparse_initializer[0].values.name
        raise ModelError(f"initializer {name!r} is stored sparse; export the model with dense weights")
    constants = read_constants(graph.initializer, folder)
    entry = _only_input(graph, constants, opsets)
    input_type, notes = _fixed(entry, input_shape)
    if not graph.output:
        raise ModelError("the model has no output")
    narrowed = sum(constant.stored == "float64" for constant in constants.values())
    if narrowed:
        notes.append(f"Weights that stood as float64 became float32: {narrowed}.")
    halves = sum(constant.stored in ("float16", "bfloat16") for constant in constants.values())
    if halves:
        notes.append(f"Weights that stood as float16 became float32: {halves}.")
    return Source(
        nodes=nodes_of(graph, opsets),
        constants=constants,
        opsets=opsets,
        input=entry.name,
        input_type=input_type,
        outputs=tuple(output.name for output in graph.output),
        notes=tuple(notes),
    )


def parse(content: bytes) -> Any:
    """The ``ModelProto``.

    Raises:
        ModelError: if the bytes are none.
    """
    with needs("onnx", for_="reading an ONNX model", extra="onnx"):
        import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.ModelProto.FromString(content)
    except (DecodeError, RuntimeError, MemoryError) as exc:
        raise ModelError(f"this is not an ONNX model, or it is damaged: {exc}. Export it again") from exc
    if not model.HasField("graph") or not model.graph.node:
        raise ModelError("this is not an ONNX model: it holds no graph with nodes. Export it again")
    return model


def nodes_of(graph: Any, opsets: Mapping[str, int]) -> tuple[Node, ...]:
    """The nodes of a ``GraphProto``, each with the opset of its domain."""
    return tuple(Node(proto, opsets.get(_domain(proto.domain), 0)) for proto in graph.node)


def _with_functions_inlined(model: Any) -> Any:
    """Functions that the model defines itself are put in where they are called."""
    if not model.functions:
        return model
    from onnx import inliner

    try:
        return inliner.inline_local_functions(model)
    except (RuntimeError, ValueError, TypeError) as exc:
        raise ModelError(f"the functions that the model defines cannot be put in: {exc}. Export it without") from exc


def _domain(domain: str) -> str:
    return "" if domain in STANDARD else domain


def _check_opset(opsets: Mapping[str, int]) -> None:
    import onnx

    newest = onnx.defs.onnx_opset_version()
    opset = opsets.get("", 0)
    if not OLDEST_OPSET <= opset <= newest:
        way = (
            "Install a newer onnx" if opset > newest else "Bring it up with onnx.version_converter, or export it again"
        )
        raise ModelError(f"the model is of opset {opset}; this version reads {OLDEST_OPSET} to {newest}. {way}")


def _only_input(graph: Any, constants: Mapping[str, Constant], opsets: Mapping[str, int]) -> Any:
    """The input that is no constant; where there are several, whatever else stands in the way is told with it."""
    entries = [entry for entry in graph.input if entry.name not in constants]
    if len(entries) != 1:
        names = ", ".join(repr(entry.name) for entry in entries) or "none"
        problems = [
            f"it has {len(entries)} inputs ({names}); models of one input are converted. "
            "Export it with the others fixed as constants",
            *(f"{node}: {why}" for node in nodes_of(graph, opsets) if (why := _never(node, constants)) is not None),
        ]
        raise ModelError(told(problems))
    return entries[0]


def _never(node: Node, constants: Mapping[str, Constant]) -> str | None:
    """Why a node cannot be converted, whatever its input is; None if that is not known yet."""
    if not node.standard:
        return OUTSIDE
    if node.operator == "If" and not all(name in constants for name in node.inputs):
        return BRANCH
    return LOOP if node.operator in CONTROL_FLOW and node.operator != "If" else None


def told(problems: Sequence[str]) -> str:
    """What stands in the way, the first ten problems."""
    count = len(problems)
    more = "" if count <= _TOLD else f"\n  and {count - _TOLD} more"
    listed = "".join(f"\n  {problem}" for problem in problems[:_TOLD])
    return f"the model cannot be converted, {count} problem{'s' if count > 1 else ''}:{listed}{more}"


def _fixed(entry: Any, input_shape: tuple[int, ...] | None) -> tuple[Any, list[str]]:
    """The input's type with all axes fixed, and what was fixed, in words."""
    import onnx

    where = f"input {entry.name!r}"
    if entry.type.WhichOneof("value") != "tensor_type":
        raise ModelError(
            f"{where} is a {entry.type.WhichOneof('value') or 'thing of no type'}; a float tensor is allowed"
        )
    tensor = entry.type.tensor_type
    try:
        dtype = numpy_dtype(tensor.elem_type)
    except ModelError as exc:
        raise ModelError(f"{where}: {exc}") from exc
    if not dtype.startswith(("float", "bfloat")):
        raise ModelError(f"{where} is {dtype}; a float model takes float32. Export it with a float32 input")
    stated = tuple(
        int(axis.dim_value) if axis.HasField("dim_value") and axis.dim_value > 0 else axis.dim_param or "?"
        for axis in tensor.shape.dim
    )
    shape = _agreed(where, stated, input_shape)
    notes = []
    if isinstance(stated[0] if stated else 1, str) and input_shape is None:
        notes.append(f"The dynamic batch of input {entry.name!r} was fixed to 1.")
    elif shape != stated:
        notes.append(f"Input {entry.name!r} was fixed to {_dims(shape)}; the file says {_dims(stated)}.")
    return onnx.helper.make_tensor_type_proto(tensor.elem_type, shape), notes


def _agreed(where: str, stated: tuple[int | str, ...], given: tuple[int, ...] | None) -> tuple[int, ...]:
    if given is not None:
        fits = not stated or len(given) == len(stated)
        fits = fits and all(
            n > 0 and s in (n, *([] if isinstance(s, int) else [s])) for n, s in zip(given, stated, strict=False)
        )
        if not fits or not given:
            raise ModelError(
                f"{where} is {_dims(stated)}, which --input-shape {_dims(given)} does not fit: give every axis in the order of the "
                "file, and those that it states as they are"
            )
        if isinstance(stated[0] if stated else "", str) and given[0] != 1:
            raise ModelError(f"--input-shape {_dims(given)}: the first number is the batch, which is 1")
        check_size(given)
        return given
    rest = [n for n in stated[1:] if isinstance(n, int)]
    if not stated or len(rest) < len(stated) - 1:
        likely: tuple[str, ...] = (
            ("1", "224", "224", "3") if stated[-1:] in ((1,), (3,), (4,)) else ("1", "3", "224", "224")
        )
        likely = likely if len(stated) == 4 else ("1", *["100"] * len(stated))
        example = ",".join(str(n) if isinstance(n, int) else likely[i] for i, n in enumerate(stated))
        raise ModelError(
            f"{where} has the dynamic shape {_dims(stated)}; int8 models need fixed shapes. "
            f"Give one in the order of the file, such as --input-shape {example or '1,3,224,224'}"
        )
    shape = (stated[0] if isinstance(stated[0], int) else 1, *rest)
    check_size(shape)
    return shape


def _dims(shape: Iterable[int | str]) -> str:
    return ",".join(str(n) for n in shape) or "unknown"
