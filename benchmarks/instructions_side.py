"""A part of the way of a frame, so many times over, for its instructions to be counted; runs on an emulated device.

Usage: instructions_side.py PART TIMES BUNDLE FRAMES.npz
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from edge_sdk import Loop
from edge_sdk.bundle import Bundle
from edge_sdk.encoder import Encoder
from edge_sdk.engines.isolation import open_engine
from edge_sdk.tasks import make_task


def loop(times: int, path: Path, frames: Path) -> None:
    """The whole loop, its engine inline: what a child process does is not counted."""
    source = f"replay:{frames}?colour=bgr&loop=1"
    with Loop(path, source, deadline_ms=3_600_000, isolation="none") as running:
        for number, _ in enumerate(running, start=1):
            if number == times:
                return


def parts(path: Path, frames: Path) -> dict[str, Callable[[], object]]:
    """The loop's steps, one by one, and what is written by hand with OpenCV and LiteRT."""
    with Bundle(path) as bundle:
        variant, contract, task = bundle.variant(None), bundle.manifest.contract, bundle.manifest.task
        model, labels = bundle.read(variant.file), bundle.labels()
    with np.load(frames) as stored:
        frame = stored["frames"][0]
    encoder = Encoder(contract, variant.inputs[0])
    engine = open_engine("litert", model, {}, isolation="none", hang_ms=3_600_000)
    engine.expect(variant.inputs, variant.outputs)
    placement = encoder.encode(frame, engine.input_arrays[0], colour="bgr")
    decoder = make_task(task, input_=variant.inputs[0], outputs=variant.outputs, labels=labels, heads=variant.heads)
    outputs = [np.array(output) for output in engine.run()]
    return {
        "encode": lambda: encoder.encode(frame, engine.input_arrays[0], colour="bgr"),
        "engine": engine.run,
        "decode": lambda: decoder.decode(outputs, placement),
        "bare": bare(model, frame),
    }


def bare(model: bytes, frame: np.ndarray) -> Callable[[], object]:
    """Letterboxed, turned to RGB and int8, run; its outputs are not decoded."""
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    (taken,) = interpreter.get_input_details()
    given = [detail["index"] for detail in interpreter.get_output_details()]
    _, height, width, _ = taken["shape"]
    scale = min(height / frame.shape[0], width / frame.shape[1])
    size = (round(frame.shape[1] * scale), round(frame.shape[0] * scale))
    above = (height - size[1]) // 2
    tensor = np.zeros((1, height, width, 3), np.uint8)
    inside = tensor[0, above : above + size[1]]

    def step() -> object:
        cv2.cvtColor(cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR), cv2.COLOR_BGR2RGB, dst=inside)
        interpreter.set_tensor(taken["index"], np.bitwise_xor(tensor, 0x80).view(np.int8))
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in given]

    return step


def main(part: str, times: int, bundle: Path, frames: Path) -> None:
    """Do it."""
    cv2.setNumThreads(1)
    if part == "loop":
        loop(times, bundle, frames)
        return
    step = parts(bundle, frames)[part]
    for _ in range(times):
        step()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
