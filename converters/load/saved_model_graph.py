"""What a SavedModel's saved_model.pb tells before anything of it is loaded: its signatures, and every operator in it.

The file is a protocol buffer (TensorFlow's ``saved_model.proto``, ``meta_graph.proto``, ``graph.proto``). Only the fields that are
asked for are read, without TensorFlow; field numbers stand beside their names below.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from edge_sdk.errors import ModelError

_DTYPES = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    6: "int8",
    7: "string",
    9: "int64",
    10: "bool",
    19: "float16",
}
_MAX_NODES = 2_000_000
Message = dict[int, list[int | bytes]]
Named = TypeVar("Named")


@dataclass(frozen=True)
class Port:
    """An input or output of a signature: a free axis is None, ``shape`` None if the rank is unknown."""

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None
    tensor: str

    def __str__(self) -> str:
        shape = "?" if self.shape is None else ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name}: {self.dtype} ({shape})"


@dataclass(frozen=True)
class SignatureOfGraph:
    """One way to call the model."""

    key: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def __str__(self) -> str:
        return f"{self.key} ({'; '.join(map(str, self.inputs))} -> {'; '.join(map(str, self.outputs))})"


@dataclass(frozen=True)
class Node:
    """One operator: what it is, what it takes, and the functions that it calls."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    functions: tuple[str, ...]


@dataclass(frozen=True)
class SavedGraph:
    """A graph of a SavedModel.

    Attributes:
        written_by: the version of TensorFlow.
        tags: of the graph, such as ``serve``.
        version_1: it was saved by TensorFlow 1, without objects.
        nodes: of the graph itself, by name.
        functions: the nodes of each function.
        entries: nodes and functions that loading or a signature may run; what only saving runs is not among them.
    """

    written_by: str
    tags: tuple[str, ...]
    version_1: bool
    signatures: tuple[SignatureOfGraph, ...]
    nodes: dict[str, Node] = field(repr=False)
    functions: dict[str, tuple[Node, ...]] = field(repr=False)
    entries: tuple[str, ...] = field(repr=False)

    def operators(self) -> Iterator[tuple[str, str]]:
        """(operator, where it stands) of everything in the file."""
        for node in self.nodes.values():
            yield node.operator, node.name
        for function, nodes in self.functions.items():
            yield from ((node.operator, f"{function}/{node.name}") for node in nodes)

    def reached(self) -> Iterator[tuple[str, str]]:
        """(operator, where it stands) of what loading or a signature may run."""
        seen: set[str] = set()
        waiting = list(self.entries)
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            for node, where in self._at(name):
                yield node.operator, where
                waiting += [node.operator, *node.functions]
                waiting += [_node_of(source) for source in node.inputs] if where == node.name else []

    def _at(self, name: str) -> Iterator[tuple[Node, str]]:
        if name in self.nodes:
            yield self.nodes[name], name
        yield from ((node, f"{name}/{node.name}") for node in self.functions.get(name, ()))


def read_saved_model(content: bytes) -> tuple[SavedGraph, ...]:
    """Read a saved_model.pb; most have one graph, those of TensorFlow 1 may have more, told apart by their tags.

    Raises:
        ModelError: if it is no whole SavedModel.
    """
    try:
        graphs = _messages(_fields(content), 2)  # SavedModel.meta_graphs
        if not graphs:
            raise ModelError("saved_model.pb has no graph in it; save the model again")
        return tuple(_graph(_fields(graph)) for graph in graphs)
    except (ValueError, IndexError, UnicodeDecodeError, OverflowError) as exc:
        raise ModelError(f"saved_model.pb is damaged or cut off: {exc}. Get the folder again") from exc


def _graph(meta: Message) -> SavedGraph:
    info = _only(meta, 1)  # MetaGraphDef.meta_info_def: tags = 4, tensorflow_version = 5
    graph = _only(meta, 2)  # graph_def: node = 1, library = 2
    library = _messages(_only(graph, 2), 1)  # FunctionDefLibrary.function
    functions = _by_name([_function(_fields(each)) for each in library])
    nodes = _by_name([(node.name, node) for node in map(_node, _messages(graph, 1))])
    if len(nodes) + sum(map(len, functions.values())) > _MAX_NODES:
        raise ModelError(f"saved_model.pb has more than {_MAX_NODES:,} operators")
    pairs = (
        _entry(each) for each in _messages(meta, 5)
    )  # signature_def: map of SignatureDef {inputs = 1, outputs = 2}
    signatures = tuple(_signature(key, value) for key, value in sorted(dict(pairs).items()))
    return SavedGraph(
        written_by=_text(info, 5),
        tags=tuple(tag.decode("utf-8") for tag in _messages(info, 4)),
        version_1=not any(_messages(meta, 7)),  # object_graph_def
        signatures=signatures,
        nodes=nodes,
        functions=functions,
        entries=tuple(_entries(meta, signatures)),
    )


def _by_name(pairs: list[tuple[str, Named]]) -> dict[str, Named]:
    """A table, if every name is there once: what stands behind a second one must not hide."""
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name stands in it twice")
    return table


def _entries(meta: Message, signatures: Iterable[SignatureOfGraph]) -> Iterator[str]:
    for signature in signatures:
        yield from (_node_of(port.tensor) for port in (*signature.inputs, *signature.outputs))
    yield _node_of(_text(_only(meta, 3), 3))  # saver_def.restore_op_name
    for collection in _messages(meta, 4):  # collection_def: a TF1 model's initialisation stands in one of them
        _, value = _entry(collection)
        names = _messages(_only(value, 1), 1)  # CollectionDef.node_list
        yield from (_node_of(name.decode("utf-8")) for name in names)
    for concrete in _messages(_only(meta, 7), 2):  # object_graph_def.concrete_functions
        yield _entry(concrete)[0]


def _function(function: Message) -> tuple[str, tuple[Node, ...]]:
    signature = _only(function, 1)  # FunctionDef.signature: OpDef {name = 1}; node_def = 3
    return _text(signature, 1), tuple(map(_node, _messages(function, 3)))


def _node(content: bytes) -> Node:
    node = _fields(content)  # NodeDef: name = 1, op = 2, input = 3, attr = 5
    functions = [name for each in _messages(node, 5) for name in _functions_of(_entry(each)[1])]
    inputs = tuple(name.decode("utf-8") for name in _messages(node, 3))
    return Node(_text(node, 1), _text(node, 2), inputs, tuple(functions))


def _functions_of(value: Message) -> Iterator[str]:
    for function in _messages(value, 10):  # AttrValue.func: NameAttrList {name = 1}
        yield _text(_fields(function), 1)
    for values in _messages(value, 1):  # AttrValue.list: func = 9
        yield from (_text(_fields(function), 1) for function in _messages(_fields(values), 9))


def _signature(key: str, signature: Message) -> SignatureOfGraph:
    inputs, outputs = (
        tuple(sorted(map(_port, _messages(signature, number)), key=lambda p: p.name)) for number in (1, 2)
    )
    return SignatureOfGraph(key, inputs, outputs)


def _port(content: bytes) -> Port:
    name, info = _entry(content)
    # TensorInfo: name = 1, dtype = 2, tensor_shape = 3 {dim = 2 {size = 1}, unknown_rank = 3}
    shape = _only(info, 3)
    dims = tuple(None if size < 0 else size for size in (_number(_fields(dim), 1) for dim in _messages(shape, 2)))
    dtype = _number(info, 2)
    unknown = not info.get(3) or _number(shape, 3)
    return Port(name, _DTYPES.get(dtype, f"type {dtype}"), None if unknown else dims, _text(info, 1))


def _node_of(tensor: str) -> str:
    """``^node`` and ``node:0`` are of the node ``node``."""
    return tensor.removeprefix("^").partition(":")[0]


def _entry(content: bytes) -> tuple[str, Message]:
    """Key and value of an entry of a map of messages."""
    entry = _fields(content)
    return _text(entry, 1), _only(entry, 2)


def _text(message: Message, number: int) -> str:
    """A text that stands at most once; the last one counts where there are more."""
    found = _messages(message, number)
    return found[-1].decode("utf-8") if found else ""


def _only(message: Message, number: int) -> Message:
    """A message that stands at most once; where there are more they are merged, as protocol buffers are: one after the other."""
    return _fields(b"".join(_messages(message, number)))


def _messages(message: Message, number: int) -> list[bytes]:
    return [value for value in message.get(number, ()) if isinstance(value, bytes)]


def _number(message: Message, number: int) -> int:
    found = [value for value in message.get(number, ()) if isinstance(value, int)]
    value = found[-1] if found else 0
    return value - (1 << 64) if value >> 63 else value


def _fields(content: bytes) -> Message:
    """A message's fields by number: numbers as int, what has a length as bytes, fixed-width fields left out."""
    fields: Message = {}
    place, end = 0, len(content)
    while place < end:
        tag, place = _varint(content, place)
        wire, number = tag & 7, tag >> 3
        value: int | bytes
        if wire == 0:
            value, place = _varint(content, place)
        elif wire == 2:
            length, place = _varint(content, place)
            value, place = content[place : place + length], place + length
        elif wire in (1, 5):
            place += 8 if wire == 1 else 4
            continue
        else:
            raise ValueError(f"a field of kind {wire}")
        if place > end:
            raise ValueError("a field is longer than the file")
        fields.setdefault(number, []).append(value)
    return fields


def _varint(content: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value & (1 << 64) - 1, place
        if shift > 63:
            raise ValueError("a number is longer than 64 bits")
