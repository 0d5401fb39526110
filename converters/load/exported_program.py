"""What reading an exported program (.pt2) would run, found without PyTorch.

``torch.export.load`` reads weights as raw bytes, but it unpickles whatever the archive marks as pickled, evaluates symbolic shapes as
Python (``sympy.sympify``) and guards too (``exec``), and looks up any name below ``torch`` as an operator (``torch/export/pt2_archive``,
``torch/_export/serde/serialize.py`` of PyTorch 2.13). So each of these is read here first, and only what computes on tensors passes.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from converters.load.archive import ZIP_ERRORS, refuse_large
from edge_sdk.errors import ModelError

_MAX_JSON_BYTES = 256 << 20
_MAX_DEPTH = 100
_OPERATORS = re.compile(
    r"torch\.ops\.(aten|prims|quantized_decomposed)\.\w+\.\w+"
    r"|torch\.ops\.higher_order\.(wrap_with_set_grad_enabled|wrap_with_autocast)"
    r"|torch\.sym_\w+|torch\._C\._set_grad_enabled|math\.(trunc|floor|ceil|sqrt)"
    r"|_operator\.(add|sub|mul|truediv|floordiv|mod|pow|neg|pos|ge|gt|le|lt|eq|ne|and_|or_|not_|getitem)"
)
_NOT_COMPUTING = re.compile(r"file|save|load|print", re.IGNORECASE)
_IN_FORMULAS = (
    *("Symbol", "Integer", "Rational", "Float", "Add", "Mul", "Pow", "Mod", "PythonMod", "FloorDiv", "CleanDiv", "CeilDiv"),
    *("Max", "Min", "ModularIndexing", "Where", "CeilToInt", "FloorToInt", "PowByNatural", "LShift", "RShift", "floor", "ceiling"),
)  # fmt: skip
_SYMBOL = re.compile(r"[a-z]+\d+")
_FORMULA_NODES = (
    ast.Expression,
    ast.Constant,
    ast.Load,
    ast.BinOp,
    ast.UnaryOp,
    ast.operator,
    ast.unaryop,
    ast.keyword,
)
_GUARD_NODES = (*_FORMULA_NODES, ast.Compare, ast.cmpop, ast.BoolOp, ast.boolop, ast.Subscript)
_TREES = (None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")


def what_it_runs(path: Path) -> str | None:
    """Why reading the .pt2 may run code that came with it; None if it does not.

    Raises:
        ModelError: if it is no whole exported program.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            refuse_large(archive)
            return next(_reasons(archive), None)
    except ZIP_ERRORS as exc:
        raise ModelError(f"it is no whole exported program: {exc}. Save it again with torch.export.save") from exc


def rewrite(path: Path, copy: Path) -> None:
    """Write the archive anew, every member once: PyTorch's own reader must not find another one than was looked at."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(copy, "w") as made:
        for name in dict.fromkeys(source.namelist()):
            with source.open(name) as member, made.open(name, "w", force_zip64=True) as into:
                shutil.copyfileobj(member, into, 1 << 20)


def _reasons(archive: zipfile.ZipFile) -> Iterator[str]:
    names = [name for name in archive.namelist() if not name.endswith("/")]
    if len({name.lower() for name in names}) != len(names):  # PyTorch's reader does not tell upper from lower case
        raise ModelError("a member stands in it twice; save it again with torch.export.save")
    graphs = [name for name in names if re.search(r"(^|/)(models/[^/]+|serialized_exported_program)\.json$", name)]
    if not graphs:
        raise ModelError("there is no exported program in it (models/model.json); save one with torch.export.save")
    for name in names:
        if "/data/aotinductor/" in name or "/data/executorch/" in name:
            yield f"it holds machine code ({name})"
        if re.search(r"/(custom_obj|opaque_obj)_?\d*$", name):
            yield f"it holds a pickled object ({name})"
        if name.endswith("_config.json"):
            yield from _pickled(_json(archive, name))
    for name in graphs:
        yield from _of_graph(_json(archive, name), 0)


def _json(archive: zipfile.ZipFile, name: str) -> Any:
    with archive.open(name) as file:
        content = file.read(_MAX_JSON_BYTES + 1)
    if len(content) > _MAX_JSON_BYTES:
        raise ModelError(f"{name} in it has more than {_MAX_JSON_BYTES:,} bytes")
    try:
        return json.loads(content)
    except RecursionError as exc:
        raise ModelError(f"{name} in it is nested without end") from exc


def _pickled(config: Any) -> Iterator[str]:
    entries = config.get("config") if isinstance(config, dict) else None
    for name, entry in entries.items() if isinstance(entries, dict) else ():
        if not isinstance(entry, dict) or entry.get("use_pickle") is not False:
            yield f"{name} is stored as a pickle"


def _of_graph(part: Any, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        raise ModelError(f"its graph is nested more than {_MAX_DEPTH} deep")
    if isinstance(part, dict):
        for key, value in part.items():
            yield from _of_entry(key, value)
            yield from _of_graph(value, depth + 1) if key != "metadata" else ()
    elif isinstance(part, list):
        for value in part:
            yield from _of_graph(value, depth + 1)


def _of_entry(key: str, value: Any) -> Iterator[str]:
    if key in ("target", "as_operator") and isinstance(value, str):
        if not _OPERATORS.fullmatch(value) or _NOT_COMPUTING.search(value):
            yield f"it calls {value}, which is no operator on tensors"
    elif key == "expr_str" and not _is_formula(value):
        yield f"a shape in it is the Python expression {value!r}"
    elif key == "guards_code" and isinstance(value, list):
        yield from (f"a guard in it is the Python expression {guard!r}" for guard in value if not _is_guard(guard))
    elif key in ("in_spec", "out_spec") and isinstance(value, str) and value:
        yield from (
            f"it builds a {kind} for its inputs or outputs" for kind in _tree(json.loads(value)) if kind not in _TREES
        )


def _tree(part: Any) -> Iterator[str | None]:
    if isinstance(part, dict):
        yield None if part.get("type") is None else str(part["type"])
        yield from _tree(part.get("children_spec"))
    elif isinstance(part, list):
        for each in part:
            yield from _tree(each)


def _is_formula(text: Any) -> bool:
    """Whether it is arithmetic on symbols and numbers, as SymPy writes it."""
    parsed = _parse(text)
    return parsed is not None and all(_in_formula(node) for node in ast.walk(parsed))


def _in_formula(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name)
    if isinstance(node, ast.Name):
        return node.id in _IN_FORMULAS or _SYMBOL.fullmatch(node.id) is not None
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float) or (
            isinstance(node.value, str) and bool(_SYMBOL.fullmatch(node.value))
        )
    return isinstance(node, _FORMULA_NODES)


def _is_guard(text: Any) -> bool:
    """Whether it compares sizes, such as ``L['x'].size()[0] >= 2``."""
    parsed = _parse(text)
    return parsed is not None and all(_in_guard(node) for node in ast.walk(parsed))


def _in_guard(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and not node.args and not node.keywords
    if isinstance(node, ast.Attribute):
        return node.attr == "size"
    if isinstance(node, ast.Name):
        return node.id == "L"
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float) or (isinstance(node.value, str) and node.value.isidentifier())
    return isinstance(node, _GUARD_NODES)


def _parse(text: Any) -> ast.Expression | None:
    try:
        return ast.parse(text, mode="eval") if isinstance(text, str) and len(text) < 10_000 else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
