"""The one fixed shape a model is converted with: a batch of 1, and whatever else is free by ``--input-shape``."""

from __future__ import annotations

from collections.abc import Sequence

from edge_sdk.errors import ModelError

_EXAMPLE = {3: (1, 128, 64), 4: (1, 224, 224, 3)}  # by rank, for the message
_EXAMPLE_NCHW = (1, 3, 224, 224)


def fixed_shape(
    name: str, dims: Sequence[int | None] | None, asked: Sequence[int] | None, *, channels_first: bool = False
) -> tuple[int, ...]:
    """Fix what is free in an input's shape.

    Args:
        name: of the input, for messages.
        dims: its shape, None where it is free; None if not even the rank is known.
        asked: ``LoadOptions.input_shape``.
        channels_first: whether the example in a message is NCHW.

    Raises:
        ModelError: if more than the batch is free and nothing is asked, or what is asked does not fit.
    """
    if asked is not None:
        return _as_asked(name, dims, tuple(asked))
    if dims is None or None in dims[1:]:
        raise ModelError(
            f"input {name!r} has the dynamic shape {_shown(dims)}; int8 models need fixed shapes. "
            f"Say which by --input-shape {_example(dims, channels_first)} (the batch is 1)"
        )
    if not dims:
        raise ModelError(f"input {name!r} is a single number without a batch; a model takes a tensor of shape (1, ...)")
    if dims[0] not in (None, 1):
        raise ModelError(
            f"input {name!r} has a batch of {dims[0]}; devices run one sample at a time. Export the model with a free batch or one of 1"
        )
    return (1, *(size for size in dims[1:] if size is not None))


def _as_asked(name: str, dims: Sequence[int | None] | None, asked: tuple[int, ...]) -> tuple[int, ...]:
    written = ",".join(map(str, asked))
    if not asked or min(asked) < 1 or asked[0] != 1:
        raise ModelError(f"--input-shape {written}: every size is 1 or more, and the first, the batch, is 1")
    if dims is not None and (
        len(dims) != len(asked) or any(own not in (None, size) for own, size in zip(dims, asked, strict=True))
    ):
        raise ModelError(f"--input-shape {written} does not fit input {name!r}, whose shape is {_shown(dims)}")
    return asked


def _shown(dims: Sequence[int | None] | None) -> str:
    if dims is None:
        return "of unknown rank"
    return f"({', '.join('?' if size is None else str(size) for size in dims)})"


def _example(dims: Sequence[int | None] | None, channels_first: bool) -> str:
    if dims is None:
        return ",".join(map(str, _EXAMPLE[4]))
    fill = _EXAMPLE_NCHW if channels_first and len(dims) == 4 else _EXAMPLE.get(len(dims), (1, *(16,) * len(dims)))
    return ",".join(
        str(default if size is None else size) for size, default in zip((None, *dims[1:]), fill, strict=False)
    )
