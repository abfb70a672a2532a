"""The interface contract: what callers of a model rely on, and no pass may change.

A caller feeds inputs by name, reads outputs by position, overrides initializers, and looks up
metadata.  None of it is the optimizer's to give away, so it is recorded before a run and compared
after: a breach is a defect of a pass, found here even if the numbers agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from onnx import GraphProto, ModelProto, StringStringEntryProto, ValueInfoProto

from onnxforge.errors import InterfaceError
from onnxforge.ir import Model
from onnxforge.ir.operators import domain_of


@dataclass(frozen=True)
class Interface:
    """What callers rely on, each part as it is serialized.

    `inputs` and `outputs` are in order, with element types, shapes, symbolic dimension names,
    denotations and doc strings; `overridable` are the initializers a caller may replace.
    """

    inputs: tuple[tuple[str, bytes], ...]
    outputs: tuple[tuple[str, bytes], ...]
    overridable: dict[str, bytes]
    model: dict[str, str]
    metadata: dict[str, str]
    graph_metadata: dict[str, str]
    opset_imports: dict[str, int]
    annotations: dict[str, bytes]

    @classmethod
    def of(cls, model: Model) -> Interface:
        """The interface of a model as it is now."""
        proto = model.commit()
        graph = proto.graph
        declared = {info.name for info in graph.input}
        return cls(
            tuple(map(_declaration, graph.input)),
            tuple(map(_declaration, graph.output)),
            {t.name: t.SerializeToString() for t in graph.initializer if t.name in declared},
            _descriptions(proto, graph),
            _entries(proto.metadata_props),
            _entries(graph.metadata_props),
            {entry.domain: entry.version for entry in proto.opset_import},
            {a.tensor_name: a.SerializeToString() for a in graph.quantization_annotation},
        )

    def raised(self, opset: int) -> Interface:
        """The same with another version of ONNX's own operators, which a user asked for."""
        own = {domain: opset for domain in self.opset_imports if domain_of(domain) == ""}
        return replace(self, opset_imports=self.opset_imports | own)

    def breaches(self, after: Interface) -> Iterator[str]:
        """What *after* changed that it must not have, one sentence each."""
        for what in ("inputs", "outputs"):
            before, now = getattr(self, what), getattr(after, what)
            names, names_now = [name for name, _ in before], [name for name, _ in now]
            if names != names_now:
                yield f"the {what} were {', '.join(names)} and are {', '.join(names_now)}"
                continue
            for (name, declaration), (_, declared) in zip(before, now, strict=True):
                if declaration != declared:
                    yield f"the declaration of {name!r}, one of the {what}, has changed"
        for name, tensor in self.overridable.items():
            if after.overridable.get(name) != tensor:
                yield f"the initializer {name!r}, which callers may override, has changed or gone"
        for what in ("model", "metadata", "graph_metadata", "opset_imports"):
            before, now = getattr(self, what), getattr(after, what)
            for key, value in before.items():
                if now.get(key) != value:
                    kind = what.replace("_", " ")
                    yield f"{kind}: {key!r} was {value!r} and is {now.get(key)!r}"
        for name, annotation in self.annotations.items():
            if after.annotations.get(name, annotation) != annotation:
                yield f"the quantization annotation of {name!r} has changed"

    def check(self, model: Model) -> None:
        """Raise `InterfaceError` if *model* no longer keeps to this interface."""
        if breaches := list(self.breaches(Interface.of(model))):
            raise InterfaceError(f"a pass changed the model's interface: {'; '.join(breaches)}")


def _declaration(info: ValueInfoProto) -> tuple[str, bytes]:
    return info.name, info.SerializeToString(deterministic=True)


def _descriptions(proto: ModelProto, graph: GraphProto) -> dict[str, str]:
    return {
        "producer name": proto.producer_name,
        "producer version": proto.producer_version,
        "domain": proto.domain,
        "version": str(proto.model_version),
        "doc string": proto.doc_string,
        "graph name": graph.name,
        "graph doc string": graph.doc_string,
    }


def _entries(entries: list[StringStringEntryProto]) -> dict[str, str]:
    return {entry.key: entry.value for entry in entries}
