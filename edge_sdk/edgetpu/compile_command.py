"""How a bundle comes by its compiled variant, on a computer that has Google's compiler."""

from __future__ import annotations

from pathlib import Path
from shlex import quote


def compile_command(bundle: str) -> str:
    """The command line that compiles a bundle's int8 variant and packs it."""
    compiled = quote(f"{Path(bundle).stem}_edgetpu.tflite")
    return f"edge-sdk edgetpu compile {quote(bundle)} && edge-sdk edgetpu add {quote(bundle)} {compiled} --overwrite"
