"""Targets: runtimes, and the providers of a runtime, by the operators they have kernels for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import onnx
from onnx import TensorProto

from onnxforge.errors import OnnxForgeError
from onnxforge.ir import Model, Node


@dataclass(frozen=True, slots=True)
class Kernel:
    """One implementation of an operator.

    It serves opset versions from `since` to `until`, None for no end, and first inputs of the
    element types in `dtypes`, `TensorProto.DataType`s, None for any.  `needs` are conditions
    beyond types, of those `partition` knows.
    """

    since: int = 1
    until: int | None = None
    dtypes: frozenset[int] | None = None
    needs: tuple[str, ...] = ()

    def serves(self, version: int | None, dtype: int | None) -> bool:
        """Whether the kernel is for this opset version and element type, None being unknown."""
        if version is not None and not self.since <= version <= (self.until or version):
            return False
        return self.dtypes is None or dtype is None or dtype in self.dtypes


@dataclass(frozen=True, slots=True)
class Target:
    """A place where models run.

    `source` says where the table of `kernels`, by (domain, operator), comes from; None in place of
    it stands for all operators of ONNX's own domains.  `passes` are those to optimize for it with.
    """

    name: str
    title: str
    source: str
    kernels: Mapping[tuple[str, str], Sequence[Kernel]] | None
    passes: tuple[str, ...] = ("standard",)

    def runs(
        self,
        op_type: str,
        domain: str = "",
        dtypes: Sequence[int | None] = (),
        version: int | None = None,
    ) -> bool:
        """Whether the target has a kernel for an operator.

        *dtypes* are the element types of the inputs, None where unknown, and *version* is the
        opset version of the domain.
        """
        if self.kernels is None:
            return domain in ("", "ai.onnx.ml") and onnx.defs.has(op_type, domain)
        first = dtypes[0] if dtypes else None
        return any(k.serves(version, first) for k in self.kernels.get((domain, op_type), ()))

    def kernels_for(self, node: Node) -> list[Kernel]:
        """The kernels that could run a node, as far as operator, opset and element type tell."""
        if self.kernels is None:
            return [Kernel()] if self.runs(node.op_type, node.domain) else []
        first = node.inputs[0] if node.inputs else None
        dtype = first.dtype if first is not None else None
        known = self.kernels.get((node.domain, node.op_type), ())
        return [kernel for kernel in known if kernel.serves(node.version, dtype)]


def strangers(before: Iterable[tuple[str, str]], model: Model, target: Target) -> list[str]:
    """The operators of a model that were not there *before* and that *target* has no kernel for."""
    known = dict.fromkeys([*before, ("", "Constant")])
    found: dict[str, None] = {}
    for graph in model.graphs():
        for node in graph:
            operator = (node.domain, node.op_type)
            if operator in known or operator in model.function_operators:
                continue
            if not target.kernels_for(node):
                found[f"{node.domain}:{node.op_type}" if node.domain else node.op_type] = None
    return list(found)


def names() -> list[str]:
    """The targets there are data files for."""
    found = resources.files("onnxforge.targets").joinpath("data").iterdir()
    return sorted(each.name.removesuffix(".json") for each in found if each.name[-5:] == ".json")


@lru_cache(None)
def load(name: str) -> Target:
    """The target called *name*.  Raises `OnnxForgeError` if there is none."""
    if name not in names():
        raise OnnxForgeError(f"no target called {name!r}; there are {', '.join(names())}")
    text = resources.files("onnxforge.targets").joinpath("data", f"{name}.json").read_text("utf-8")
    data = json.loads(text)
    kernels: Mapping[tuple[str, str], Sequence[Kernel]] | None = None
    if "like" in data:
        kernels = load(data["like"]).kernels
    elif data["operators"] is not None:
        kernels = {
            _operator(key): tuple(map(_kernel, entries))
            for key, entries in data["operators"].items()
        }
    passes = tuple(data.get("passes", ("standard",)))
    return Target(name, data["title"], data["source"], kernels, passes)


def _operator(key: str) -> tuple[str, str]:
    """The domain and operator of `com.microsoft:FusedConv`, or of `Conv`."""
    domain, _, op_type = key.rpartition(":")
    return domain, op_type


def _kernel(entry: Mapping[str, Any]) -> Kernel:
    dtypes = entry.get("dtypes")
    return Kernel(
        entry.get("since", 1),
        entry.get("until"),
        None if dtypes is None else frozenset(TensorProto.DataType.Value(d) for d in dtypes),
        tuple(entry.get("needs", ())),
    )
