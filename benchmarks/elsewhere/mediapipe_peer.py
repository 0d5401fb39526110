"""MediaPipe's side, run by benchmarks/peers.py in an environment that has MediaPipe: ``python mediapipe_peer.py MODEL FRAME.npy``.

Reads a number of runs a line, classifies the frame so often, and prints a line of JSON: seconds of each run, and the best classes. As with
every program that has a frame from OpenCV, the frame is BGR and is turned to RGB, which MediaPipe takes; resizing is MediaPipe's.
"""

from __future__ import annotations

import json
import sys
from time import perf_counter

import cv2
import mediapipe
import numpy as np
from mediapipe.tasks.python import BaseOptions
from mediapipe.tasks.python.vision import ImageClassifier, ImageClassifierOptions


def main(model: str, frame_file: str) -> None:
    """Serve until stdin ends."""
    cv2.setNumThreads(1)
    frame = np.load(frame_file)
    rgb = np.empty_like(frame)
    options = ImageClassifierOptions(base_options=BaseOptions(model_asset_path=model), max_results=3)
    with ImageClassifier.create_from_options(options) as classifier:
        for line in sys.stdin:
            seconds = []
            for _ in range(int(line)):
                started = perf_counter()
                cv2.cvtColor(frame, cv2.COLOR_BGR2RGB, dst=rgb)
                image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=rgb)
                result = classifier.classify(image)
                best = [category.index for category in result.classifications[0].categories]
                seconds.append(perf_counter() - started)
            print(json.dumps({"seconds": seconds, "best": best}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
