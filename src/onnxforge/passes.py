"""Passes: named, in-place transformations of a graph."""

from __future__ import annotations

import dataclasses
import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

from onnxforge.errors import PassOptionError
from onnxforge.ir import Graph, Model


class Pass(ABC):
    """A named, in-place transformation of one graph.

    Options are dataclass fields, the docstring is the documentation, and the name is the class's
    own in kebab case.  The manager visits every graph of the model - functions and control-flow
    bodies included, innermost first - so a pass never recurses.
    """

    name: ClassVar[str]
    operators: ClassVar[tuple[str, ...]] = ()
    """What the operators are called of which a graph must have one for the pass to find anything
    there; empty if any graph will do.  The others are left out."""

    def __init_subclass__(cls) -> None:
        cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__).lower()

    @abstractmethod
    def run(self, graph: Graph) -> int:
        """Transform *graph* and return the number of changes made."""

    def apply(self, model: Model) -> int:
        """Transform every graph of *model* and return the number of changes made."""
        return sum(self.run(graph) for graph in model.graphs() if self.concerns(graph.op_types))

    @classmethod
    def concerns(cls, op_types: frozenset[str]) -> bool:
        """Whether the pass may find anything in a graph that calls these operators and no others."""
        return not cls.operators or not op_types.isdisjoint(cls.operators)

    def leaves(self) -> Iterator[Pass]:
        """The passes to run, in order: of a pipeline, its parts."""
        yield self

    @classmethod
    def summary(cls) -> str:
        """The first sentence of the documentation."""
        return inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0].replace("\n", " ")

    @classmethod
    def options(cls) -> dict[str, Any]:
        """The options by name, with their defaults."""
        if not dataclasses.is_dataclass(cls):
            return {}
        return {
            each.name: each.default_factory()
            if each.default_factory is not dataclasses.MISSING
            else each.default
            for each in dataclasses.fields(cls)
            if each.init
        }

    @classmethod
    def build(cls, **options: Any) -> Pass:
        """The pass with these options.  Raises `PassOptionError` if it has no such, or needs more."""
        known = cls.options()
        for name, default in known.items():
            if default is dataclasses.MISSING and name not in options:
                raise PassOptionError(f"{cls.name} needs {name}: write {cls.name}({name}=value)")
        for name, value in options.items():
            if name not in known:
                has = ", ".join(known) or "none"
                raise PassOptionError(f"{cls.name} has no option {name!r}; its options: {has}")
            default = known[name]
            fits = isinstance(value, type(default)) or default is None
            if isinstance(default, float) and isinstance(value, int):
                fits = True
            if isinstance(value, bool) and not isinstance(default, bool | None):
                fits = False
            if not fits and default is not dataclasses.MISSING:
                raise PassOptionError(
                    f"{cls.name}: {name}={value!r} should be of type {type(default).__name__}"
                )
        return cls(**options)


class Pipeline(Pass):
    """Several passes, one after the other; a pipeline is itself a pass."""

    def __init__(self, *passes: Pass, description: str = "") -> None:
        self.passes = passes
        self.description = description
        self._leaves = tuple(leaf for each in passes for leaf in each.leaves())

    def __repr__(self) -> str:
        return f"Pipeline({', '.join(map(repr, self.passes))})"

    def run(self, graph: Graph) -> int:
        """Run each pass on *graph*, once."""
        return sum(each.run(graph) for each in self.passes)

    def apply(self, model: Model) -> int:
        """Run each pass on every graph of *model*, once."""
        return sum(each.apply(model) for each in self.passes)

    def leaves(self) -> Iterator[Pass]:
        """The passes to run, in order, those of inner pipelines included."""
        yield from self._leaves
