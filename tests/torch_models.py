"""Small models of PyTorch in every form that is read; a script, so that PyTorch stays out of the tests."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional


class Segmenter(nn.Module):
    """Two outputs by name, one of them an image."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 16, 3, 2, 1)
        self.up, self.head, self.kind = nn.ConvTranspose2d(16, 8, 2, 2), nn.Conv2d(16, 2, 1), nn.Linear(16, 5)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        first = functional.hardswish(self.first(image))
        second = torch.relu(self.second(first))
        joined = torch.cat([self.up(second), first], 1)
        return {"mask": torch.sigmoid(self.head(joined)), "kind": self.kind(second.mean((2, 3)))}


class Digits(nn.Sequential):
    """A flattened convolutional net: its dense weights depend on the order of the axes."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.5)),
            *(nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 5 * 5, 10)),
        )


def model() -> nn.Module:
    torch.manual_seed(2)
    return Segmenter()


def digits() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(3)
    return Digits(), torch.zeros(1, 1, 12, 12)


def no_module() -> str:
    return "a text"


class Touches:
    """A pickle that leaves a mark where it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return Path.touch, (self.mark,)


def with_pickled_example(program: Path, path: Path, mark: Path) -> None:
    """The program with another example input: a file of torch.save, which torch.export.load reads with plain pickle if it must."""
    example = io.BytesIO()
    torch.save({"x": Touches(mark)}, example)
    with zipfile.ZipFile(program) as source, zipfile.ZipFile(path, "w") as made:
        for name in source.namelist():
            made.writestr(name, example.getvalue() if "sample_inputs" in name else source.read(name))


def main(folder: Path) -> None:
    """Write them all."""
    net, example = digits()
    torch.export.save(torch.export.export(net, (example,)), folder / "training.pt2")
    net.eval()
    torch.export.save(torch.export.export(net, (example,)), folder / "digits.pt2")
    with_pickled_example(folder / "digits.pt2", folder / "evil.pt2", folder / "mark")
    free = torch.export.export(
        model().eval(), (torch.zeros(2, 3, 16, 16),), dynamic_shapes=({0: torch.export.Dim("b")},)
    )
    torch.export.save(free, folder / "free_batch.pt2")
    torch.save(torch.nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), folder / "pickled.pt")
    torch.save(net.state_dict(), folder / "weights.pth")
    torch.save(net.state_dict(), folder / "old_weights.pth", _use_new_zipfile_serialization=False)
    torch.jit.save(torch.jit.trace(net, example), folder / "script.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
