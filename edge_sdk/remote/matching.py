"""Which tensor of a server's model is which of the variant's, and whether it has the same form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_sdk.errors import RemoteError
from edge_sdk.remote.faults import shown
from edge_sdk.tensors import TensorSpec


@dataclass(frozen=True)
class ServerTensor:
    """A tensor as a server tells it.

    Attributes:
        name: on the server.
        dtype: as NumPy calls it, else as the server does.
        shape: -1 for an axis of any length; None where the server does not know it.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] | None

    def __str__(self) -> str:
        shape = (
            "any shape" if self.shape is None else "x".join("?" if n < 0 else str(n) for n in self.shape) or "scalar"
        )
        return f"{shown(self.name)!r} {shown(self.dtype)} {shape}"


def names_on_server(kind: str, specs: tuple[TensorSpec, ...], found: Sequence[ServerTensor]) -> tuple[str, ...]:
    """The server's names of the variant's inputs or outputs, in the variant's order.

    By name; where both have one only, whatever its name. A server that tells none (MLServer without metadata) has them under the variant's
    names.

    Args:
        kind: ``"input"`` or ``"output"``.
        specs: the variant's.
        found: the server's; further outputs are let be.

    Raises:
        RemoteError: if one is missing or of another form.
    """
    if not found:
        return tuple(spec.name for spec in specs)
    by_name = {tensor.name: tensor for tensor in found}
    if len(specs) == len(found) == 1:
        matched = list(found)
    elif all(spec.name in by_name for spec in specs) and (kind == "output" or len(specs) == len(found)):
        matched = [by_name[spec.name] for spec in specs]
    else:
        raise RemoteError(
            f"the server's model has other {kind}s: found {listed(found)}; the variant states {listed(specs)}"
        )
    for spec, tensor in zip(specs, matched, strict=True):
        if tensor.dtype != spec.dtype or not _fits(spec.shape, tensor.shape):
            raise RemoteError(
                f"the server's model takes or gives another form: {kind} {tensor} there; the variant states {spec}. "
                "Serve the same variant, or set another server or model"
            )
    return tuple(tensor.name for tensor in matched)


def listed(tensors: Sequence[object]) -> str:
    """For a message."""
    some = " and ".join(map(str, tensors[:8])) or "none"
    return some if len(tensors) <= 8 else f"{some} and {len(tensors) - 8} more"


def _fits(shape: tuple[int, ...], allowed: tuple[int, ...] | None) -> bool:
    return allowed is None or (
        len(shape) == len(allowed) and all(a in (-1, n) for n, a in zip(shape, allowed, strict=True))
    )
