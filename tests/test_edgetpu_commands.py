"""``edge-sdk edgetpu compile`` and ``add``: from an int8 model to a variant in the bundle, and what does not belong there is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from converters import convert
from converters.targets.edgetpu.add import check, in_order
from edge_sdk.bundle import Bundle
from edge_sdk.cli import group
from edge_sdk.edgetpu.package import read_compiled
from edge_sdk.errors import BundleError, ModelError
from tests import edgetpu_compile
from tests.edgetpu_compile import compile_model, segments
from tests.edgetpu_stand_in import compiling_stand_in, stand_in
from tests.tiny_models import image_net

CONTRACT = {"input": "image", "colour": "rgb", "range": (0, 1), "resize": "stretch"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with an int8 variant."""
    folder = tmp_path_factory.mktemp("made")
    noise = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
    np.save(folder / "noise.npy", noise)
    (folder / "net.tflite").write_bytes(image_net())
    data = f"{folder}/noise.npy?colour=rgb"
    return convert(folder / "net.tflite", output=folder / "net.edge", calibrate=data, contract=CONTRACT).bundle


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    path = tmp_path / "net.edge"
    path.write_bytes(made.read_bytes())
    return path


@pytest.fixture
def model(made: Path, tmp_path: Path) -> Path:
    path = tmp_path / "net_int8.tflite"
    with Bundle(made) as opened:
        path.write_bytes(opened.model_of(opened.variant()))
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(group, ["edgetpu", *map(str, arguments)])


def test_a_bundle_is_compiled_and_packed(tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiling_stand_in(tmp_path, monkeypatch)
    done = run("compile", bundle, "-o", tmp_path)
    assert done.exit_code == 0, done.output
    assert "As planned." in done.output
    compiled = tmp_path / "net_edgetpu.tflite"
    assert f"edge-sdk edgetpu add {bundle} {compiled} --overwrite" in done.output
    done = run("add", bundle, compiled, "--overwrite")
    assert done.exit_code == 0, done.output
    assert "added edgetpu, compiled of tflite-int8" in done.output
    assert "caching token  0000123456789abc" in done.output
    with Bundle(bundle) as opened:
        int8, variant = opened.manifest.variants
        assert (variant.id, variant.kind, variant.operators) == (
            "edgetpu",
            "edgetpu",
            {"edgetpu-custom-op": 1},
        )
        assert opened.model_of(variant) == compiled.read_bytes()
        same = ("inputs", "outputs", "golden", "golden_tolerance", "heads", "contract", "task", "plan")
        assert {key: getattr(variant, key) for key in same} == {key: getattr(int8, key) for key in same}
        assert opened.variant(kinds=("edgetpu", "tflite-int8")) == variant
        assert opened.plan_of(int8) == opened.plan_of(variant) is not None  # made now: the bundle had none


def test_a_model_compiled_again_takes_the_place_of_the_first(bundle: Path, model: Path, tmp_path: Path) -> None:
    for mapped, word in ((3, "added"), (2, "replaced")):
        (tmp_path / "x.tflite").write_bytes(compile_model(model.read_bytes(), mapped))
        assert f"{word} edgetpu" in run("add", bundle, tmp_path / "x.tflite", "--overwrite").output
    with Bundle(bundle) as opened:
        assert [variant.id for variant in opened.manifest.variants] == ["tflite-int8", "edgetpu"]
        assert "FULLY_CONNECTED" in opened.variant("edgetpu").operators


def test_the_bundle_itself_is_replaced_only_when_told(bundle: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "x.tflite").write_bytes(compile_model(model.read_bytes(), 3))
    before = bundle.read_bytes()
    done = run("add", bundle, tmp_path / "x.tflite")
    assert done.exit_code != 0
    assert isinstance(done.exception, Exception)
    assert run("add", bundle, tmp_path / "x.tflite", "-o", tmp_path / "new.edge").exit_code == 0
    assert run("add", bundle, tmp_path / "x.tflite", "-o", tmp_path / "new.edge").exit_code != 0
    assert bundle.read_bytes() == before


def test_a_compiled_model_of_another_model_is_refused_and_nothing_is_written(bundle: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
    np.save(tmp_path / "noise.npy", noise)
    (tmp_path / "other.tflite").write_bytes(image_net(seed=3))
    other = convert(
        tmp_path / "other.tflite",
        output=tmp_path / "other.edge",
        calibrate=f"{tmp_path}/noise.npy?colour=rgb",
        contract=CONTRACT,
    )
    with Bundle(other.bundle) as opened:
        compiled = compile_model(opened.model_of(opened.variant()), 3)
    (tmp_path / "x.tflite").write_bytes(compiled)
    before = bundle.read_bytes()
    done = run("add", bundle, tmp_path / "x.tflite", "--overwrite")
    assert isinstance(done.exception, ModelError)
    assert "made of another model. The first difference: " in str(done.exception)
    assert bundle.read_bytes() == before


def test_other_weights_are_refused_unless_told_not_to_look(bundle: Path, model: Path, tmp_path: Path) -> None:
    compiled = compile_model(model.read_bytes(), 3)
    with Bundle(bundle) as opened:
        words = opened.model_of(opened.variant())
    at = compiled.index(read_words(words, compiled))
    (tmp_path / "x.tflite").write_bytes(compiled[:at] + bytes([compiled[at] ^ 1]) + compiled[at + 1 :])
    done = run("add", bundle, tmp_path / "x.tflite", "--overwrite")
    assert "made of a model with other weights. The first difference: operator 2 (FULLY_CONNECTED" in str(
        done.exception
    )
    done = run("add", bundle, tmp_path / "x.tflite", "--overwrite", "--weights-unchecked")
    assert "not looked for: nothing says that they are this model's" in done.output


def read_words(original: bytes, compiled: bytes) -> bytes:
    """A word of the dense layer's weights, as it stands in the compiled model."""
    from converters.graph import constant_of, main_graph, read_graph

    model = read_graph(original)
    graph = main_graph(model)
    weights = constant_of(model, graph.tensors[graph.operators[2].inputs[1]])
    assert weights is not None
    return (weights.reshape(-1)[:4].view(np.uint8) ^ np.uint8(128)).tobytes()


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"\x1c\0\0\0TFL3", bytes(100)])
def test_what_is_no_compiled_model_is_refused(bundle: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.tflite").write_bytes(content)
    assert isinstance(run("add", bundle, tmp_path / "x.tflite", "--overwrite").exception, ModelError)


def test_a_model_that_is_not_compiled_is_refused(bundle: Path, model: Path) -> None:
    done = run("add", bundle, model, "--overwrite")
    assert "nothing of it runs on the Edge TPU" in str(done.exception)


def test_segments_make_a_pipeline_that_no_board_chooses_by_itself(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiling_stand_in(tmp_path, monkeypatch)
    done = run("compile", bundle, "-o", tmp_path, "--segments", 2)
    assert done.exit_code == 0, done.output
    names = [tmp_path / f"net_segment_{number}_of_2_edgetpu.tflite" for number in (1, 0)]
    done = run("add", bundle, *names, "--overwrite")
    assert "added edgetpu-pipeline" in done.output, done
    with Bundle(bundle) as opened:
        variant = opened.variant("edgetpu-pipeline")
        assert opened.segments_of(variant) == tuple(name.read_bytes() for name in names[::-1])
        assert opened.variant(kinds=("edgetpu", "tflite-int8")).id == "tflite-int8"
        with pytest.raises(BundleError, match="pipeline of 2 segments"):
            opened.model_of(variant)


@pytest.mark.parametrize(
    "names",
    [
        ["a.tflite", "b.tflite"],
        ["n_segment_0_of_2_edgetpu.tflite", "n_segment_0_of_2_edgetpu.tflite"],
        ["n_segment_0_of_3_edgetpu.tflite", "n_segment_1_of_3_edgetpu.tflite"],
        ["n_segment_1_of_2_edgetpu.tflite", "n_segment_2_of_2_edgetpu.tflite"],
    ],
)
def test_files_that_are_no_segments_of_one_model_are_told(names: list[str]) -> None:
    with pytest.raises(ModelError, match="are the segments of one model, each once"):
        in_order(list(map(Path, names)))


def test_segments_of_another_cut_are_refused(bundle: Path, model: Path) -> None:
    first, second = segments(model.read_bytes(), [1])
    third = segments(model.read_bytes(), [2])[1]
    with Bundle(bundle) as opened:
        assert check(opened, [first, second]).variant.id == "tflite-int8"
        with pytest.raises(ModelError, match="first difference"):
            check(opened, [first, third])


def test_of_several_int8_variants_the_right_one_is_found(bundle: Path, model: Path, tmp_path: Path) -> None:
    from edge_sdk.bundle.add import add_variants

    noise = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
    np.save(tmp_path / "noise.npy", noise)
    (tmp_path / "other.tflite").write_bytes(image_net(seed=3))
    other = convert(
        tmp_path / "other.tflite",
        output=tmp_path / "other.edge",
        calibrate=f"{tmp_path}/noise.npy?colour=rgb",
        contract=CONTRACT,
    )
    with Bundle(other.bundle) as small, Bundle(bundle) as large:
        add_variants(large, small, tmp_path / "both.edge", suffix="small")
        compiled = compile_model(small.model_of(small.variant()), 3)
    (tmp_path / "x.tflite").write_bytes(compiled)
    assert "added edgetpu-small" in run("add", tmp_path / "both.edge", tmp_path / "x.tflite", "--overwrite").output
    with Bundle(tmp_path / "both.edge") as both:
        assert both.variant("edgetpu-small").golden == both.variant("tflite-int8-small").golden
    done = run("add", tmp_path / "both.edge", tmp_path / "x.tflite", "--variant", "tflite-int8", "--overwrite")
    assert "made of another model" in str(done.exception)
    assert "no variant 'gone'" in str(
        run("add", bundle, tmp_path / "x.tflite", "--variant", "gone", "--overwrite").exception
    )


def test_models_compiled_together_share_a_token(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiling_stand_in(tmp_path, monkeypatch)
    second_model = tmp_path / "a b.tflite"
    second_model.write_bytes(model.read_bytes())
    done = run("compile", model, second_model, "-o", tmp_path, "--json")
    told = json.loads(done.output)
    assert [model["files"] for model in told["models"]] == [
        [str(tmp_path / "net_int8_edgetpu.tflite")],
        [str(tmp_path / "a b_edgetpu.tflite")],
    ]
    assert all(model["agrees"] for model in told["models"]), told
    first, second = (read_compiled(Path(model["files"][0]).read_bytes()) for model in told["models"])
    assert first is not None
    assert second is not None
    assert first.compiled_together_with(second)
    assert "two models are called net_int8" in str(
        run("compile", model, model, "-o", tmp_path, "--overwrite").exception
    )


def test_differences_and_unknown_lines_are_shown(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = stand_in(tmp_path, monkeypatch)
    (tmp_path / "prepared").write_bytes(compile_model(model.read_bytes(), 2))
    script.write_text(
        script.read_text().rpartition("\nfor model")[0]
        + f"\npathlib.Path(f'{{name(models[0], 0)}}.tflite').write_bytes(pathlib.Path({str(tmp_path / 'prepared')!r}).read_bytes())"
        + "\nprint('Edge TPU Compiler version 16.0.1\\nout of cheese')\n"
    )
    done = run("compile", model, "-o", tmp_path)
    assert done.exit_code == 0, done.output
    assert "Otherwise than planned: 2 operators" in done.output
    assert "FULLY_CONNECTED" in done.output
    assert "differs" in done.output
    assert "out of cheese" in done.output


def test_without_a_compiler_the_command_for_another_computer_is_told(
    model: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.delenv("EDGETPU_COMPILER", raising=False)
    done = run("compile", model)
    assert f"edgetpu_compiler --show_operations --out_dir . --timeout_sec 180 {model}" in str(done.exception)
    assert f"edge-sdk edgetpu compile {bundle} --segments 2" in str(run("compile", bundle, "--segments", 2).exception)


def test_outputs_are_never_lost(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiling_stand_in(tmp_path, monkeypatch)
    (tmp_path / "net_int8_edgetpu.tflite").write_text("mine")
    assert "exists already" in str(run("compile", model, "-o", tmp_path).exception)
    assert (tmp_path / "net_int8_edgetpu.tflite").read_text() == "mine"
    assert run("compile", model, "-o", tmp_path, "--overwrite").exit_code == 0
    assert "does not exist" in str(run("compile", model, "-o", tmp_path / "gone").exception)


def test_a_bundle_without_an_int8_variant_says_what_to_do(made: Path, tmp_path: Path, model: Path) -> None:
    data = f"{made.parent}/noise.npy?colour=rgb"
    other = convert(
        made.parent / "net.tflite", output=tmp_path / "f.edge", calibrate=data, contract=CONTRACT, recipes=["float16"]
    )
    for arguments in (("compile", other.bundle), ("add", other.bundle, model, "--overwrite")):
        done = run(*arguments)
        assert isinstance(done.exception, BundleError)
        assert "has no variant of kind tflite-int8" in str(done.exception)


def test_what_libedgetpu_would_refuse_is_refused_here(
    bundle: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edgetpu_compile, "RUNTIME_VERSION", 99)
    (tmp_path / "x.tflite").write_bytes(compile_model(model.read_bytes(), 3))
    done = run("add", bundle, tmp_path / "x.tflite", "--overwrite")
    assert "libedgetpu will not load the compiled model: it needs runtime version 99" in str(done.exception)
