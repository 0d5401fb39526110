"""The contracts that a model may have been trained with instead: the ones that people confuse."""

from __future__ import annotations

from collections.abc import Iterator

from edge_sdk.contract import Contract

RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))
IMAGENET_MEAN = (123.675, 116.28, 103.53)  # 255 times torchvision's, red first
IMAGENET_STD = (58.395, 57.12, 57.375)
_SWAPPED = {"rgb": "bgr", "bgr": "rgb"}
_SAME = 0.05  # normalisations that differ by less of a range's length are the same, such as (x-127)/128 and -1..1
_LOUD = 100.0  # numbers beyond are counts, as of 16-bit sound


def image_alternatives(contract: Contract, *, rescaled: bool) -> tuple[Contract, ...]:
    """An image contract with the other channel order, with other ranges if ``rescaled``, and with both."""
    colours = [contract.colour] + ([_SWAPPED[contract.colour]] if contract.colour in _SWAPPED else [])
    scalings: list[dict[str, object]] = [contract.model_dump(include={"range", "mean", "std"})]
    if rescaled:
        scalings += [{"range": ends, "mean": None, "std": None} for ends in RANGES]
        if contract.channels == 3:
            scalings.append({"range": None, "mean": IMAGENET_MEAN, "std": IMAGENET_STD})
    found: list[Contract] = []
    for colour in colours:
        for scaling in scalings:
            other = _ordered(contract.model_copy(update={**scaling, "colour": colour}))
            if not any(_same(other, known) for known in (contract, *found)):
                found.append(other)
    return tuple(found)


def tensor_alternatives(contract: Contract, low: float, high: float) -> tuple[Contract, ...]:
    """Other normalisations of numbers that reach from ``low`` to ``high``; none where that is no range that people confuse.

    Args:
        contract: without mean and std.
        low, high: of the data.
    """
    if contract.mean is not None:
        return ()
    return tuple(
        contract.model_copy(update={"mean": (mean,), "std": (std,)}) for mean, std in _tensor_scalings(low, high)
    )


def differences(told: Contract, other: Contract) -> str:
    """What ``other`` says otherwise, as in model.toml."""
    said = []
    if other.colour != told.colour:
        said.append(f"colour = {other.colour}")
    if (other.range, other.mean, other.std) != (told.range, told.mean, told.std):
        if other.range is not None:
            said.append(f"range = {_numbers(other.range)}")
        elif other.mean is not None and other.std is not None:
            said.append(f"mean = {_numbers(other.mean)} and std = {_numbers(other.std)}")
        else:
            said.append("no mean and std")
    return ", ".join(said)


def _tensor_scalings(low: float, high: float) -> Iterator[tuple[float, float]]:
    """(mean, std) by which data of a known range becomes that of another."""
    if low >= 0 and _LOUD < high <= 255:  # bytes: 0..1, -1..1
        yield from ((0.0, 255.0), (127.5, 127.5))
    elif low >= 0 and 0.5 < high <= 1:  # 0..1: -1..1, 0..255
        yield from ((0.5, 0.5), (0.0, 1 / 255))
    elif -1 <= low < 0 < high <= 1 and high - low > 0.5:  # -1..1: 0..1, 0..255, and 16-bit sound
        yield from ((-1.0, 2.0), (-1.0, 1 / 127.5), (0.0, 1 / 32768))
    elif -32768 <= low < -_LOUD and _LOUD < high <= 32767:  # 16-bit sound: -1..1
        yield (0.0, 32768.0)


def _ordered(contract: Contract) -> Contract:
    """ImageNet's mean and std stand in the order of the contract's channels."""
    if contract.mean == IMAGENET_MEAN and contract.colour == "bgr":
        return contract.model_copy(update={"mean": IMAGENET_MEAN[::-1], "std": IMAGENET_STD[::-1]})
    return contract


def _same(one: Contract, other: Contract) -> bool:
    if one.colour != other.colour:
        return False
    ends, others = one.real_of_bytes()[[0, 255]], other.real_of_bytes()[[0, 255]]
    return bool((abs(ends - others) <= _SAME * abs(ends[1] - ends[0])).all())


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
