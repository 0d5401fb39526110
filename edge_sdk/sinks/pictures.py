"""Every n-th result as an annotated picture."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from edge_sdk.draw import annotate, bgr_image
from edge_sdk.errors import OutputError
from edge_sdk.kinds import Settings
from edge_sdk.outputs import replacing
from edge_sdk.result import Result
from edge_sdk.sinks import Sink
from edge_sdk.sources.capture import opencv


class PicturesSettings(Settings):
    """``pictures:folder?every=30``.

    Attributes:
        path: the folder; it is made if its parent exists, and must hold no PNG unless ``overwrite``.
        every: one picture for so many results, beginning with the first.
        overwrite: replace pictures of the same name.
        deadline_ms: shown beside the age.
    """

    path: Path
    every: int = Field(default=30, ge=1)
    overwrite: bool = False
    deadline_ms: float | None = None


class PicturesSink(Sink):
    """Writes PNG files named by the sample's sequence number, ``00000042.png``.

    Raises:
        OutputError: if the folder cannot be made, or holds pictures already.
    """

    settings_class = PicturesSettings

    def __init__(self, settings: PicturesSettings) -> None:
        self.settings = settings
        self._cv2 = opencv("drawing results")
        self._taken = 0
        folder = settings.path
        try:
            folder.mkdir(exist_ok=True)
        except (OSError, ValueError) as exc:  # ValueError: a zero byte in the name
            raise OutputError(f"cannot make the folder {folder}: {getattr(exc, 'strerror', None) or exc}") from exc
        if not settings.overwrite and any(folder.glob("*.png")):
            raise OutputError(
                f"{folder} holds pictures already; give another folder, or --overwrite (overwrite=1) to replace them"
            )

    def result(self, result: Result) -> None:
        """See the base class."""
        self._taken += 1
        if (self._taken - 1) % self.settings.every:
            return
        image = annotate(bgr_image(result.sample), result, self.settings.deadline_ms)
        _, png = self._cv2.imencode(".png", image)
        with replacing(self.settings.path / f"{result.sequence:08d}.png", overwrite=self.settings.overwrite) as beside:
            beside.write_bytes(png.tobytes())
