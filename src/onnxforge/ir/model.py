"""Models: a protobuf, its graphs as views, and where its weights are."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from onnx import FunctionProto, GraphProto, ModelProto

from onnxforge import storage
from onnxforge.ir import validity
from onnxforge.ir.graph import Graph
from onnxforge.ir.inference import Inference
from onnxforge.ir.node import Node
from onnxforge.ir.operators import PURE, RANDOM, UNKNOWN, Operator, domain_of
from onnxforge.ir.value import Value

if TYPE_CHECKING:
    from onnxforge.report import Report

Answer = TypeVar("Answer")


class Model:
    """An ONNX model.

    `proto` is the only copy of it.  Large payloads are not in it: their tensors say where on disk
    the bytes are, as external data; `to_proto` gives a copy that holds them.  Everything else here
    is a view, built when first asked for.  `report` says what `onnxforge.optimize` did to it.
    `path` is where it came from, if from a file, and `folder` what its external data is relative to.
    `minimums` are the sizes that symbols do not fall below, or the model as it came would fail;
    inference finds them.

    `checker`, if set, is asked before every replacement and may refuse it, and `admits` is asked
    about nodes that are to come in by one, and told which ones are to go.  `running` is the name of
    the pass at work; with `provenance` it is written into the metadata of every node the pass makes
    or changes.  `nbytes_before` is how large the model was when the run at work began.  `declined`
    counts why passes left things alone, and `idle` holds, beside the number of edits when it was
    found, which passes have nothing to do, each with what it declined.
    `facts` are what is remembered of constants during a run: see `recall`.
    """

    def __init__(self, proto: ModelProto, path: str | PathLike[str] | None = None) -> None:
        self.proto = proto
        self.path = Path(path).absolute() if path is not None else None
        self.folder = self.path.parent if self.path is not None else None
        self.minimums: dict[str, int] = {}
        self.names: set[str] = set()
        self.checker: Callable[[Value, Value], bool] | None = None
        self.admits: Callable[[Node, Iterable[Node]], bool] | None = None
        self.running: str | None = None
        self.provenance = False
        self.nbytes_before: int | None = None
        self.edits = 0
        self.declined: Counter[str] = Counter()
        self.report: Report | None = None
        self.idle: tuple[int, list[tuple[object, Mapping[str, int]]]] = (-1, [])
        self.facts: dict[tuple[Callable[[Value], Any], Value], Any] | None = None
        self.scratch = storage.Scratch()
        self._borrowed: tuple[storage.Scratch, ...] = ()
        self._original: bytes | None = None
        self._origin: storage.Origin | None = None
        self._definitions: dict[tuple[str, str, str], FunctionProto] = {}
        self._counter = 0
        # The graphs in order, and the number of edits when they were listed.
        self._listed: tuple[int, list[Graph]] | None = None

    def __repr__(self) -> str:
        return f"Model({self.proto.graph.name!r}, {len(self.proto.graph.node)} nodes)"

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Model:
        """The model in a file; its weights stay there until someone reads them.

        Raises `InvalidModelError` if the file is no ONNX model, `OSError` if it cannot be read.
        """
        proto, origin = storage.load_with_origin(path)
        model = cls(proto, path)
        model._origin = origin
        return model

    @classmethod
    def from_bytes(cls, data: bytes) -> Model:
        """The model in a string of bytes.  Raises `InvalidModelError` if they are none."""
        model = cls(storage.skeleton_from_bytes(data))
        model._original = data
        return model

    @property
    def nbytes(self) -> int:
        """How many bytes the model is as it stands, payloads included; counted at every call."""
        proto = self.settle()
        origin = self._origin
        if not self.edits and origin is not None and origin.elsewhere is not None:
            size: int = proto.ByteSize()
            if size == origin.size:  # else somebody wrote into the protobuf
                return size + origin.elsewhere
        return storage.model_nbytes(proto)

    @property
    def saved(self) -> int:
        """How many bytes less the model is than when the run at work began; 0 outside of one."""
        return self.nbytes_before - self.nbytes if self.nbytes_before is not None else 0

    # The graphs

    @cached_property
    def _views(self) -> tuple[Graph, list[Graph]]:
        validity.check_model(self.proto)
        with gc_paused():
            functions = [Graph(self, function) for function in self.proto.functions]
            graph = Graph(self, self.proto.graph)
        validity.check_calls(graph, functions)
        for info in self.proto.training_info:
            for binding in (*info.initialization_binding, *info.update_binding):
                graph.pin((binding.key, binding.value))
            for each in (info.initialization, info.algorithm):
                mentioned = _names_in(each)
                graph.pin(mentioned)
                self.names.update(mentioned)
        return graph, functions

    @property
    def graph(self) -> Graph:
        """The main graph.  Raises `InvalidModelError` if names dangle, clash or form a cycle."""
        return self._views[0]

    @property
    def functions(self) -> list[Graph]:
        """The bodies of the model's own functions."""
        return self._views[1]

    def graphs(self) -> Iterator[Graph]:
        """Every graph of the model: functions first, and bodies before what encloses them."""
        return iter(self._list())

    def _list(self) -> list[Graph]:
        if self._listed is None or self._listed[0] != self.edits:
            roots = (*self.functions, self.graph)
            self._listed = self.edits, [graph for root in roots for graph in root.nested()]
        return self._listed[1]

    @cached_property
    def opset_imports(self) -> dict[str, int]:
        """The opset version of each domain that the main graph uses; ONNX's own is ""."""
        return {domain_of(each.domain): each.version for each in self.proto.opset_import}

    @cached_property
    def inference(self) -> Inference:
        """What is known about the types, shapes and contents of values."""
        return Inference(self)

    def infer_anew(self) -> None:
        """Look again at values known in part: what was edited since may tell more of them."""
        self.inference.renew()

    def recall(self, question: Callable[[Value], Answer], value: Value) -> Answer:
        """What *question* says of the data of a constant, which is asked once in a run.

        Between runs data may be written to, and nothing is remembered.
        """
        if self.facts is None:
            return question(value)
        key = (question, value)
        if key not in self.facts:
            self.facts[key] = question(value)
        answer: Answer = self.facts[key]
        return answer

    @property
    def function_operators(self) -> Mapping[tuple[str, str], Operator]:
        """What may be done with calls of the model's own functions, by domain and name."""
        if self._function_operators is None:
            self._function_operators = {}
            operators = [f.operator for f in self.functions if f.operator is not None]
            # The worst is assumed, of calls of itself for good, until nothing better comes of it.
            self._function_operators = dict.fromkeys(operators, UNKNOWN)
            while (found := self._judged()) != self._function_operators:
                self._function_operators = found
        return self._function_operators

    def _judged(self) -> dict[tuple[str, str], Operator]:
        """What the functions are, given what `_function_operators` says of those they call."""
        found: dict[tuple[str, str], Operator] = {}
        for function in self.functions:
            assert function.operator is not None
            inner = [node.operator for node in function]
            inner += [found[function.operator]] if function.operator in found else []
            effects = any(each.effects for each in inner)
            random = not all(each.deterministic for each in inner)
            found[function.operator] = UNKNOWN if effects else RANDOM if random else PURE
        return found

    _function_operators: dict[tuple[str, str], Operator] | None = None

    def forget_function_operators(self) -> None:
        """Note that a function may do something else now."""
        self._function_operators = None

    def define(self, function: FunctionProto) -> bool:
        """Add a function: the body of a custom operator.

        True if the model has it now; False if the model has another one of that name.
        """
        key = (function.domain, function.name, function.overload)
        for known in self.functions:
            assert isinstance(known.proto, FunctionProto)
            if (known.proto.domain, known.proto.name, known.proto.overload) == key:
                # Passes may have improved the body since it was defined.
                given = self._definitions.get(key, known.proto)
                if _essence(given) != _essence(function):
                    return False
                if not self.is_defined(known):  # what was known from the calls of the file
                    for value in (
                        value for body in known.nested() for value in body.values.values()
                    ):
                        value.known = None
                    self._definitions[key] = FunctionProto.FromString(given.SerializeToString())
                return True
        self._definitions[key] = FunctionProto.FromString(function.SerializeToString())
        proto = self.proto.functions.add()
        proto.CopyFrom(function)
        # Functions came with version 8 of the format.
        self.proto.ir_version = max(self.proto.ir_version, 8)
        self.functions.append(Graph(self, proto))
        self._function_operators = None
        self.edits += 1
        return True

    def is_defined(self, function: Graph) -> bool:
        """Whether `define` was asked for a function, so that calls may come the file knows not."""
        assert isinstance(function.proto, FunctionProto)
        proto = function.proto
        return (proto.domain, proto.name, proto.overload) in self._definitions

    def fresh_name(self, stem: str) -> str:
        """A name no value of the model has."""
        _ = self._views  # which collects the names there are
        while True:
            self._counter += 1
            if (name := f"{stem}_{self._counter}") not in self.names:
                self.names.add(name)
                return name

    def freeze(self) -> int:
        """Take initializers off the list of inputs, so that callers can no longer override them.

        Returns how many there were.  The interface changes: only do so when asked to.
        """
        proto = self.commit().graph
        initialized = {tensor.name for tensor in proto.initializer}
        initialized |= {sparse.values.name for sparse in proto.sparse_initializer}
        kept = [info for info in proto.input if info.name not in initialized]
        frozen = len(proto.input) - len(kept)
        if frozen:
            proto.input.sort(key=lambda info: info.name in initialized)
            del proto.input[len(kept) :]
            # Before version 4 of the format every initializer had to be an input.
            self.proto.ir_version = max(self.proto.ir_version, 4)
            self.graph.__dict__.pop("input_names", None)
            for name in initialized:
                self.graph.values[name].known = None
            self.edits += 1
        return frozen

    # Leaving

    def settle(self) -> ModelProto:
        """The protobuf as it stands, perhaps in the middle of an edit."""
        if self.edits and "_views" in self.__dict__:
            for graph in self.graphs():
                graph.settle()
        return self.proto

    def commit(self) -> ModelProto:
        """The protobuf, brought up to date with all edits.  Large payloads are not in it."""
        if self.edits and "_views" in self.__dict__:
            for graph in self.graphs():
                graph.commit()
            self._raise_ir_version()
        return self.proto

    def _raise_ir_version(self) -> None:
        """Keep to the format: before its version 4 every initializer had to be an input."""
        if self.proto.ir_version < 4 and any(
            not value.is_input for graph in self.graphs() for value in graph.initializers
        ):
            self.proto.ir_version = 4
            if not self.proto.opset_import:  # until version 3 that meant opset 1
                self.proto.opset_import.add(version=1)

    def copy(self) -> Model:
        """An independent model; the weights on disk are shared, not copied."""
        proto = ModelProto()
        proto.CopyFrom(self.commit())
        model = Model(proto, self.path)
        model._borrowed = (*self._borrowed, self.scratch)
        model._original = self._original
        model._origin = self._origin
        return model

    def restore(self, earlier: Model) -> None:
        """Become again what *earlier*, a copy, is; views taken since are void."""
        proto = self.proto
        proto.CopyFrom(earlier.commit())
        state = vars(earlier.copy()) | {"proto": proto}
        vars(self).clear()
        vars(self).update(state)

    def to_proto(self) -> ModelProto:
        """A copy of the protobuf that holds all payloads.

        Raises `InvalidModelError` beyond protobuf's limit of 2 GiB: `save` such models.
        """
        return storage.materialize(self.commit(), self.folder)

    def to_bytes(self) -> bytes:
        """The serialized model, payloads included; if nothing changed, the very bytes it was.

        Raises `InvalidModelError` beyond protobuf's limit of 2 GiB: `save` such models.
        """
        proto = self.commit()
        if self._original is not None and proto == ModelProto.FromString(self._original):
            return self._original
        return storage.to_bytes(proto, self.folder)

    def save(self, path: str | PathLike[str], *, external_data: bool | None = None) -> None:
        """Write the model: whole, or not at all.

        A model nothing changed in is written byte for byte as it came.  *external_data* says
        whether weights go to a file of their own, `<name>.data` beside the model; if None, they do
        where they already were, or where the model would exceed 2 GiB otherwise.
        """
        proto = self.commit()
        if self._original is not None and not external_data:
            storage.write(Path(path), self.to_bytes())
            return
        storage.save(
            proto,
            Path(path),
            folder=self.folder,
            source=self.path,
            origin=self._origin,
            external_data=external_data,
        )


def load(path: str | PathLike[str]) -> Model:
    """The model in a file; its weights stay there until someone reads them.

    Raises `InvalidModelError` if the file is no ONNX model, `OSError` if it cannot be read.
    """
    return Model.load(path)


def _names_in(graph: GraphProto) -> dict[str, None]:
    """Every name that a graph or its bodies mention."""
    names: dict[str, None] = {}
    pending = [graph]
    for each in pending:
        for info in (*each.input, *each.output, *each.initializer):
            names[info.name] = None
        for node in each.node:
            names |= dict.fromkeys((*node.input, *node.output))
            for attribute in node.attribute:
                pending += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
    names.pop("", None)
    return names


def _essence(function: FunctionProto) -> FunctionProto:
    """The function without imports of domains that it does not use."""
    copy = FunctionProto()
    copy.CopyFrom(function)
    del copy.opset_import[:]
    used = {node.domain for node in function.node}
    for entry in sorted(function.opset_import, key=lambda entry: entry.domain):
        if entry.domain in used:
            copy.opset_import.add().CopyFrom(entry)
    return copy


@contextmanager
def gc_paused() -> Iterator[None]:
    """Leave garbage for later: views are many small objects that refer to each other and stay."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
