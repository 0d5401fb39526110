"""What ``edge-sdk export`` writes, what it refuses, and how the files that it writes take bad requests."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from converters.targets import served
from converters.targets.export import served as in_process
from converters.targets.export.folder import replacing_folder, write_files
from converters.targets.export.subject import read_subject
from converters.targets.kserve.config import triton_config
from converters.targets.served.edge_variant import DATATYPES, RequestError, Variant
from converters.targets.tfserving.warm_up import warm_up_requests
from edge_sdk.bundle import Bundle
from edge_sdk.bundle.golden import golden_outputs
from edge_sdk.bundle.write import stored_files, write_bundle
from edge_sdk.cli import group
from edge_sdk.errors import BundleError, ConfigError, EdgeSdkError, MissingPackageError, ModelError, OutputError
from edge_sdk.tensors import TensorSpec
from tests.small_bundles import null_bundle
from tests.streaming_model import sum_model

SERVED = Path(served.__file__).parent
KINDS = ("tflite-", "onnx-")
HAS_TENSORFLOW = importlib.util.find_spec("tensorflow") is not None
needs_tensorflow = (
    pytest.mark.slow,
    pytest.mark.skipif(not HAS_TENSORFLOW, reason="extra keras is not installed"),
)


def export(*words: object) -> Result:
    return CliRunner().invoke(group, ["export", *map(str, words)])


def rewritten(bundle: Path, path: Path, **variant_changes: Any) -> Path:
    """The bundle with another first variant; entries in ``files`` replace those of the same names."""
    files = variant_changes.pop("files", {})
    with Bundle(bundle) as opened:
        manifest = opened.manifest
        entries = {name: opened.read(name) for name in manifest.files} | files
    first = manifest.variants[0].model_copy(update=variant_changes)
    changed = {"variants": (first, *manifest.variants[1:]), "files": stored_files(entries)}
    write_bundle(path, manifest.model_copy(update=changed), entries)
    return path


def wrong_golden(bundle: Path, path: Path) -> Path:
    """The bundle, whose golden vectors are of another model."""
    with Bundle(bundle) as opened:
        variant = opened.variant()
        count = len(opened.arrays(opened.manifest.golden_inputs))
    wrong = [[np.full(spec.shape, 100, spec.dtype) for spec in variant.outputs] for _ in range(count)]
    return rewritten(bundle, path, files={variant.golden: golden_outputs(wrong)})


def test_the_line_that_starts_a_server_can_be_copied_however_long_it_is(face_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    done = export(face_bundle, "--to", "kserve", "-o", folder, "--name", "face")
    assert f"mlserver start {folder / 'face'}   # its Python needs" in done.output


def test_an_archive_for_torchserve_is_whole_and_the_same_each_time(face_bundle: Path, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        done = export(
            face_bundle, "--to", "torchserve", "-o", tmp_path / folder, "--name", "face", "--model-version", 3
        )
        assert done.exit_code == 0, done.output
    assert "worst difference 0 steps" in done.output
    first, second = ((tmp_path / folder / "face.mar").read_bytes() for folder in ("one", "two"))
    assert first == second
    with zipfile.ZipFile(tmp_path / "one/face.mar") as archive:
        manifest = json.loads(archive.read("MAR-INF/MANIFEST.json"))
        contract = json.loads(archive.read("contract.json"))
        labels = archive.read("labels.txt").decode().splitlines()
    assert manifest["model"] == {"modelName": "face", "modelVersion": "3.0", "handler": "edge_handler.py"}
    with Bundle(face_bundle) as bundle:
        assert contract["contract"] == bundle.manifest.contract.model_dump(mode="json")
        assert [each["name"] for each in contract["outputs"]] == [spec.name for spec in bundle.variant().outputs]
        assert tuple(labels) == bundle.labels()


def test_a_repository_for_kserve_has_what_triton_and_mlserver_read(face_bundle: Path, tmp_path: Path) -> None:
    done = export(face_bundle, "--to", "kserve", "-o", tmp_path / "models", "--name", "face", "--json")
    told = json.loads(done.output)
    assert told["agreement"] == {"inputs": 2, "worst": 0.0, "tolerance": 28.0, "unit": "steps"}
    model = tmp_path / "models/face"
    assert {str(path.relative_to(model)) for path in model.rglob("*") if path.is_file()} == {
        "config.pbtxt", "model-settings.json", "edge_mlserver.py", "requirements.txt", "contract.json", "labels.txt",
        "1/model.py", "1/model.tflite", "1/variant.json", "1/edge_variant.py",
    }  # fmt: skip
    assert json.loads((model / "model-settings.json").read_text())["inputs"] == [
        {"name": "input", "datatype": "INT8", "shape": [1, 128, 128, 3]}
    ]
    assert "dims: [1, 128, 128, 3] }" in (model / "config.pbtxt").read_text()


def test_what_is_allowed_of_steps_is_not_allowed_of_float_outputs(face_bundle: Path) -> None:
    with Bundle(face_bundle) as bundle:
        subject = read_subject(bundle, None, name="face", version=1, kinds=KINDS)
    stored, real = TensorSpec("stored", (1, 2), "int8", 0.1, 0), TensorSpec("real", (1, 2), "float32")
    outputs = np.array([[3, 9]], np.int8), np.array([[1, 2]], np.float32)
    variant = subject.variant.model_copy(update={"outputs": (stored, real), "golden_tolerance": 0.0})
    subject = replace(subject, variant=variant, golden=((),), expected=(outputs,))

    def agreement(step: int, factor: float) -> str:
        return str(subject.agreement([(outputs[0] + np.int8(step), outputs[1] * factor)], steps=2, relative=1e-3))

    assert agreement(1, 1) == "1 golden inputs, worst difference 1 steps, 2 allowed"
    assert agreement(0, 1.0005) == "1 golden inputs, worst difference 0.0005 relative, 0.001 allowed"
    wide = replace(subject, variant=variant.model_copy(update={"outputs": (replace(stored, dtype="int16"), real)}))
    far = outputs[0].astype(np.int16) + np.int16(60)
    assert "60 steps, 65.5 allowed" in str(wide.agreement([(far, outputs[1])], steps=2, relative=1e-3))
    for step, factor in ((3, 1), (0, 1.1)):
        with pytest.raises(ModelError, match="does not compute"):
            agreement(step, np.float32(factor))


def test_an_export_that_never_ends_is_an_error(
    face_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_process, "_REPLAY_S", 0.05)  # no Python starts so fast
    for server in ("kserve", "torchserve"):
        done = export(face_bundle, "--to", server, "-o", tmp_path / server, "--name", "face")
        assert isinstance(done.exception, ModelError) and "after 0.05 s" in str(done.exception)
        assert not (tmp_path / server / "face").exists()


def test_datatypes_are_those_of_the_client() -> None:
    from edge_sdk.remote.v2 import DATATYPES as OF_CLIENT

    assert dict(OF_CLIENT) == DATATYPES


def test_what_exists_stays_unless_told_otherwise(face_bundle: Path, tmp_path: Path) -> None:
    words = (face_bundle, "--to", "kserve", "-o", tmp_path, "--name", "face")
    assert export(*words).exit_code == 0
    (tmp_path / "face/mine.txt").write_text("mine")
    refused = export(*words)
    assert refused.exit_code == 1 and isinstance(refused.exception, OutputError)
    assert (tmp_path / "face/mine.txt").exists()
    assert export(*words, "--overwrite").exit_code == 0
    assert not (tmp_path / "face/mine.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["face"]


@pytest.mark.parametrize("server", ["kserve", "tfserving"])
def test_a_folder_that_is_no_export_is_never_replaced(server: str, face_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/contract.json").write_text('{"made_by": "me"}')
    refused = export(face_bundle, "--to", server, "-o", tmp_path, "--name", "photos", "--overwrite")
    assert isinstance(refused.exception, OutputError) and "not an export" in str(refused.exception)
    assert (tmp_path / "photos/contract.json").exists()


def test_a_failure_in_the_middle_leaves_all_as_it_was(tmp_path: Path) -> None:
    place = tmp_path / "models/net"
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), replacing_folder(place, overwrite=True) as beside:
            write_files(beside, {"contract.json": b'{"made_by": "edge-sdk 2"}'})
            raise ZeroDivisionError
        assert not (tmp_path / "models").exists() or [p.name for p in (tmp_path / "models").iterdir()] == ["net"]
        with replacing_folder(place, overwrite=True) as beside:
            write_files(beside, {"contract.json": b'{"made_by": "edge-sdk 1"}'})
    assert (place / "contract.json").read_bytes() == b'{"made_by": "edge-sdk 1"}'
    assert [path.name for path in place.parent.iterdir()] == ["net"]


@pytest.mark.parametrize("server", ["kserve", "torchserve", pytest.param("tfserving", marks=needs_tensorflow)])
def test_what_differs_from_the_variant_is_an_error_and_nothing_is_written(
    server: str, face_bundle: Path, tmp_path: Path
) -> None:
    wrong = wrong_golden(face_bundle, tmp_path / "wrong.edge")
    refused = export(wrong, "--to", server, "-o", tmp_path / "models")
    assert isinstance(refused.exception, ModelError) and "nothing was written" in str(refused.exception)
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"golden": None}, BundleError, "no golden vectors"),
        ({"kind": "edgetpu"}, ConfigError, "cannot run"),
        ({"inputs": ()}, BundleError, "0 inputs"),
    ],
)
def test_variants_that_cannot_be_served_are_refused(
    changes: dict[str, Any], error: type[EdgeSdkError], words: str, face_bundle: Path, tmp_path: Path
) -> None:
    bundle = rewritten(face_bundle, tmp_path / "changed.edge", **changes)
    refused = export(bundle, "--to", "torchserve", "-o", tmp_path / "store")
    assert isinstance(refused.exception, error) and words in str(refused.exception)
    assert not (tmp_path / "store").exists()


def test_a_model_that_remembers_is_refused(face_bundle: Path, tmp_path: Path) -> None:
    with Bundle(face_bundle) as bundle:
        file = bundle.variant().file
    remembers = rewritten(face_bundle, tmp_path / "sum.edge", files={file: sum_model()})
    refused = export(remembers, "--to", "kserve", "-o", tmp_path / "models")
    assert isinstance(refused.exception, ModelError) and "VAR_HANDLE" in str(refused.exception)


@pytest.mark.skipif(HAS_TENSORFLOW, reason="TensorFlow is installed here")
def test_without_tensorflow_it_says_what_to_install(face_bundle: Path, tmp_path: Path) -> None:
    refused = export(face_bundle, "--to", "tfserving", "-o", tmp_path / "models")
    assert isinstance(refused.exception, MissingPackageError) and "edge-device-sdk[keras]" in str(refused.exception)
    assert not (tmp_path / "models").exists()


def test_names_that_no_server_takes_are_refused(face_bundle: Path, tmp_path: Path) -> None:
    for name in ("../up", "a b", ".hidden", "", "x" * 101):
        refused = export(face_bundle, "--to", "kserve", "-o", tmp_path / "models", "--name", name)
        assert isinstance(refused.exception, ConfigError), name
        assert not (tmp_path / "models").exists()


def test_a_bundle_without_a_variant_for_servers_is_refused(tmp_path: Path) -> None:
    refused = export(null_bundle(tmp_path / "null.edge"), "--to", "tfserving", "-o", tmp_path)
    assert isinstance(refused.exception, ConfigError) and "null" in str(refused.exception)


@pytest.fixture(scope="module")
def folder(face_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive for TorchServe, unpacked."""
    made = tmp_path_factory.mktemp("served")
    assert export(face_bundle, "--to", "torchserve", "-o", made, "--name", "face").exit_code == 0
    with zipfile.ZipFile(made / "face.mar") as archive:
        archive.extractall(made / "face")
    return made / "face"


def test_a_model_that_changed_on_its_way_is_not_run(folder: Path, tmp_path: Path) -> None:
    for name in ("variant.json", "model.tflite"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    Variant(tmp_path)
    with (tmp_path / "model.tflite").open("r+b") as file:
        file.seek(1000)
        file.write(b"!")
    with pytest.raises(RuntimeError, match="SHA-256"):
        Variant(tmp_path)


def test_inputs_of_another_form_are_refused(folder: Path) -> None:
    variant = Variant(folder)
    good = np.zeros((1, 128, 128, 3), np.int8)
    for given in (
        {},
        {"other": good},
        {"input": good, "more": good},
        {"input": good[0]},
        {"input": good.astype(np.uint8)},
    ):
        with pytest.raises(RequestError):
            variant.run(given)
    assert [array.shape for array in variant.run({"input": good}).values()] == [(1, 896, 16), (1, 896, 1)]


ASK = """
import json, sys, random
sys.path[0] = sys.argv[1]
import numpy as np
from edge_handler import handle
from edge_v2 import join, split, write_tensors

class Context:
    model_name, system_properties = "m", {"model_dir": sys.argv[1]}
    def __init__(self): self.status, self.kinds = {}, {}
    def set_response_status(self, code, phrase, idx): self.status[idx] = code
    def set_response_content_type(self, place, value): self.kinds[place] = value

handle(None, Context())
x = np.zeros((1, 128, 128, 3), np.int8)
tensors, raws = write_tensors({"input": x}, binary=True)
whole = join({"inputs": tensors}, raws)
as_json = {"inputs": write_tensors({"input": x}, binary=False)[0]}
one = lambda **more: {"inputs": [{**as_json["inputs"][0], **more}]}
bad = [b"", b"x", whole[:-1], whole + b"1", whole[:3], b"\\xff" * 64, whole[4:], join({}, []), join({"inputs": None}, []),
       join({"inputs": [{"name": "input"}]}, []), {}, {"inputs": [1]}, [], one(shape=[2, 128, 128, 3]), one(datatype="FP32"),
       one(datatype="STRING"), one(shape=[-1]), one(shape=[1 << 40]), one(data=[300] * x.size), one(data=[0.5] * x.size),
       one(data=[None]), one(name="other"), {**as_json, "outputs": [{"name": "nobody"}]}, {**as_json, "outputs": [3]}, None]
seeded = random.Random(5)
for _ in range(300):
    broken = bytearray(whole[:200])
    for _ in range(seeded.randrange(1, 6)):
        broken[seeded.randrange(len(broken))] = seeded.randrange(256)
    bad.append(bytes(broken) + whole[200:seeded.randrange(200, len(whole) - 1)])
context = Context()
answers = handle([{"body": body} for body in bad], context)
print(json.dumps([[context.status.get(n), "error" in json.loads(answer)] for n, answer in enumerate(answers)]))
context = Context()
answers = handle([{"body": whole}, {"body": b"bad"}, {"data": as_json}, {"body": whole}], context)
print(json.dumps([context.status, len(split(answers[0])[1]), len(json.loads(answers[2])["outputs"]), answers[3] == answers[0],
                  "torch" in sys.modules, "edge_sdk" in sys.modules]))
"""


def test_the_handler_answers_bad_requests_one_by_one(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(folder)], capture_output=True, text=True, check=False, cwd=folder, timeout=120
    )
    assert done.returncode == 0, done.stderr
    bad, good = map(json.loads, done.stdout.splitlines())
    assert bad == [[400, True]] * len(bad)
    assert good == [{"1": 400}, 896 * 17, 2, True, False, False]


def test_the_warm_up_file_is_as_tensorflow_writes_it() -> None:
    """The same bytes as of its ``TFRecordWriter`` and the official messages, taken once."""
    made = warm_up_requests("face", "serving_default", [{"x": np.arange(6, dtype=np.int8).reshape(1, 2, 3)}])
    assert hashlib.sha256(made).hexdigest() == "594a0554029d95e62a7a5f9d5dad6d7af146bfe30179cae672824581501cabc2"


def test_triton_is_told_of_onnx_by_its_own_backend(face_bundle: Path, tmp_path: Path) -> None:
    with Bundle(face_bundle) as bundle:
        subject = read_subject(bundle, None, name="a", version=7, kinds=KINDS)
    config = triton_config(replace(subject, runtime="onnxruntime"))
    assert 'backend: "onnxruntime"' in config and "versions: [7]" in config and "max_batch_size: 0" in config
