"""Targets: runtimes, and the providers of a runtime, by the operators they have kernels for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import onnx

from onnxforge.ir import Model, Node


@dataclass(frozen=True, slots=True)
class Kernel:
    """One implementation of an operator.

    It serves opset versions from `since` to `until`, None for no end, and first inputs of the
    element types in `dtypes`, `TensorProto.DataType`s, None for any.  `needs` are conditions
    beyond types, of those in `conditions`.
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
    it stands for all operators of ONNX's own domains.  `passes` are those to optimize for it with;
    `runtime` is what `lint` knows the mistakes of, if it knows any.  `rest` is the target that runs
    what this one leaves, as the CPU does for a provider.
    """

    name: str
    title: str
    source: str
    kernels: Mapping[tuple[str, str], Sequence[Kernel]] | None
    passes: tuple[str, ...] = ("standard",)
    runtime: str | None = None
    rest: Target | None = None

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
            if not target.kernels_for(node) and not (target.rest and target.rest.kernels_for(node)):
                found[f"{node.domain}:{node.op_type}" if node.domain else node.op_type] = None
    return list(found)
