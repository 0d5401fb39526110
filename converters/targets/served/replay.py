"""Replays inputs on an exported folder, in a process of its own: ``replay.py WAY FOLDER INPUTS.npz OUTPUTS.npz``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

_MISSING = 3

Run = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class _Context:
    """What the handler asks of TorchServe."""

    model_name = "model"

    def __init__(self, folder: Path) -> None:
        self.system_properties = {"model_dir": str(folder)}
        self.status = 200

    def set_response_content_type(self, place: int, value: str) -> None:
        """Nobody asks for it here."""

    def set_response_status(self, code: int, phrase: str, idx: int) -> None:
        """Kept for ``run``."""
        self.status = code


def _handler(folder: Path) -> Run:
    """Asks the handler, by a request in one piece."""
    from edge_handler import handle
    from edge_v2 import join, read_tensors, split, write_tensors

    context = _Context(folder)
    handle(None, context)

    def run(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        described, raws = write_tensors(inputs, binary=True)
        answers = handle([{"body": join({"inputs": described}, raws)}], context)
        if context.status != 200 or answers is None:
            raise RuntimeError(f"the handler answers {context.status}: {answers}")
        header, raw = split(answers[0])
        outputs: Mapping[str, Any] = read_tensors(header, "outputs", raw)
        return outputs

    return run


def main() -> None:
    """Exit code 3 if the runtime is not installed."""
    way, folder, inputs, outputs = sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4]
    sys.path[0] = str(folder)
    from edge_variant import Variant

    names = [
        [each["name"] for each in json.loads((folder / "variant.json").read_text())[side]]
        for side in ("inputs", "outputs")
    ]
    try:
        run = _handler(folder) if way == "torchserve" else Variant(folder).run
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in ("ai_edge_litert", "onnxruntime"):
            raise
        sys.exit(_MISSING)
    made: dict[str, Any] = {}
    with np.load(inputs, allow_pickle=False) as given:
        for index in range(len(given.files) // len(names[0])):
            answer = run({name: given[f"{index}.{number}"] for number, name in enumerate(names[0])})
            made |= {f"{index}.{number}": answer[name] for number, name in enumerate(names[1])}
    np.savez(outputs, **made)


if __name__ == "__main__":
    main()
