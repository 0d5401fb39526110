"""pycoral's interpreters: on the processor, on the delegate in the place of libedgetpu, and each error that they state."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk.pycoral.utils import edgetpu as utils
from tests.edgetpu_delegate import Bench, Device, expected
from tests.edgetpu_models import compiled_model, processor_model
from tests.tiny_models import TinyModel

PACKAGE = b"package"
INPUT = np.array([[1, -2, 3, 50]], np.int8)


@pytest.fixture
def library(edgetpu_library: Path, edgetpu_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Of the simulated Edge TPUs; none is there yet."""
    monkeypatch.setattr(utils, "LIBRARY", str(edgetpu_library))
    monkeypatch.setattr(utils, "_worked", set())
    yield edgetpu_library


def run(interpreter: Any) -> bytes:
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], INPUT)
    interpreter.invoke()
    made: bytes = interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).tobytes()
    return made


def on_the_device() -> bytes:
    return expected(PACKAGE, INPUT.tobytes(), 4).tobytes()


class TestMakeInterpreter:
    @pytest.mark.parametrize("device", [None, "", ":0", "usb", "usb:3", "pci", "pci:1"])
    def test_a_model_for_the_processor_needs_neither_device_nor_library(self, device: str | None) -> None:
        assert run(utils.make_interpreter(processor_model(), device)) == (INPUT * 2).tobytes()

    def test_a_model_comes_by_path_or_as_bytes(self, tmp_path: Path) -> None:
        file = tmp_path / "model.tflite"
        file.write_bytes(processor_model())
        for model in (str(file), file, processor_model()):
            assert run(utils.make_interpreter(model)) == (INPUT * 2).tobytes()

    def test_what_is_no_model_is_a_value_error(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"Could not open 'none\.tflite'\."):
            utils.make_interpreter("none.tflite")
        with pytest.raises(ValueError, match=f"Could not open '{tmp_path}'"):
            utils.make_interpreter(tmp_path)
        with pytest.raises(ValueError, match="valid Flatbuffer"):
            utils.make_interpreter(b"no model")

    @pytest.mark.parametrize("device", ["foo", "usb:", "usb:x", "1", ":-1", "pci0"])
    def test_a_device_of_another_form_is_a_value_error(self, device: str) -> None:
        with pytest.raises(ValueError, match=f"Failed to load delegate.*found '{device}'"):
            utils.make_interpreter(processor_model(), device)
        with pytest.raises(ValueError, match="Failed to load delegate"):
            utils.load_edgetpu_delegate({"device": device})

    def test_a_compiled_model_needs_the_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(utils, "LIBRARY", "libnone.so.1")
        calls = (
            lambda: utils.make_interpreter(compiled_model()),
            utils.load_edgetpu_delegate,
            utils.list_edge_tpus,
            utils.get_runtime_version,
            lambda: utils.set_verbosity(0),
        )
        for call in calls:
            with pytest.raises(OSError, match=r"libnone\.so\.1.*https"):
                call()

    def test_a_compiled_model_runs_on_the_device(self, library: Path, edgetpu: Device) -> None:
        interpreter = utils.make_interpreter(compiled_model(PACKAGE))
        before = edgetpu.done
        assert run(interpreter) == on_the_device()
        assert edgetpu.done == before + 1

    def test_it_runs_on_the_device_that_was_named(self, library: Path, edgetpu_bench: Bench) -> None:
        usb, pci = edgetpu_bench.add("usb0"), edgetpu_bench.add("pci0")
        for device, meant in (("usb", usb), ("pci:0", pci), (":1", usb), (":0", pci)):
            interpreter = utils.make_interpreter(compiled_model(PACKAGE), device)
            before = meant.done
            assert run(interpreter) == on_the_device()
            assert meant.done == before + 1, device
            del interpreter

    def test_a_device_that_is_not_there_is_a_value_error(self, library: Path, edgetpu_bench: Bench) -> None:
        with pytest.raises(ValueError, match=r"Failed to load delegate.*no Edge TPU at all"):
            utils.make_interpreter(compiled_model())
        edgetpu_bench.add("usb0")
        for device in (":1", "usb:1", "pci"):
            with pytest.raises(
                ValueError, match=f"Failed to load delegate.*no Edge TPU {device}; seen on the busses: usb:0"
            ):
                utils.make_interpreter(compiled_model(), device)
            with pytest.raises(ValueError, match=f"no Edge TPU {device}"):
                utils.load_edgetpu_delegate({"device": device})

    def test_a_library_that_ends_the_process_is_tried_in_another(self, library: Path, edgetpu: Device) -> None:
        edgetpu.order("crash", times=99)
        with pytest.raises(ValueError, match=r"Failed to load delegate.*SIGSEGV.*the trio is"):
            utils.make_interpreter(compiled_model())

    def test_a_second_interpreter_shares_the_device(
        self, library: Path, edgetpu: Device, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = utils.make_interpreter(compiled_model(PACKAGE))
        monkeypatch.setattr(utils, "probe", lambda *_: pytest.fail("it was tried out already"))
        second = utils.make_interpreter(compiled_model(PACKAGE))
        assert run(first) == run(second) == on_the_device()

    def test_a_delegate_that_is_given_is_taken(
        self, library: Path, edgetpu: Device, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(utils, "probe", lambda *_: pytest.fail("its owner has loaded it"))
        delegate = utils.load_edgetpu_delegate({"device": "usb:0"})
        assert (
            run(utils.make_interpreter(compiled_model(PACKAGE), device="nonsense", delegate=delegate))
            == on_the_device()
        )


class TestLibrary:
    def test_it_lists_the_devices_in_its_own_order(self, library: Path, edgetpu_bench: Bench) -> None:
        assert utils.list_edge_tpus() == []
        for name in ("usb0", "usb1", "pci0"):
            edgetpu_bench.add(name)
        assert [each["type"] for each in utils.list_edge_tpus()] == ["pci", "usb", "usb"]
        assert all(isinstance(each["path"], str) and each["path"] for each in utils.list_edge_tpus())

    def test_it_says_its_version_and_takes_a_verbosity(self, library: Path) -> None:
        assert utils.get_runtime_version().endswith("RuntimeVersion(14)")
        assert utils.set_verbosity(10) is True


@pytest.fixture
def interpreter() -> Any:
    made = utils.make_interpreter(bytes_model("UINT8"))
    made.allocate_tensors()
    return made


def bytes_model(dtype: str) -> bytes:
    """Its output is its input, (1, 2, 4, 1)."""
    net = TinyModel()
    entry, last = net.tensor("image", (1, 2, 4, 1), dtype=dtype), net.tensor("out", (8,), dtype=dtype)
    net.operator("RESHAPE", [entry, net.constant("shape", np.array([8], np.int32))], [last])
    return net.build([entry], [last])


def output(interpreter: Any) -> list[int]:
    found: list[int] = interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).tolist()
    return found


BYTES = np.arange(8, dtype=np.uint8)


class Buffer:
    """What a Gst.Buffer has, where GStreamer is not installed."""

    def get_size(self) -> int:
        return 10

    def extract_dup(self, offset: int, size: int) -> bytes:
        return bytes([*BYTES, 9, 9])[offset : offset + size]


class TestRunInference:
    @pytest.mark.parametrize(
        "data",
        [
            BYTES,
            BYTES.reshape(2, 4),
            BYTES.tobytes(),
            BYTES.tobytes() + b"more",
            np.append(BYTES, [9, 9]).astype(np.uint8),
            (BYTES.ctypes.data_as(ctypes.c_void_p), 8),
            Buffer(),
        ],
        ids=["array", "array of axes", "bytes", "longer bytes", "longer array", "pointer", "Gst.Buffer"],
    )
    def test_every_kind_of_bytes_is_taken(self, interpreter: Any, data: Any) -> None:
        utils.run_inference(interpreter, data)
        assert output(interpreter) == BYTES.tolist()

    @pytest.mark.filterwarnings("ignore:DynamicImporter:ImportWarning")  # of the binding itself
    def test_a_buffer_of_gstreamer_is_taken(self, interpreter: Any) -> None:
        gi = pytest.importorskip("gi", reason="GStreamer's Python binding is not installed")
        gi.require_version("Gst", "1.0")
        from gi.repository import Gst

        Gst.init(None)
        utils.run_inference(interpreter, Gst.Buffer.new_wrapped(BYTES.tobytes() + b"more"))
        assert output(interpreter) == BYTES.tolist()

    def test_it_runs_while_a_view_is_held(self, interpreter: Any) -> None:
        view = interpreter.tensor(interpreter.get_output_details()[0]["index"])()
        utils.run_inference(interpreter, BYTES)
        assert view.tolist() == BYTES.tolist()

    @pytest.mark.parametrize("data", [BYTES[:7], BYTES.tobytes()[:7], (BYTES.ctypes.data_as(ctypes.c_void_p), 7)])
    def test_too_little_is_a_value_error(self, interpreter: Any, data: Any) -> None:
        with pytest.raises(ValueError, match=r"input size=7, expected=8\."):
            utils.run_inference(interpreter, data)

    @pytest.mark.parametrize("data", [list(BYTES), "text", None, (1, 8), (ctypes.c_void_p(), "8")])
    def test_another_type_is_a_type_error(self, interpreter: Any, data: Any) -> None:
        with pytest.raises(TypeError, match="input data type is not supported"):
            utils.run_inference(interpreter, data)

    def test_bytes_are_taken_as_int8_too(self) -> None:
        interpreter = utils.make_interpreter(bytes_model("INT8"))
        interpreter.allocate_tensors()
        utils.run_inference(interpreter, bytes([255] * 8))
        assert output(interpreter) == [-1] * 8
        utils.run_inference(interpreter, np.full(8, -7, np.int8))
        assert output(interpreter) == [-7] * 8

    def test_a_float_input_takes_floats_alone(self) -> None:
        interpreter = utils.make_interpreter(bytes_model("FLOAT32"))
        interpreter.allocate_tensors()
        utils.run_inference(interpreter, np.full(8, 0.5, np.float32))
        assert output(interpreter) == [0.5] * 8
        for data in (bytes(32), BYTES):
            with pytest.raises(ValueError, match="float32, which raw bytes do not fill"):
                utils.run_inference(interpreter, data)
        with pytest.raises(ValueError, match="the array is float64"):
            utils.run_inference(interpreter, np.zeros(8))

    def test_a_model_that_is_not_allocated_is_a_runtime_error(self) -> None:
        with pytest.raises(RuntimeError, match="allocate_tensors"):
            utils.run_inference(utils.make_interpreter(bytes_model("UINT8")), BYTES)


class TestHandles:
    def test_an_interpreter_runs_by_its_handle(self, interpreter: Any) -> None:
        utils.invoke_with_bytes(interpreter._native_handle(), BYTES.tobytes())
        assert output(interpreter) == BYTES.tolist()
        other = np.full(8, 3, np.uint8)
        utils.invoke_with_membuffer(interpreter._native_handle(), other.ctypes.data, 8)
        assert output(interpreter) == [3] * 8

    def test_errors_are_runtime_errors(self, interpreter: Any) -> None:
        handle = interpreter._native_handle()
        with pytest.raises(RuntimeError, match="input size=1"):
            utils.invoke_with_bytes(handle, b"x")
        with pytest.raises(RuntimeError, match="DMA buffers"):
            utils.invoke_with_dmabuffer(handle, 0, 8)
        assert utils.supports_dmabuf(handle) is False
        with pytest.raises(RuntimeError, match="handle of no interpreter"):
            utils.invoke_with_bytes(12345, BYTES.tobytes())
        assert sys.getrefcount(interpreter) < 10  # and no table keeps it
