"""Finding targets: those with a file here, those of installed packages, and any file one names."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnx import TensorProto

from onnxforge.errors import TargetError
from onnxforge.targets.conditions import CONDITIONS
from onnxforge.targets.target import Kernel, Target

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "onnxforge.targets"

_KEYS = frozenset({"title", "source", "passes", "operators", "like", "needs", "runtime", "rest"})
_KERNEL_KEYS = frozenset({"since", "until", "dtypes", "needs", "note"})


def names() -> list[str]:
    """The targets there are: ours, and those that installed packages register."""
    return sorted({*_ours(), *_registered()})


def load(name: str | PathLike[str]) -> Target:
    """The target called *name* or, if that ends in `.json`, the one of this file.

    Raises `TargetError` if there is none, or its file is none of a target.
    """
    name = os.fspath(name)
    return read(Path(name)) if name.endswith(".json") else _load(name)


def read(path: Path) -> Target:
    """The target that a file describes; its name is the file's.

    Raises `TargetError`, naming the file and what is wrong in it.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise TargetError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise TargetError(f"{path}: no JSON: {error}") from error
    try:
        return _target(path.stem, data)
    except _Mistake as mistake:
        raise TargetError(f"{path}: {mistake}") from mistake


class _Mistake(Exception):  # noqa: N818 - becomes an error once the file is known
    """What is wrong in a file."""


def _target(name: str, data: Any) -> Target:
    _expect(data, _KEYS, "a target")
    for key in ("title", "source"):
        if not isinstance(data.get(key), str) or not data[key]:
            raise _Mistake(f"it needs a text as {key!r}")
    for key in ("runtime", "rest"):
        if not isinstance(data.get(key), str | None):
            raise _Mistake(f"its {key!r} is no name")
    passes = data.get("passes", ["standard"])
    if not _is_texts(passes):
        raise _Mistake("its 'passes' are no list of names")
    if ("like" in data) == ("operators" in data):
        raise _Mistake("it needs either 'operators' or the name of a target they are 'like'")
    if "like" in data:
        kernels = load(data["like"]).kernels
    elif data["operators"] is None:
        kernels = None
    else:
        _expect(data["operators"], None, "operators")
        kernels = {
            _operator(key): tuple(_kernels(key, entries, data.get("needs", [])))
            for key, entries in data["operators"].items()
        }
    texts = (data["title"], data["source"])
    rest = load(data["rest"]) if data.get("rest") else None
    return Target(name, *texts, kernels, tuple(passes), data.get("runtime"), rest)


def _operator(key: str) -> tuple[str, str]:
    """The domain and operator of `com.microsoft:FusedConv`, or of `Conv`."""
    domain, _, op_type = key.rpartition(":")
    return domain, op_type


def _kernels(operator: str, entries: Any, needs: Any) -> list[Kernel]:
    if not isinstance(entries, list):
        raise _Mistake(f"the kernels of {operator} are no list")
    return [_kernel(operator, entry, needs) for entry in entries]


def _kernel(operator: str, entry: Any, needs: Any) -> Kernel:
    _expect(entry, _KERNEL_KEYS, f"a kernel of {operator}")
    since, until = entry.get("since", 1), entry.get("until")
    if not isinstance(since, int) or not isinstance(until, int | None):
        raise _Mistake(f"'since' and 'until' of {operator} are no opset versions")
    own, dtypes = entry.get("needs", []), entry.get("dtypes")
    if not _is_texts(own) or not _is_texts(needs):
        raise _Mistake(f"what {operator} 'needs' is no list of conditions")
    for need in (*needs, *own):
        if need not in CONDITIONS:
            known = ", ".join(map(repr, CONDITIONS))
            raise _Mistake(f"{operator} needs {need!r}, which is not known; there are {known}")
    if dtypes is not None and not _is_texts(dtypes):
        raise _Mistake(f"the 'dtypes' of {operator} are no list of names")
    known_dtypes: Mapping[str, int] = dict(TensorProto.DataType.items())
    for dtype in dtypes or ():
        if dtype not in known_dtypes:
            raise _Mistake(f"ONNX has no element type {dtype!r}, which {operator} is to take")
    types = None if dtypes is None else frozenset(known_dtypes[dtype] for dtype in dtypes)
    return Kernel(since, until, types, (*needs, *own))


def _expect(data: Any, keys: frozenset[str] | None, what: str) -> None:
    if not isinstance(data, dict):
        raise _Mistake(f"{what} should be a JSON object")
    unknown = [key for key in data if keys is not None and key not in keys]
    if unknown:
        raise _Mistake(f"{what} has no {unknown[0]!r}; it may have {', '.join(sorted(keys or ()))}")


def _is_texts(data: Any) -> bool:
    return isinstance(data, list) and all(isinstance(each, str) for each in data)


@lru_cache(None)
def _load(name: str) -> Target:
    point = _registered().get(name)
    if name in _ours():
        with resources.as_file(resources.files(__package__) / "data" / f"{name}.json") as path:
            return read(path)
    if point is None:
        raise TargetError(
            f"no target called {name!r}; there are {', '.join(names())}, or give a .json file"
        )
    try:
        found = point.load()
    except Exception as error:
        raise TargetError(
            f"target {name!r} cannot be loaded from {point.value}: {error}"
        ) from error
    if not isinstance(found, Target):
        raise TargetError(f"{point.value}, registered as the target {name!r}, is no Target")
    return found


@lru_cache(None)
def _ours() -> tuple[str, ...]:
    found = (resources.files(__package__) / "data").iterdir()
    return tuple(each.name[:-5] for each in found if each.name.endswith(".json"))


@lru_cache(None)
def _registered() -> dict[str, EntryPoint]:
    """The entry points of targets by name, none of them loaded yet."""
    from importlib.metadata import entry_points  # reads mail headers, and imports all for it

    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda p: (p.name, p.value)):
        if point.name in _ours() or found.setdefault(point.name, point).value != point.value:
            raise TargetError(
                f"{point.value} registers a target {point.name!r}, and there is another one of "
                "that name; uninstall one of them"
            )
    return found
