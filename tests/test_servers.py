"""Exports run on real servers, and our clients get from them what the variant computes; faults end in errors, soon."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
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
from tests.serving.servers import Server, mlserver, python_of, tensorflow_serving, torchserve, triton
from tests.serving.tls_relay import tls_relay
from tests.supervised import eventually

onnxruntime = pytest.importorskip("onnxruntime", reason="extra onnx is not installed")
from converters.targets.onnx import export_onnx  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # an environment may have to be made first

SERVERS = {
    "mlserver": (mlserver, "kserve", ("v2-rest", "v2-grpc")),
    "triton": (triton, "kserve", ("v2-rest", "v2-grpc")),
    "torchserve": (torchserve, "torchserve", ("torchserve",)),
    "tensorflow": (tensorflow_serving, "tfserving", ("tfserving-rest", "tfserving-grpc")),
}
RUN_ONNX = ("mlserver", "torchserve")


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

    @property
    def port(self) -> int:
        return int((self.server.grpc_url if self.protocol.endswith("grpc") else self.server.url).rpartition(":")[2])

    def client(self, subject: Subject, **more: object) -> Client:
        return open_client(self.settings(**more), subject.variant.inputs, subject.variant.outputs)


@dataclass(frozen=True)
class Ways:
    """A server, and all the ways to speak to it."""

    name: str
    server: Server
    all: tuple[Way, ...]

    @property
    def tolerance(self) -> float:
        """Steps; TensorFlow computes the int8 model with float32."""
        return 2.0 if self.name == "tensorflow" else 0.0


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module", params=list(SERVERS))
def ways(
    request: pytest.FixtureRequest, bundle: Path, keys: Keys, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ways]:
    start, to, protocols = SERVERS[request.param]
    models = tmp_path_factory.mktemp("models")
    exported(bundle, to, models, "face")
    if request.param in RUN_ONNX:
        exported(bundle, to, models, "face-onnx", "onnx")
    with start(models, tmp_path_factory.mktemp(request.param), keys) as running:
        yield Ways(request.param, running, tuple(Way(running, protocol) for protocol in protocols))


def assert_equal(client: Client, subject: Subject, tolerance: float) -> None:
    for inputs, expected in zip(subject.golden, subject.expected, strict=True):
        found = client.infer(inputs)
        for spec, output, wanted in zip(subject.variant.outputs, found, expected, strict=True):
            assert output.dtype == spec.dtype
            assert difference(spec, output, wanted) <= tolerance, client.description


def test_the_golden_vectors_come_back(ways: Ways, bundle: Path) -> None:
    subject = subject_of(bundle)
    for way in ways.all:
        with way.client(subject) as client:
            client.check()
            assert_equal(client, subject, ways.tolerance)


def test_a_variant_for_onnx_runtime_is_served_too(ways: Ways, bundle: Path) -> None:
    if ways.name not in RUN_ONNX:
        pytest.skip("Triton's package has no backend for ONNX, and TensorFlow Serving takes none")
    subject = subject_of(bundle, "onnx")
    for way in ways.all:
        with way.client(subject, model="face-onnx") as client:
            client.check()
            assert_equal(client, subject, subject.variant.golden_tolerance)


def test_a_larger_batch_is_refused_and_the_next_request_answered(ways: Ways, bundle: Path) -> None:
    subject = subject_of(bundle)
    (entry,) = subject.variant.inputs
    wide = replace(entry, shape=(2, *entry.shape[1:]))
    for way in ways.all:
        with open_client(way.settings(), (wide,), subject.variant.outputs) as client, pytest.raises(RemoteError):
            client.infer([np.zeros(wide.shape, wide.dtype)])
        with way.client(subject) as client:
            assert len(client.infer(subject.golden[0])) == 2


def test_a_model_that_is_missing_is_named(ways: Ways, bundle: Path) -> None:
    for way in ways.all:
        with (
            way.client(subject_of(bundle), model="nobody") as client,
            pytest.raises(RemoteError, match=r"nobody|404|not found|unknown|NOT_FOUND"),
        ):
            client.check()


def test_over_tls_with_the_right_authority_only(ways: Ways, bundle: Path, keys: Keys, tmp_path: Path) -> None:
    """Behind a relay where the server has no TLS of its own."""
    subject, strange = subject_of(bundle), make_keys(tmp_path).authority
    for way in ways.all:
        with tls_relay(way.port, keys) as relayed:
            url = way.settings().url
            if "s://" not in url:
                url = f"{'grpcs' if way.protocol.endswith('grpc') else 'https'}://localhost:{relayed}"
            with way.client(subject, url=url, ca_file=keys.authority) as client:
                assert_equal(client, subject, ways.tolerance)
            with (
                way.client(subject, url=url, ca_file=strange) as client,
                pytest.raises(RemoteError, match=r"(?i)certificate|ssl|tls|unavailable"),
            ):
                client.infer(subject.golden[0])


def test_without_the_token_there_is_no_answer(ways: Ways, bundle: Path, tmp_path: Path) -> None:
    if ways.name != "torchserve":
        pytest.skip("it has no tokens of its own: what stands before it checks them")
    subject = subject_of(bundle)
    (tmp_path / "token").write_text("an-old-token")
    for token in (None, tmp_path / "token"):
        with ways.all[0].client(subject, token_file=token) as client, pytest.raises(RemoteError) as caught:
            client.infer(subject.golden[0])
        assert "an-old-token" not in str(caught.value)


READ_CONFIG = """
import sys
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2
config = text_format.Parse(sys.stdin.read(), model_config_pb2.ModelConfig())
print(config.name, config.backend, [list(each.dims) for each in config.input], [each.name for each in config.output])
"""


def test_triton_s_own_messages_read_the_configuration_of_onnx(bundle: Path, tmp_path: Path) -> None:
    """Its backend for ONNX cannot be had here."""
    exported(bundle, "kserve", tmp_path, "face-onnx", "onnx")
    config = (tmp_path / "face-onnx/config.pbtxt").read_text()
    command = [python_of("triton"), "-c", READ_CONFIG]
    done = subprocess.run(command, input=config, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        "face-onnx",
        "onnxruntime",
        "[[1,",
        "3,",
        "128,",
        "128]]",
        "['regressors',",
        "'classificators']",
    ]
    assert (tmp_path / "face-onnx/1/model.onnx").is_file() and not (tmp_path / "face-onnx/1/model.py").exists()


def test_zz_a_server_that_is_killed_in_the_middle_is_an_error_at_once(ways: Ways, bundle: Path) -> None:
    """The last one, as the server is gone then."""
    subject = subject_of(bundle)
    clients = [way.client(subject, timeout_ms=60_000) for way in ways.all]
    for client in clients:
        client.infer(subject.golden[0])
    ways.server.freeze()
    failures: list[RemoteError] = []

    def ask(client: Client) -> None:
        try:
            client.infer(subject.golden[0])
        except RemoteError as exc:
            failures.append(exc)

    threads = [threading.Thread(target=ask, args=[client]) for client in clients]
    for thread, way in zip(threads, ways.all, strict=True):
        thread.start()
        eventually(partial(ways.server.has_waiting, way.port))
    ways.server.kill()
    killed = time.monotonic()
    for thread in threads:
        thread.join(30)
    assert len(failures) == len(clients) and time.monotonic() - killed < 10
    for client in clients:
        client.close()
    for way in ways.all:
        with way.client(subject) as client, pytest.raises(RemoteError):
            client.infer(subject.golden[0])
