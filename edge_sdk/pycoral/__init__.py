"""The programming interface of Google's pycoral 2.0 for Python 3.10 and newer: a program moves by changing its imports.

Names, arguments, defaults, results and errors are pycoral's; ``docs/from-pycoral.md`` compares them one by one and says what
differs, and why. As there, tensors are read and written in this process, and no deadline is kept: ``edge_sdk.Loop`` keeps one.

    from edge_sdk.pycoral.adapters import classify, common
    from edge_sdk.pycoral.utils.edgetpu import make_interpreter
"""

from __future__ import annotations

from edge_sdk.pycoral import adapters, pipeline, utils
from edge_sdk.pycoral.utils.edgetpu import make_interpreter

__all__ = ["adapters", "make_interpreter", "pipeline", "utils"]
__version__ = "2.0.0"
