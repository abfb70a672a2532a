"""Finding passes: everyone's, ours included, come in through one group of entry points."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from onnxforge.errors import DuplicatePassError, PassError, PassOptionError, UnknownPassError
from onnxforge.passes import Pass

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "onnxforge.passes"


@lru_cache(None)
def installed() -> dict[str, EntryPoint]:
    """The entry points of all installed passes by name, none of them loaded yet.

    Raises `DuplicatePassError` if two distributions claim one name.
    """
    from importlib.metadata import entry_points  # reads mail headers, and imports all for it

    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda p: (p.name, p.value)):
        known = found.setdefault(point.name, point)
        if known.value != point.value:
            raise DuplicatePassError(
                f"two distributions register a pass {point.name!r}: {_owner(known)} with "
                f"{known.value} and {_owner(point)} with {point.value}; uninstall one of them"
            )
    return found


def _owner(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "an unnamed one"


def load(name: str) -> type[Pass] | Pass:
    """What is registered under *name*: a pass class, or a pipeline.

    Raises `UnknownPassError` if nothing is, `PassError` if it cannot be imported or is no pass.
    """
    point = installed().get(name)
    if point is None:
        raise UnknownPassError(f"no pass called {name!r}; `onnxforge passes` lists them")
    try:
        found = _imported(point)
    except Exception as error:
        raise PassError(
            f"pass {name!r} of {_owner(point)} cannot be imported from {point.value}: {error}"
        ) from error
    if isinstance(found, Pass) or (isinstance(found, type) and issubclass(found, Pass)):
        return found
    raise PassError(f"{point.value} of {_owner(point)}, registered as {name!r}, is no Pass")


@lru_cache(None)
def _imported(point: EntryPoint) -> Any:
    return point.load()


def create(spec: str) -> Pass:
    """The pass a text asks for: a name, or a name and options, `constant-folding(max_bytes=0)`.

    Raises `UnknownPassError` or `PassOptionError`, saying what there is instead.
    """
    name, options = _parse(spec)
    found = load(name)
    if isinstance(found, Pass):
        if options:
            raise PassOptionError(f"{name} is a pipeline and has no options")
        return found
    return found.build(**options)


def resolve(passes: str | Pass | Iterable[str | Pass]) -> list[Pass]:
    """The passes meant by a text such as `"standard, constant-folding(max_bytes=0)"`, a pass, or
    several of either; an empty text means none.

    Raises `UnknownPassError` or `PassOptionError` as `create` does, `TypeError` for anything else.
    """
    if isinstance(passes, str):
        return [create(spec) for spec in _split(passes)]
    if isinstance(passes, Pass):
        return [passes]
    if isinstance(passes, type) and issubclass(passes, Pass):
        return [passes.build()]
    if not isinstance(passes, Iterable):
        raise TypeError(f"{passes!r} is no pass: give names, Pass objects, or a sequence of both")
    return [each for item in passes for each in resolve(item)]


def _split(specs: str) -> list[str]:
    """Split at the commas that are in no brackets and no quotes."""
    parts, depth, quote = [""], 0, ""
    for character in specs:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append("")
            continue
        parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def _parse(spec: str) -> tuple[str, dict[str, Any]]:
    """Split `name(option=value, ...)`; the values are Python literals, or bare words as strings."""
    name, bracket, _ = spec.partition("(")
    if not bracket:
        return spec.strip(), {}
    call = f"_({spec.strip()[len(name.lstrip()) + 1 :]}"
    try:
        tree = ast.parse(call, mode="eval").body
    except SyntaxError:
        tree = None
    if not isinstance(tree, ast.Call) or tree.args or any(k.arg is None for k in tree.keywords):
        raise PassOptionError(f"cannot read {spec!r}: write NAME or NAME(option=value, ...)")
    options: dict[str, Any] = {}
    for keyword in tree.keywords:
        assert keyword.arg is not None
        if keyword.arg in options:
            raise PassOptionError(f"cannot read {spec!r}: {keyword.arg} is given twice")
        try:
            options[keyword.arg] = (
                keyword.value.id
                if isinstance(keyword.value, ast.Name)
                else ast.literal_eval(keyword.value)
            )
        except ValueError:
            raise PassOptionError(f"cannot read {spec!r}: {keyword.arg} needs a literal") from None
    return name.strip(), options
