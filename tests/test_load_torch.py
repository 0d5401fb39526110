"""PyTorch: an exported program is read without running what came with it; everything else wants trust, and says what that means."""

from __future__ import annotations

import json
import pickle
import random
import shutil
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

from converters.load import load
from converters.load.exported_program import what_it_runs
from converters.load.loaded import FloatModel, LoadOptions
from converters.load.pickled import what_is_pickled
from edge_sdk.errors import MissingPackageError, ModelError
from tests.test_load_keras import ends

TUPLE = '[1, {"type": "builtins.tuple", "context": "null", "children_spec": []}]'


def graph(target: str = "torch.ops.aten.relu.default", **more: Any) -> dict[str, Any]:
    node = {
        "target": target,
        "inputs": [{"name": "self", "arg": {"as_tensor": {"name": "x"}}}],
        "metadata": {"target": "os.x"},
    }
    symbol = {"as_expr": {"expr_str": "Mul(Integer(2), Symbol('s77', positive=True, integer=True))"}}
    sizes = {"x": {"sizes": [symbol, {"as_int": 3}]}}
    made = {"graph_module": {"graph": {"nodes": [node], "tensor_values": sizes}, "in_spec": TUPLE}, "guards_code": []}
    return made | more


def program(
    path: Path, model: object, weights: object = {"w": {"path_name": "weight_0", "use_pickle": False}}, **members: bytes
) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("model/models/model.json", json.dumps(model))
        made.writestr("model/data/weights/model_weights_config.json", json.dumps({"config": weights}))
        made.writestr("model/data/constants/model_constants_config.json", json.dumps({"config": {}}))
        for name, content in members.items():
            made.writestr(f"model/data/{name.replace('__', '/')}", content)
    return path


def test_a_plain_program_runs_nothing(tmp_path: Path) -> None:
    assert what_it_runs(program(tmp_path / "m.pt2", graph())) is None
    for target in (
        "_operator.getitem",
        "torch.sym_max",
        "math.floor",
        "torch.ops.higher_order.wrap_with_set_grad_enabled",
    ):
        assert what_it_runs(program(tmp_path / "m.pt2", graph(target))) is None
    guarded = graph(guards_code=["L['x'].size()[0] >= 2 and L['x'].size()[0] % 2 == 0"])
    assert what_it_runs(program(tmp_path / "m.pt2", guarded)) is None


PICKLED = {"w": {"path_name": "weight_0", "use_pickle": True}}
EVIL_SHAPE = {"sizes": [{"as_expr": {"expr_str": "__import__('os').system('id')"}}]}
EVIL_TREE = TUPLE.replace("builtins.tuple", "collections.defaultdict")


@pytest.mark.parametrize(
    ("model", "weights", "members", "why"),
    [
        (graph(), PICKLED, {}, "w is stored as a pickle"),
        (graph("torch.os.system"), {}, {}, r"it calls torch\.os\.system, which is no operator on tensors"),
        (graph("torch.ops.aten.from_file.default"), {}, {}, "from_file"),
        (graph("torch.ops.mine.op.default"), {}, {}, r"torch\.ops\.mine"),
        (graph("torch.load"), {}, {}, r"torch\.load"),
        (graph("_operator.attrgetter"), {}, {}, "attrgetter"),
        (graph(more=EVIL_SHAPE), {}, {}, "is the Python expression \"__import__"),
        (graph(more={"expr_str": "Symbol('x y')"}), {}, {}, "Python expression"),
        (graph(more={"expr_str": "exec(2)"}), {}, {}, "Python expression"),
        (graph(more={"expr_str": "s0.free_symbols"}), {}, {}, "Python expression"),
        (graph(guards_code=["__import__('os')"]), {}, {}, "a guard in it is the Python expression"),
        (graph(guards_code=["L['x'].size(L)"]), {}, {}, "a guard in it"),
        (graph(in_spec=EVIL_TREE), {}, {}, r"it builds a collections\.defaultdict for its inputs"),
        (graph(more={"as_operator": "torch.os.system"}), {}, {}, r"torch\.os\.system"),
        (graph(), {}, {"constants__custom_obj_0": b""}, "a pickled object"),
        (graph(), {}, {"aotinductor__model.so": b""}, "machine code"),
    ],
)  # fmt: skip
def test_a_program_that_would_run_code_is_refused(
    tmp_path: Path, model: object, weights: object, members: dict[str, bytes], why: str
) -> None:
    path = program(tmp_path / "m.pt2", model, weights, **members)
    with pytest.raises(
        ModelError, match=rf"reading it may run code that came with it: .*{why}.*give --trust"
    ) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_programs_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "m.pt2"
    whole = program(path, graph()).read_bytes()
    for content in (b"", b"no archive", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ModelError, match="it is no whole exported program"):
            load(path)
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("x/data.pkl", b"")
    with pytest.raises(ModelError, match="no exported program in it"):
        load(path)
    program(path, graph())
    with zipfile.ZipFile(path, "a") as made:
        made.writestr("model/MODELS/model.json", json.dumps(graph("torch.os.system")))
    with pytest.raises(ModelError, match="a member stands in it twice"):
        load(path)
    deep = json.loads('{"a":' * 300 + "1" + "}" * 300)
    with pytest.raises(ModelError, match="nested more than 100 deep"):
        load(program(path, deep))


def test_damaged_programs_are_clean_errors(tmp_path: Path) -> None:
    path, rng = tmp_path / "m.pt2", random.Random(5)
    whole = program(path, graph("torch.os.system")).read_bytes()
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged)
        with pytest.raises(ModelError):
            load(path)


class Evil:
    """A pickle that leaves a file behind where it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def torch_file(path: Path, found: object, names: str = "x/data.pkl") -> Path:
    with zipfile.ZipFile(path, "w") as made:
        made.writestr(names, pickle.dumps(found, protocol=2))
    return path


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_a_pickle_is_never_read_without_trust(tmp_path: Path, suffix: str) -> None:
    mark = tmp_path / "mark"
    path = torch_file(tmp_path / f"m{suffix}", {"layer": Evil(mark)})
    with pytest.raises(ModelError, match=r"a pickled module \(.*\), and reading it runs whatever it contains.*--trust"):
        load(path)
    path.write_bytes(pickle.dumps(1) * 3 + pickle.dumps(Evil(mark), protocol=2))  # the form before PyTorch 1.6
    with pytest.raises(ModelError, match="a pickled module"):
        load(path)
    assert not mark.exists()


def test_weights_alone_are_no_model(tmp_path: Path) -> None:
    path = torch_file(tmp_path / "m.pt", OrderedDict(a=1.5, b=[2]))
    with pytest.raises(ModelError, match=r"only weights \(a state_dict\).*model\.py:function"):
        load(path)
    with pytest.raises(ModelError, match="only weights"):
        load(path, LoadOptions(trust=True))


def test_torchscript_and_files_of_nothing(tmp_path: Path) -> None:
    path = torch_file(tmp_path / "m.pt", (), "x/constants.pkl")
    with pytest.raises(ModelError, match=r"it is TorchScript code.*torch\.export\.save"):
        load(path)
    path.write_bytes(b"GIF89a")
    with pytest.raises(ModelError, match=r"no whole file of torch\.save"):
        load(path)
    with pytest.raises(ModelError, match=r"without data\.pkl"):
        load(torch_file(path, (), "x/y"))


def test_a_python_file_wants_trust(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text("raise SystemExit")
    for given in (path, Path(f"{path}:build")):
        with pytest.raises(ModelError, match=r"net\.py is a Python file, and reading it runs it: give --trust"):
            load(given)
    with pytest.raises(ModelError, match="'2x' is not the name of a function"):
        load(f"{path}:2x", LoadOptions(trust=True))


def test_a_missing_framework_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = tmp_path / "absent"
    absent.mkdir()
    (absent / "torch.py").write_text("raise ModuleNotFoundError('No module named torch', name='torch')")
    monkeypatch.setenv("PYTHONPATH", str(absent))
    with pytest.raises(MissingPackageError, match=r"needs torch, .*pip install 'edge-device-sdk\[torch\]'"):
        load(program(tmp_path / "m.pt2", graph()))


def right(found: FloatModel) -> bool:
    return found.check.difference < 1e-5 and found.check.framework.startswith("PyTorch 2.")


@pytest.mark.slow
def test_exported_programs_become_nhwc(torch_models: Path) -> None:
    found = load(torch_models / "digits.pt2")
    assert ends(found) == {"input": (1, 12, 12, 1), "output": (1, 10)}
    assert right(found)
    assert found.format == "PyTorch exported program"
    assert "litert-torch" in found.route
    found = load(torch_models / "free_batch.pt2")
    assert ends(found) == {"image": (1, 16, 16, 3), "mask": (1, 8, 8, 2), "kind": (1, 5)}
    assert right(found)
    assert "Output 'mask' became NHWC: the channels stand last." in found.notes


@pytest.mark.slow
def test_an_export_in_training_mode_is_refused(torch_models: Path) -> None:
    with pytest.raises(ModelError, match=r"exported in training mode .*call model\.eval\(\) before"):
        load(torch_models / "training.pt2")


@pytest.mark.slow
def test_a_python_file_with_trust(torch_models: Path, tmp_path: Path) -> None:
    path, trust = tmp_path / "nets.py", LoadOptions(trust=True)
    shutil.copy(Path(__file__).with_name("torch_models.py"), path)
    found = load(f"{path}:digits", trust)
    assert ends(found) == {"input": (1, 12, 12, 1), "output": (1, 10)}
    assert right(found)
    with pytest.raises(ModelError, match=r"by --input-shape 1,3,224,224 \(batch, channels, height, width\)"):
        load(path, trust)
    with pytest.raises(ModelError, match=r"it has no function 'nothing'; it has model, digits, no_module"):
        load(f"{path}:nothing", trust)
    with pytest.raises(ModelError, match=r"gives a str; a torch\.nn\.Module"):
        load(f"{path}:no_module", trust)


@pytest.mark.slow
def test_pickled_modules_and_torchscript_with_trust(torch_models: Path) -> None:
    assert right(load(torch_models / "pickled.pt", LoadOptions(trust=True, input_shape=(1, 1, 8, 10))))
    found = load(torch_models / "script.pt", LoadOptions(trust=True, input_shape=(1, 1, 12, 12)))
    assert found.format == "TorchScript"
    assert right(found)


@pytest.mark.slow
def test_what_pytorch_writes_is_told_apart(torch_models: Path) -> None:
    found = {name: what_is_pickled(torch_models / name)[0] for name in ("weights.pth", "old_weights.pth", "script.pt")}
    assert found == {"weights.pth": "weights", "old_weights.pth": "weights", "script.pt": "torchscript"}
    assert what_is_pickled(torch_models / "pickled.pt") == ("module", "torch.nn.modules.container.Sequential")


@pytest.mark.slow
def test_pytorch_itself_may_not_fall_back_to_pickle(torch_models: Path) -> None:
    """The example inputs of a program are unpickled, with weights_only or without."""
    mark = torch_models / "mark"
    with pytest.raises(ModelError, match=r"holds a pickle beside the program .* give --trust"):
        load(torch_models / "evil.pt2")
    assert not mark.exists()
    load(torch_models / "evil.pt2", LoadOptions(trust=True))
    assert mark.exists()  # the attack is real: trust lets it through


@pytest.mark.slow
def test_where_litert_torch_fails_the_other_way_is_taken_and_said(torch_models: Path, tmp_path: Path) -> None:
    pytest.importorskip("converters.load.onnx", reason="the ONNX importer is not there")
    path = tmp_path / "nets.py"
    path.write_text((Path(__file__).with_name("torch_models.py")).read_text() + _BROKEN)
    found = load(f"{path}:digits", LoadOptions(trust=True))
    assert right(found)
    assert found.route.startswith("ONNX")
    assert "Translated by ONNX, because by litert-torch: RuntimeError: broken" in " ".join(found.notes)


_BROKEN = """
import litert_torch
def broken(*args, **kwargs):
    raise RuntimeError("broken")
litert_torch.convert = broken
"""
