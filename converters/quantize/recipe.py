"""Recipes: how a model is quantized, as data. A named one is a file beside this module; a user's own has the same keys.

about = "int8, the detector's head in int16"
scheme = "int8"             # int8 | int16x8 | float16 | dynamic
weights = "per-channel"     # per-channel | per-tensor
io = "int8"                 # the type of inputs and outputs: int8 | uint8 | int16 | float32
ranges = "minmax"           # minmax | percentile | mse | auto
allow_float = false         # whether overrides may leave operators float: such a model is not full-integer
[[override]]                # a later one wins
match = "^head/"            # regular expression, found anywhere in the name of the operator's first output
operator = "CONV_2D"        # and, or instead: regular expression of the operator's whole name
scheme = "int16"            # int8 | int16 | float
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from converters.quantize.quantization import Scheme
from edge_sdk.errors import ConfigError
from edge_sdk.inputs import read_toml

_FOLDER = Path(__file__).parent / "recipes"
_ENDS = {
    "int8": ("int8", "uint8"),
    "int16x8": ("int16", "int8"),
    "float16": ("float32",),
    "dynamic": ("float32",),
}  # scheme: what its inputs and outputs can be; the first is the default
_MOST_SHOWN = 5


class Override(BaseModel):
    """Another scheme for some operators.

    Attributes:
        match: regular expression, searched in the name of the operator's first output.
        operator: regular expression that the operator's whole name fits, such as ``SOFTMAX``.
        scheme: what they compute in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    match: str | None = None
    operator: str | None = None
    scheme: Scheme

    @field_validator("match", "operator")
    @classmethod
    def _is_regular_expression(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as exc:
            raise ValueError(f"{value!r} is no regular expression: {exc}") from exc
        return value

    @model_validator(mode="after")
    def _says_which(self) -> Override:
        if self.match is None and self.operator is None:
            raise ValueError("say which operators: match, operator or both")
        return self

    def fits(self, kind: str, tensor: str) -> bool:
        """Whether it means an operator of this kind that makes this tensor."""
        return (self.match is None or re.search(self.match, tensor) is not None) and (
            self.operator is None or re.fullmatch(self.operator, kind) is not None
        )

    def __str__(self) -> str:
        keys = {"match": self.match, "operator": self.operator}
        return ", ".join(f"{key} {value!r}" for key, value in keys.items() if value is not None)


class Recipe(BaseModel):
    """How a model is quantized.

    Attributes:
        name: the file's stem.
        about: one line for people.
        scheme: ``int8`` and ``int16x8`` are full-integer (activations of 8 or 16 bits, weights of 8); ``float16`` stores weights in
            half the bytes; ``dynamic`` stores weights as int8 and quantizes activations while it runs.
        weights: a scale for each output channel, or one for a tensor.
        io: the type of inputs and outputs. An output that an override computes in int16 or float stays so.
        variance: what the variance of a normalisation is computed in, inside an int8 graph; auto is int16 where int8 is too coarse.
        ranges: how the ranges of activations are chosen.
        allow_float: whether an override may say float.
        override: other schemes for some operators; a later one wins.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    about: str = ""
    scheme: Literal["int8", "int16x8", "float16", "dynamic"] = "int8"
    weights: Literal["per-channel", "per-tensor"] = "per-channel"
    io: Literal["int8", "uint8", "int16", "float32"] | None = None
    variance: Literal["auto", "int16", "int8"] = "auto"
    ranges: Literal["minmax", "percentile", "mse", "auto"] = "minmax"
    allow_float: bool = False
    override: tuple[Override, ...] = Field(default=())

    @model_validator(mode="after")
    def _is_consistent(self) -> Recipe:
        allowed = _ENDS[self.scheme]
        if self.io is not None and self.io not in allowed:
            raise ValueError(f"io is {self.io!r}; with scheme {self.scheme!r} it can be {' or '.join(allowed)}")
        if self.override and not self.integer:
            raise ValueError(f"overrides go with the schemes int8 and int16x8, not {self.scheme!r}")
        if not self.allow_float and any(override.scheme == "float" for override in self.override):
            raise ValueError(
                "an override says float, and the model would not be full-integer: add allow_float = true if that is meant"
            )
        return self

    @property
    def integer(self) -> bool:
        """Whether activations are quantized beforehand, so that ranges are needed."""
        return self.scheme in ("int8", "int16x8")

    @property
    def ends(self) -> str:
        """The type of inputs and outputs."""
        return self.io or _ENDS[self.scheme][0]

    def schemes(self, operators: Sequence[tuple[str, str]]) -> list[Scheme]:
        """What each operator computes in.

        Args:
            operators: kind and first output of each, such as ``("CONV_2D", "head/conv")``.

        Raises:
            ConfigError: if an override fits none; the message has near names.
        """
        base: Scheme = "int16" if self.scheme == "int16x8" else "int8"
        found = [base] * len(operators)
        for override in self.override:
            places = [place for place, operator in enumerate(operators) if override.fits(*operator)]
            if not places:
                raise ConfigError(
                    f"recipe {self.name!r}: the override with {override} fits no operator. {_near(override, operators)}"
                )
            for place in places:
                found[place] = override.scheme
        return found


@cache
def recipe_names() -> tuple[str, ...]:
    """Every named recipe, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def read_recipe(recipe: str | Path) -> Recipe:
    """A named recipe, or a user's own file.

    Args:
        recipe: a name of ``recipe_names``, or the path of a .toml.

    Raises:
        ConfigError: if there is none, or a key is unknown or wrong; the message has the file and what is allowed.
    """
    if str(recipe) in recipe_names():
        path = _FOLDER / f"{recipe}.toml"
    elif Path(recipe).suffix == ".toml":
        path = Path(recipe)
    else:
        near = difflib.get_close_matches(str(recipe), recipe_names(), n=2, cutoff=0.4)
        meant = f"Did you mean {' or '.join(near)}? " if near else ""
        raise ConfigError(
            f"no recipe {str(recipe)!r}. {meant}There are {', '.join(recipe_names())}, or give a .toml file of your own"
        )
    content = read_toml(path, give="a recipe")
    if "name" in content:
        raise ConfigError(f"{path}: name: no such key; the file's stem is the recipe's name")
    try:
        return Recipe.model_validate({"name": path.stem, **content})
    except ValidationError as exc:
        raise ConfigError("\n".join(_described(error, path) for error in exc.errors())) from exc


def _described(error: Any, path: Path) -> str:
    key = error["loc"]
    said = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        model = Override if key[0] == "override" else Recipe
        said = f"no such key; allowed are {', '.join(sorted(set(model.model_fields) - {'name'}))}"
    return f"{path}: {'.'.join(map(str, key))}{': ' if key else ''}{said}"


def _near(override: Override, operators: Sequence[tuple[str, str]]) -> str:
    if override.operator is not None and not any(re.fullmatch(override.operator, kind) for kind, _ in operators):
        return f"Its operators are {', '.join(sorted({kind for kind, _ in operators}))}"
    names = [tensor for _, tensor in operators]
    near = difflib.get_close_matches(
        re.sub(r"[\^$.*+?()\[\]|\\]", "", override.match or ""), names, n=_MOST_SHOWN, cutoff=0.3
    )
    return f"Near names: {', '.join(map(repr, near or names[:_MOST_SHOWN]))}"
