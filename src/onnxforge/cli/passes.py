"""`onnxforge passes [NAME]`."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from typing import Annotated

import typer

from onnxforge import registry
from onnxforge.cli.text import columns, lines, one_line
from onnxforge.errors import PassError
from onnxforge.passes import Pass, Pipeline
from onnxforge.rewrite import RewritePass


def passes(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The pass to describe.")
    ] = None,
) -> None:
    """List the installed passes, or describe one: options, defaults, and what it looks for."""
    found = _list() if name is None else _describe(name)
    print("\n".join(found))


def _list() -> Iterator[str]:
    rows = []
    for name in sorted(registry.installed()):
        try:
            rows.append((name, _summary(registry.load(name))))
        except PassError as error:
            # One package that is broken must not hide all others.
            rows.append((name, f"BROKEN: {one_line(str(error))}"))
    return iter(columns(rows))


def _describe(name: str) -> Iterator[str]:
    found = registry.load(name)
    owner = registry.installed()[name].dist
    source = f", from {owner.name} {owner.version}" if owner is not None else ""
    yield f"{name}{source}"
    yield ""
    if isinstance(found, Pipeline):
        yield from lines(found.description or "Several passes, one after the other.")
        yield ""
        yield "Passes:"
        yield from columns([(each.name, each.summary()) for each in found.leaves()], "  ")
        return
    cls = found if isinstance(found, type) else type(found)
    yield from lines(inspect.cleandoc(cls.__doc__ or "No description."))
    if options := cls.options():
        yield ""
        yield "Options:"
        types = {
            # A text, or the type itself, as the module of the pass has it.
            each.name: getattr(each.type, "__name__", str(each.type))
            for each in dataclasses.fields(cls)  # type: ignore[arg-type]  # it has options
        }
        yield from columns(
            [
                (
                    option,
                    types[option],
                    "required" if default is dataclasses.MISSING else f"default {default!r}",
                )
                for option, default in options.items()
            ],
            "  ",
        )
    if issubclass(cls, RewritePass):
        yield ""
        yield "Replaces:"
        for pattern in cls.patterns():
            yield from (f"  {line}" for line in lines(str(pattern).strip()))


def _summary(found: type[Pass] | Pass) -> str:
    if isinstance(found, Pipeline):
        return found.description or f"{len(list(found.leaves()))} passes, one after the other."
    return found.summary()
