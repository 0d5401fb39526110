"""Exports run on real servers, and our clients get from them what the variant computes; faults end in errors, soon."""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from converters.load import load
from converters.targets.export.subject import Subject, read_subject
from edge_sdk.bundle import Bundle
from edge_sdk.bundle.golden import difference, golden_outputs
from edge_sdk.bundle.manifest import Variant
from edge_sdk.bundle.write import stored_files, write_bundle
from edge_sdk.cli import group
from edge_sdk.encoder import Encoder
from edge_sdk.errors import RemoteError
from edge_sdk.remote.client import Client
from edge_sdk.remote.clients import open_client
from edge_sdk.remote.settings import ServerSettings
from edge_sdk.tensors import TensorSpec
from tests.serving.keys import Keys, make_keys
from tests.serving.servers import Server, mlserver, tensorflow_serving, torchserve, triton
from tests.serving.tls_relay import tls_relay
from tests.supervised import eventually

onnxruntime = pytest.importorskip("onnxruntime", reason="extra onnx is not installed")
from converters.targets.onnx import export_onnx  # noqa: E402

pytestmark = pytest.mark.slow

SERVERS = {
    "mlserver": (mlserver, "kserve", ("v2-rest", "v2-grpc")),
    "triton": (triton, "kserve", ("v2-rest", "v2-grpc")),
    "torchserve": (torchserve, "torchserve", ("torchserve",)),
    "tensorflow": (tensorflow_serving, "tfserving", ("tfserving-rest", "tfserving-grpc")),
}
CLIENTS = {"v2-grpc": "edge_sdk.remote.v2_grpc", "tfserving-grpc": "edge_sdk.remote.tfserving_grpc"}
WAYS = [(server, protocol) for server, (_, _, protocols) in SERVERS.items() for protocol in protocols]


@pytest.fixture(scope="module")
def bundle(face_bundle: Path, face_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The face detector, with a variant for ONNX Runtime beside the int8 one."""
    path = tmp_path_factory.mktemp("bundle") / "face.edge"
    with Bundle(face_bundle) as whole:
        add_onnx(whole, face_model, path)
    return path


def add_onnx(bundle: Bundle, float_model: Path, path: Path) -> None:
    """Write the bundle with a variant more, that ONNX Runtime has given its golden vectors."""
    content = load(float_model).content
    model = export_onnx(content).model.SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    sides = [
        tuple(TensorSpec(each.name, tuple(each.shape), "float32") for each in side)
        for side in (session.get_inputs(), session.get_outputs())
    ]
    entry = replace(sides[0][0], layout="nchw")
    encoder, golden = Encoder(bundle.manifest.contract, entry), []
    for sample in bundle.arrays(bundle.manifest.golden_inputs).values():
        tensor = np.zeros(entry.shape, np.float32)
        encoder.encode(sample, tensor)
        golden.append(session.run(None, {entry.name: tensor}))
    variant = Variant(
        id="onnx",
        kind="onnx-float32",
        file="face.onnx",
        inputs=(entry,),
        outputs=sides[1],
        golden="onnx.npz",
        golden_tolerance=1e-4,
    )
    files = {name: bundle.read(name) for name in bundle.manifest.files}
    files |= {"face.onnx": model, "onnx.npz": golden_outputs(golden)}
    more = {"variants": (*bundle.manifest.variants, variant), "schema_version": 5, "files": stored_files(files)}
    write_bundle(path, bundle.manifest.model_copy(update=more), files)


def exported(bundle: Path, to: str, folder: Path, name: str, variant: str | None = None) -> None:
    words = ["export", str(bundle), "--to", to, "-o", str(folder), "--name", name]
    done = CliRunner().invoke(group, words + (["--variant", variant] if variant else []), catch_exceptions=False)
    assert done.exit_code == 0, done.output


def subject_of(bundle: Path, variant: str | None = None) -> Subject:
    with Bundle(bundle) as opened:
        return read_subject(opened, variant, name="m", version=1, kinds=("tflite-", "onnx-"))


@dataclass(frozen=True)
class Way:
    """A server, and how it is spoken to."""

    server: Server
    protocol: str

    def settings(self, **more: object) -> ServerSettings:
        url = self.server.grpc_url if self.protocol.endswith("grpc") else self.server.url
        tls = {"ca_file": self.server.keys.authority} if "s://" in url and self.server.keys else {}
        whole = {"url": url, "protocol": self.protocol, "model": "face", "timeout_ms": 20_000, "connect_ms": 5_000}
        return ServerSettings.model_validate({**whole, **tls, "token_file": self.server.token_file, **more})

    def client(self, subject: Subject, **more: object) -> Client:
        return open_client(self.settings(**more), subject.variant.inputs, subject.variant.outputs)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest, bundle: Path, keys: Keys, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    start, to, _ = SERVERS[request.param]
    models = tmp_path_factory.mktemp("models")
    exported(bundle, to, models, "face")
    if request.param in ("mlserver", "torchserve"):  # what runs ONNX in Triton's package is not there
        exported(bundle, to, models, "face-onnx", "onnx")
    with start(models, tmp_path_factory.mktemp(request.param), keys) as running:
        yield running


@pytest.fixture
def way(request: pytest.FixtureRequest, server: Server) -> Way:
    module = CLIENTS.get(request.param)
    if module and importlib.util.find_spec(module) is None:
        pytest.skip(f"there is no {module}")
    return Way(server, request.param)


each_way = pytest.mark.parametrize(
    ("server", "way"), WAYS, indirect=True, scope="module", ids=[f"{s}-{p}" for s, p in WAYS]
)
runs_onnx = pytest.mark.parametrize(
    ("server", "way"), [("mlserver", "v2-rest"), ("torchserve", "torchserve")], indirect=True, scope="module"
)


def assert_equal(client: Client, subject: Subject, tolerance: float) -> None:
    for inputs, expected in zip(subject.golden, subject.expected, strict=True):
        found = client.infer(inputs)
        for spec, output, wanted in zip(subject.variant.outputs, found, expected, strict=True):
            assert output.dtype == spec.dtype
            assert difference(spec, output, wanted) <= tolerance


@each_way
def test_the_golden_vectors_come_back(way: Way, bundle: Path) -> None:
    subject = subject_of(bundle)
    with_state = way.client(subject)
    with_state.check()
    assert_equal(with_state, subject, 2.0 if way.protocol.startswith("tfserving") else 0.0)
    with_state.close()


@runs_onnx
def test_a_variant_for_onnx_runtime_is_served_too(way: Way, bundle: Path) -> None:
    subject = subject_of(bundle, "onnx")
    client = way.client(subject, model="face-onnx")
    client.check()
    assert_equal(client, subject, subject.variant.golden_tolerance)
    client.close()


@each_way
def test_a_larger_batch_is_refused_and_the_next_request_answered(way: Way, bundle: Path) -> None:
    subject = subject_of(bundle)
    (entry,) = subject.variant.inputs
    wide = replace(entry, shape=(2, *entry.shape[1:]))
    client = open_client(way.settings(), (wide,), subject.variant.outputs)
    with pytest.raises(RemoteError):
        client.infer([np.zeros(wide.shape, wide.dtype)])
    client.close()
    client = way.client(subject)
    assert len(client.infer(subject.golden[0])) == 2
    client.close()


@each_way
def test_a_model_that_is_missing_is_named(way: Way, bundle: Path) -> None:
    client = way.client(subject_of(bundle), model="nobody")
    with pytest.raises(RemoteError, match=r"nobody|404|not found|unknown|NOT_FOUND"):
        client.check()
    client.close()


@each_way
def test_over_tls_with_the_right_authority_only(way: Way, bundle: Path, keys: Keys, tmp_path: Path) -> None:
    """Behind a relay where the server has no TLS of its own."""
    subject = subject_of(bundle)
    port = int((way.server.grpc_url if way.protocol.endswith("grpc") else way.server.url).rpartition(":")[2])
    with tls_relay(port, keys) as relayed:
        own = "s://" in way.settings().url
        scheme = "grpcs" if way.protocol.endswith("grpc") else "https"
        url = way.settings().url if own else f"{scheme}://localhost:{relayed}"
        client = way.client(subject, url=url, ca_file=keys.authority)
        assert_equal(client, subject, 2.0)
        client.close()
        strange = way.client(subject, url=url, ca_file=make_keys(tmp_path).authority)
        with pytest.raises(RemoteError, match=r"(?i)certificate|ssl|tls|unavailable"):
            strange.infer(subject.golden[0])
        strange.close()


@pytest.mark.parametrize(("server", "way"), [("torchserve", "torchserve")], indirect=True, scope="module")
def test_torchserve_wants_the_token(way: Way, bundle: Path, tmp_path: Path) -> None:
    subject = subject_of(bundle)
    (tmp_path / "token").write_text("an-old-token")
    for token in (None, tmp_path / "token"):
        client = way.client(subject, token_file=token)
        with pytest.raises(RemoteError) as caught:
            client.infer(subject.golden[0])
        assert "an-old-token" not in str(caught.value)
        client.close()


@each_way
def test_zz_a_server_that_is_killed_in_the_middle_is_an_error_at_once(way: Way, bundle: Path) -> None:
    subject = subject_of(bundle)
    if way.server.process.poll() is None:
        client = way.client(subject, timeout_ms=60_000)
        client.infer(subject.golden[0])
        way.server.freeze()
        failures: list[BaseException] = []

        def ask() -> None:
            try:
                client.infer(subject.golden[0])
            except RemoteError as exc:
                failures.append(exc)

        port, thread = int(client.settings.url.rpartition(":")[2]), threading.Thread(target=ask)
        thread.start()
        eventually(lambda: way.server.has_waiting(port))
        way.server.kill()
        killed = time.monotonic()
        thread.join(30)
        assert failures and time.monotonic() - killed < 10
        client.close()
    gone = way.client(subject)
    with pytest.raises(RemoteError):
        gone.infer(subject.golden[0])
    gone.close()
