"""Messages and numbers on the line: what is written is read again exactly, by others too, and what is hostile is refused."""

from __future__ import annotations

import contextlib
import json
import struct
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge_sdk.errors import RemoteError
from edge_sdk.remote.numbers import from_bytes, from_numbers, to_bytes
from edge_sdk.remote.protobuf import as_integers, fields, message, number, numbers, text
from edge_sdk.remote.v2 import DATATYPES, V2Codec
from edge_sdk.tensors import Array, TensorSpec

DTYPES = st.sampled_from(sorted(DATATYPES))
ARRAYS = DTYPES.flatmap(lambda dtype: arrays.arrays(dtype, arrays.array_shapes(max_dims=4, max_side=5)))


def spec_of(array: Array, name: str = "t") -> TensorSpec:
    return TensorSpec(name, array.shape, array.dtype.name)


def same(one: Array, other: Array) -> bool:
    """Bit for bit, but for which NaN it is."""
    is_nan = one.dtype.kind == "f"
    return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=is_nan) and (
        not is_nan or np.array_equal(np.signbit(one) & ~np.isnan(one), np.signbit(other) & ~np.isnan(other))
    )  # fmt: skip


@given(ARRAYS)
def test_bytes_come_back_as_they_were(array: Array) -> None:
    back = from_bytes(to_bytes(array), spec_of(array))
    assert back.tobytes() == array.tobytes() and back.dtype == array.dtype and back.flags.owndata | back.flags.writeable
    assert to_bytes(array.T).tobytes() == array.T.tobytes()  # of whatever lies otherwise in memory


@given(ARRAYS)
@example(np.array([[0, 1 << 63]], np.uint64))
def test_numbers_in_json_come_back_as_they_were(array: Array) -> None:
    for given_ in (array.tolist(), array.ravel().tolist()):
        assert same(from_numbers(json.loads(json.dumps(given_)), spec_of(array)), array)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
)


@given(JSON)
def test_whatever_json_is_an_error_or_the_tensor(found: Any) -> None:
    spec = TensorSpec("t", (2,), "int8")
    with contextlib.suppress(RemoteError):
        assert from_numbers(found, spec).shape == (2,)


@given(ARRAYS, ARRAYS, st.booleans())
def test_an_answer_of_v2_is_read_as_it_was_written(first: Array, second: Array, binary: bool) -> None:
    if not binary and np.float16 in (first.dtype, second.dtype):
        return
    specs = spec_of(first, "a"), spec_of(second, "b")
    codec = V2Codec(specs, specs, ("a", "b"), ("a", "b"), binary=binary)
    parts = codec.request([first, second])
    asked = json.loads(bytes(parts[0]))
    answer = json.dumps({"outputs": asked["inputs"]}).encode()
    body = bytearray(answer + b"".join(bytes(part) for part in parts[1:]))
    back = codec.outputs(body, len(answer) if binary else None)
    assert same(back[0], first) and same(back[1], second)


@given(st.binary(max_size=60), st.none() | st.integers(-5, 80))
def test_whatever_body_is_an_error(body: bytes, json_bytes: int | None) -> None:
    spec = (TensorSpec("t", (2,), "int8"),)
    with pytest.raises(RemoteError):
        V2Codec(spec, spec, ("t",), ("t",), binary=True).outputs(bytearray(body), json_bytes)


@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1), max_size=60))
def test_integers_come_back_as_they_were(values: list[int]) -> None:
    written = numbers(3, values)
    found = [as_integers(value).tolist() for field, value in fields(written) if field == 3]
    assert found == [values]


@given(st.binary(max_size=80))
def test_whatever_message_is_an_error_or_read(content: bytes) -> None:
    try:
        for _, value in fields(content):
            as_integers(value)
    except RemoteError:
        pass


@pytest.mark.parametrize(
    "content",
    [
        b"\x80",
        b"\xff" * 11,
        b"\x08",
        b"\x08" + b"\xff" * 10 + b"\x01",
        b"\x0a\x05abcd",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x0d\x00\x00",
        b"\x09" + bytes(7),
        b"\x0b\x0c",
        b"\x00\x01",
        b"\x07",
    ],
)
def test_a_damaged_message_is_refused(content: bytes) -> None:
    with pytest.raises(RemoteError, match="no message of this protocol"):
        list(fields(content))


def test_a_message_of_countless_fields_is_given_up_soon() -> None:
    began = time.monotonic()
    with pytest.raises(RemoteError, match="more than 20000 fields"):
        list(fields(b"\x08\x01" * (10 << 20)))
    assert time.monotonic() - began < 2


def test_countless_numbers_are_read_at_once() -> None:
    values = np.random.default_rng(0).integers(-(1 << 31), 1 << 31, 300_000)
    written = numbers(1, values.tolist())
    began = time.monotonic()
    ((_, value),) = fields(written)
    assert np.array_equal(as_integers(value), values)
    assert time.monotonic() - began < 1


def test_protobuf_reads_what_is_written_and_writes_what_is_read() -> None:
    pytest.importorskip("google.protobuf", reason="missing: pip install protobuf")
    from tests.inference_messages import tf, v2

    written = text(1, "m\u00e9") + numbers(3, [1, -1, 1 << 40]) + text(2, "INT8")
    read = v2.TensorMetadata.FromString(written)
    assert (read.name, read.datatype, list(read.shape)) == ("m\u00e9", "INT8", [1, -1, 1 << 40])
    assert {field for field, _ in fields(read.SerializeToString())} == {1, 2, 3}
    spec = tf.ModelSpec.FromString(b"".join([text(1, "m"), *message(2, number(1, -7))]))
    assert spec.version.value == -7
    tensor = tf.TensorProto(float_val=[1.5, 2.5], int_val=[-1, 300], half_val=[0x3C00])
    assert {field: bytes(v) for field, v in fields(tensor.SerializeToString())}[5] == struct.pack("<2f", 1.5, 2.5)


def test_an_answer_like_the_last_one_is_read_as_carefully() -> None:
    spec = (TensorSpec("t", (2,), "int8"),)
    codec = V2Codec(spec, spec, ("t",), ("t",), binary=True)
    said = {"name": "t", "datatype": "INT8", "shape": [2], "parameters": {"binary_data_size": 2}}
    head = json.dumps({"outputs": [said]}).encode()
    for content in (b"\1\2", b"\3\4"):
        assert codec.outputs(bytearray(head + content), len(head))[0].tobytes() == content
    for content in (b"", b"\1", b"\1\2\3"):
        with pytest.raises(RemoteError, match=r"ends beyond it|belong to no output"):
            codec.outputs(bytearray(head + content), len(head))
    assert codec.outputs(bytearray(head + b"\5\6"), len(head))[0].tobytes() == b"\5\6"
