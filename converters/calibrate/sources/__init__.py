"""The kinds of data, one file each: a file is told by its suffix, a folder by what lies in it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from converters.calibrate.sources.found import Found, Opener, visible_files
from converters.calibrate.sources.suffixes import ARRAYS, IMAGES, TABLES, VIDEOS, WAVES
from edge_sdk.errors import DataError
from edge_sdk.window_settings import WindowSettings

KINDS = (
    f"a folder of images, of .wav or of captured .npz files, a video ({', '.join(VIDEOS)}), .wav, .npy, .npz or .csv"
)
_FILES = {
    **dict.fromkeys(VIDEOS, "video"),
    **dict.fromkeys(ARRAYS, "arrays"),
    **dict.fromkeys(TABLES, "table"),
    **dict.fromkeys(WAVES, "wav"),
}
_FOLDERS = {**dict.fromkeys(IMAGES, "images"), **dict.fromkeys(WAVES, "wav"), ".npz": "capture"}


def find_samples(
    path: Path, options: dict[str, str], shape: tuple[int, ...], window: WindowSettings | None = None
) -> Found:
    """The samples of a folder or file.

    Args:
        path: exists.
        options: as given behind it; what the kind leaves in them it does not know.
        shape: of the model's input tensor.
        window: the contract's, where its input is one: samples are then raw windows, whatever the ``shape``.

    Raises:
        DataError: if it is not of a kind that can be read, or an option is unknown.
    """
    if window is not None:
        from converters.calibrate.sources import signals

        return signals.find(path, options, window)
    kind = _kind_of_folder(path) if path.is_dir() else _FILES.get(path.suffix.lower())
    if kind is None:
        raise DataError(f"{path} is not data that can be read: {KINDS}")
    opener: Opener = import_module(f"converters.calibrate.sources.{kind}").find
    return opener(path, options, shape)


def _kind_of_folder(folder: Path) -> str:
    """The kind of the first file that has one; images are for the rest to say what is wrong."""
    kinds = (_FOLDERS.get(file.suffix.lower()) for file in visible_files(folder))
    return next((kind for kind in kinds if kind is not None), "images")
