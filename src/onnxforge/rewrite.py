"""Passes that replace every occurrence of a pattern."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, ClassVar

from onnxforge.builder import Builder, Decline
from onnxforge.errors import PassError
from onnxforge.ir import Graph, Node, Value
from onnxforge.passes import Pass
from onnxforge.pattern import Match, Pattern

_MOST = 32
"""Replacements for each node: more are no progress."""


class RewritePass(Pass):
    """Replaces every occurrence of a pattern.

    `pattern` draws the subgraph to find; a class may have several, each a method whose name starts
    with `pattern`.  `rewrite` draws what to put in its place and returns one value for each that
    the pattern returns, or raises `Decline` to leave this occurrence alone.  A parameter of
    `rewrite` named like a pattern variable receives the value bound to it, or None; one named
    `match` receives the `Match`, with the nodes.

    The values inside an occurrence must not be read elsewhere, lest they be computed twice; a pass
    that gains even then sets `shared`.
    """

    shared: ClassVar[bool] = False

    @abstractmethod
    def pattern(self, op: Any, *variables: Any) -> Any:
        """Draw the subgraph to find."""

    @abstractmethod
    def rewrite(self, op: Any, *variables: Any) -> Any:
        """Draw the subgraph to put in its place."""

    @classmethod
    def patterns(cls) -> tuple[Pattern, ...]:
        """The patterns, traced, in the order they are tried."""
        return _traced(cls)

    @classmethod
    def concerns(cls, op_types: frozenset[str]) -> bool:
        """Whether these are all the operators of a pattern, and maybe more."""
        return any(map(op_types.issuperset, _needs(cls)))

    def run(self, graph: Graph) -> int:
        """Replace every occurrence in *graph*; return how many there were.

        Raises `PassError` if there is no end to them.
        """
        most = _MOST * (len(graph) + _MOST)
        by_root: dict[str, list[Pattern]] = {}
        for pattern in self.patterns():
            if graph.op_types >= pattern.operators:
                by_root.setdefault(pattern.root.op_type, []).append(pattern)
        wanted = _parameters(type(self))
        work = deque(graph.calls(*by_root))
        changes = 0
        while work:
            node = work.popleft()
            for pattern in by_root[node.op_type]:
                if node.graph is not graph:
                    break
                match = pattern.match(node, shared=self.shared)
                if match is None:
                    continue
                touched = self._rewrite(graph, match, wanted)
                if touched is not None:
                    changes += 1
                    if changes > most:
                        raise PassError(
                            f"{changes} replacements in graph {graph.proto.name!r}, and no end: the"
                            " pattern matches what takes its place; raise Decline where it is that"
                        )
                    work.extend(each for each in touched if each.op_type in by_root)
        return changes

    def _rewrite(self, graph: Graph, match: Match, wanted: Sequence[str]) -> list[Node] | None:
        """Try one occurrence; the nodes worth another look if it was replaced, else None."""
        op = Builder(graph, before=match.root)
        rewrite: Callable[..., Any] = self.rewrite
        bound = {**match.values, "match": match}
        try:
            result = rewrite(op, **{name: bound.get(name) for name in wanted})
        except Decline as reason:
            graph.decline(str(reason))
            op.undo()
            return None
        except BaseException:
            op.undo()
            raise
        if not all(graph.admits(node, match.outputs) for node in op.nodes):
            op.undo()
            return None
        new: tuple[Value, ...] = result if isinstance(result, tuple) else (result,)
        pairs = zip(match.outputs, new, strict=True)
        replaced = [value for old, value in pairs if graph.replace(old, value)]
        op.undo()
        if not replaced:
            return None
        return [*op.nodes, *_readers(replaced)]


def _readers(values: list[Value]) -> Iterator[Node]:
    for value in values:
        yield from value.consumers


@lru_cache(None)
def _parameters(cls: type[RewritePass]) -> tuple[str, ...]:
    """What `rewrite` asks for besides `self` and `op`."""
    _, _, *wanted = inspect.signature(cls.rewrite).parameters
    return tuple(wanted)


@lru_cache(None)
def _needs(cls: type[RewritePass]) -> tuple[frozenset[str], ...]:
    """The operators of each pattern."""
    return tuple(pattern.operators for pattern in _traced(cls))


@lru_cache(None)
def _traced(cls: type[RewritePass]) -> tuple[Pattern, ...]:
    names = [name for base in reversed(cls.__mro__) for name in vars(base)]
    written = [name for name in dict.fromkeys(names) if name == "pattern" or name[:8] == "pattern_"]
    instance = object.__new__(cls)  # patterns describe the class: no option is set
    return tuple(Pattern(getattr(instance, name)) for name in written)
