"""What is known of a runtime's mistakes, one data file for each runtime, and where a model has them.

The lint says what ONNX Runtime, say, would do to a model that is right.  It proves nothing about
models it is silent on: run those at each level, as `verify --levels` does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import metadata, resources

from onnxforge.errors import OnnxForgeError
from onnxforge.ir import Model
from onnxforge.lint.rules import RULES


@dataclass(frozen=True, slots=True)
class Known:
    """A mistake that versions of a runtime from `since` to `until` make, None for no end.

    `what` says what goes wrong, from the runtime's optimization `level` on, and `source` where
    that is known from.  To `disable` optimizers, or to add `settings` to a session's configuration,
    helps; `remedy` may be another way out.
    """

    name: str
    what: str
    level: str
    source: str
    since: str | None = None
    until: str | None = None
    disable: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    remedy: str = ""

    def concerns(self, version: str) -> bool:
        """Whether a version, such as 1.31 or 1.31.1, makes the mistake."""
        given = _numbers(version)
        since, until = _numbers(self.since or "0"), _numbers(self.until or "")
        return since <= given and given[: len(until)] <= until

    @property
    def advice(self) -> str:
        """What helps, in a few words."""
        ways = []
        if self.disable:
            ways.append(f"load it with disabled_optimizers={list(self.disable)!r}")
        ways += [f"set {key} to {value!r} for the session" for key, value in self.settings.items()]
        return " ".join([*ways, self.remedy]).strip()


@dataclass(frozen=True, slots=True)
class Finding:
    """A place in a model that a runtime miscompiles: `node` is the last of the nodes concerned."""

    node: str
    known: Known

    def __str__(self) -> str:
        return (
            f"{self.node}: {self.known.what}, from level {self.known.level} on; {self.known.advice}"
        )


@lru_cache(None)
def known(runtime: str = "onnxruntime") -> tuple[Known, ...]:
    """What is known of a runtime's mistakes.  Raises `OnnxForgeError` if it is none we know."""
    path = resources.files(__package__) / f"{runtime}.json"
    if not path.is_file():
        raise OnnxForgeError(f"nothing is known of what {runtime!r} miscompiles")
    data = json.loads(path.read_text("utf-8"))
    return tuple(
        Known(name, **{**entry, "disable": tuple(entry.get("disable", ()))})
        for name, entry in data.items()
    )


def lint(model: Model, version: str | None = None, runtime: str = "onnxruntime") -> list[Finding]:
    """Where *model* has what *version* of a runtime is known to miscompile.

    Without, the version is that installed; bodies and functions are searched too.  Raises
    `OnnxForgeError` if there is no such runtime or version.
    """
    given = version or installed(runtime)
    concerned = [each for each in known(runtime) if each.concerns(given)]
    return [
        Finding(repr(node), each)
        for graph in model.graphs()
        for each in concerned
        for node in RULES[each.name].find(graph)
    ]


def installed(runtime: str = "onnxruntime") -> str:
    """The installed version of a runtime.  Raises `OnnxForgeError` if it is not installed."""
    try:
        return metadata.version(runtime)
    except metadata.PackageNotFoundError:
        raise OnnxForgeError(f"{runtime} is not installed: say which version is meant") from None


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version, `1.31.1` or `1.32.0.dev3`, up to what is no number."""
    numbers: list[int] = []
    for part in filter(None, version.split(".")):
        if not part.isdecimal():
            break
        numbers.append(int(part))
    if version and not numbers:
        raise OnnxForgeError(f"{version!r} is no version: write it as 1.31 or 1.31.1")
    return tuple(numbers)
