"""The engine ``remote``: what the contract test of all engines does not say. Real sockets, both isolations."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edge_sdk
from edge_sdk.bundle.read import Bundle
from edge_sdk.engines import load_engine
from edge_sdk.engines.isolation import Isolation, open_engine
from edge_sdk.errors import ConfigError, EngineError, EngineHangError
from edge_sdk.remote.content import content_for, read_tensors, tensors_content
from edge_sdk.tensors import TensorSpec
from tests.inference_faults import FAULTS, late, stall
from tests.inference_servers import RestServer
from tests.processes import descendants, open_descriptors
from tests.remote_models import INPUTS, OUTPUTS, assert_right, rows, sample
from tests.small_bundles import INPUT, OUTPUT, Numbers, null_bundle

CONTENT = tensors_content(INPUTS, OUTPUTS)


@pytest.fixture
def server() -> Iterator[RestServer]:
    with RestServer(rows, INPUTS, OUTPUTS) as server:
        yield server


@pytest.fixture(params=["process", "none"])
def isolation(request: pytest.FixtureRequest) -> Isolation:
    return request.param  # type: ignore[no-any-return]


def options(url: str, **more: str) -> dict[str, str]:
    return {"url": url, "protocol": "v2-rest", "model": "m", **more}


def test_it_runs_a_variant_by_its_tensors(server: RestServer, isolation: Isolation) -> None:
    with open_engine("remote", CONTENT, options(server.url), isolation=isolation) as engine:
        engine.expect(INPUTS, OUTPUTS)
        assert server.url in engine.description
        for seed in range(3):
            for array, given_ in zip(engine.input_arrays, sample(seed), strict=True):
                array[...] = given_
            assert_right(engine.run(), sample(seed))


@pytest.mark.parametrize("protocol", ["v2-grpc", "tfserving-grpc"])
def test_it_speaks_grpc_in_the_child(protocol: str, isolation: Isolation) -> None:
    pytest.importorskip("grpc", reason="missing: pip install 'edge-device-sdk[remote]'")
    from tests.inference_grpc import GrpcServer

    with GrpcServer(rows, INPUTS, OUTPUTS) as server:
        settings = options(server.url, protocol=protocol, timeout_ms="5000")
        with open_engine("remote", CONTENT, settings, isolation=isolation) as engine:
            for _ in range(2):
                for array, given_ in zip(engine.input_arrays, sample(), strict=True):
                    array[...] = given_
                assert_right(engine.run(), sample())
                if isolation == "process":
                    engine.restart()


def test_it_is_as_the_interpreter_is(face_server: RestServer, face_model: Path) -> None:
    content = face_model.read_bytes()
    image = np.random.default_rng(0).uniform(-1, 1, (1, 128, 128, 3)).astype(np.float32)
    outputs = []
    for name, settings in (("litert", {}), ("remote", options(face_server.url, timeout_ms="20000"))):
        with open_engine(name, content, settings, isolation="none") as engine:
            engine.input_arrays[0][...] = image
            outputs.append([output.copy() for output in engine.run()])
            specs = engine.inputs, engine.outputs
        engine.expect(*specs)
    assert all(np.array_equal(a, b) for a, b in zip(*outputs, strict=True))


def test_a_fault_fails_one_run_and_the_next_asks_anew(server: RestServer, isolation: Isolation) -> None:
    with open_engine("remote", CONTENT, options(server.url, timeout_ms="300"), isolation=isolation) as engine:
        for name in FAULTS:
            server.script = FAULTS[name]
            with pytest.raises(EngineError, match="v2-rest http"):
                engine.run()
            server.script = None
            engine.run()


def test_the_hang_budget_holds_where_the_time_limit_is_longer(server: RestServer) -> None:
    with open_engine("remote", CONTENT, options(server.url, timeout_ms="60000"), hang_ms=300) as engine:
        server.script = stall
        began = time.monotonic()
        with pytest.raises(EngineHangError):
            engine.run()
        assert time.monotonic() - began < 2
        server.script = None
        engine.restart()
        engine.run()


def test_a_server_that_is_not_there_or_has_another_model_is_said_at_the_start(
    server: RestServer, isolation: Isolation
) -> None:
    for settings, said in (
        (options("http://127.0.0.1:1"), "nothing listens there"),
        (options(server.url, model="other"), "model other is not ready: .*404 Not Found"),
    ):
        with pytest.raises(EngineError, match=said):
            open_engine("remote", CONTENT, settings, isolation=isolation)
    other = tensors_content(INPUTS[1:], OUTPUTS)
    with pytest.raises(EngineError, match="other inputs"):
        open_engine("remote", other, options(server.url), isolation=isolation)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"protocol": "v2-rest", "model": "m"}, "(?s)engine remote: url: is missing.*--engine-option url="),
        ({"url": "http://h", "protocol": "v3", "model": "m"}, "engine remote: protocol: "),
        ({"url": "http://h", "protocol": "v2-rest", "model": "m", "timeout_ms": "1 s"}, "timeout_ms"),
        ({"url": "http://u:s3cr3t@h", "protocol": "v2-rest", "model": "m"}, "no user, password"),
        ({"url": "http://h", "token": "s3cr3t"}, "no option token; it has url, protocol, model"),
    ],
)
def test_options_are_refused_by_name(settings: dict[str, str], said: str, isolation: Isolation) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        open_engine("remote", CONTENT, settings, isolation=isolation)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"{}", b'{"inputs": [], "outputs": []}', b"{" * 9000, CONTENT[:-1], b"\0\0\0\0TFL3" + bytes(99)]
)  # fmt: skip
def test_what_states_no_tensors_is_refused(content: bytes, tmp_path: Path, server: RestServer) -> None:
    (tmp_path / "model").write_bytes(content)
    with pytest.raises(EngineError, match="tensors"):
        load_engine("remote", str(tmp_path / "model"), options(server.url))
    assert not server.requests


def test_tensors_no_engine_can_have_are_refused() -> None:
    for spec in (TensorSpec("x", (0,), "int8"), TensorSpec("x", (1,), "string"), TensorSpec("x", (1 << 40,), "int8")):
        with pytest.raises(EngineError, match="tensor 'x' has"):
            read_tensors(tensors_content((spec,), OUTPUTS))


SPECS = st.builds(
    TensorSpec,
    st.text(max_size=20),
    st.lists(st.integers(1, 20), min_size=4, max_size=4).map(tuple),
    st.sampled_from(["int8", "uint8", "int16", "int32"]),
    st.floats(0, 1e6).map(np.float32).map(float),
    st.integers(-128, 127),
    st.sampled_from(["nhwc", "nchw"]),
)


@given(st.lists(SPECS, min_size=1, max_size=3).map(tuple), st.lists(SPECS, min_size=1, max_size=3).map(tuple))
def test_tensors_come_back_as_they_were(inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
    assert read_tensors(tensors_content(inputs, outputs)) == (inputs, outputs)


def test_the_variant_is_the_model_of_every_other_engine(tmp_path: Path) -> None:
    with Bundle(null_bundle(tmp_path / "null.edge")) as bundle:
        variant = bundle.variant()
        assert content_for("null", bundle, variant) == b"nothing"
        assert read_tensors(content_for("remote", bundle, variant)) == ((INPUT,), (OUTPUT,))


def test_a_loop_runs_on_a_server(tmp_path: Path, isolation: Isolation) -> None:
    with (
        RestServer(lambda inputs: [inputs[0] + np.int8(1)], (INPUT,), (OUTPUT,)) as server,
        edge_sdk.Loop(
            null_bundle(tmp_path / "null.edge"),
            source=Numbers(10),
            deadline_ms=1_000,
            hang_ms=5_000,
            engine="remote",
            engine_options=options(server.url),
            isolation=isolation,
        ) as loop,
    ):
        results = list(loop)
    assert results and all(np.array_equal(result.value["output"], np.ones((1, 4))) for result in results)


def test_nothing_is_left_after_close(server: RestServer) -> None:
    before = open_descriptors(), descendants()
    for _ in range(3):
        with open_engine("remote", CONTENT, options(server.url)) as engine:
            engine.run()
            engine.restart()
            engine.run()
    server.drop_connections()
    assert (open_descriptors(), descendants()) == before


def test_warming_starts_no_thread_and_loads_no_grpc() -> None:
    code = """
import sys, threading
from edge_sdk.engines import warm_engine
warm_engine("remote")
assert threading.active_count() == 1 and "edge_sdk.remote.http" in sys.modules and "grpc" not in sys.modules
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_a_late_answer_is_not_taken_for_the_next_one(server: RestServer) -> None:
    with open_engine("remote", CONTENT, options(server.url, timeout_ms="200"), isolation="none") as engine:
        server.script = late(0.3)
        with pytest.raises(EngineError, match="no answer within 200 ms"):
            engine.run()
        server.script = None
        for array, given_ in zip(engine.input_arrays, sample(7), strict=True):
            array[...] = given_
        assert_right(engine.run(), sample(7))
