"""Graphs: nodes in order, values by name, and the one verb that edits them.

Every change of meaning goes through `Graph.replace`, so what must be right on every edit - use
lists, names, dead code, the signature, the check - happens in one place, once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import FunctionProto, GraphProto, NodeProto, TensorProto, TypeProto, ValueInfoProto

from onnxforge.errors import InvalidModelError
from onnxforge.ir import order
from onnxforge.ir.node import Node
from onnxforge.ir.operators import make_attribute
from onnxforge.ir.value import Value
from onnxforge.storage import from_array

if TYPE_CHECKING:
    import numpy.typing as npt

    from onnxforge.ir.model import Model

PROVENANCE = "onnxforge.pass"
"""The metadata key under which a node says which pass made it, or changed it last."""

# The operators of ONNX's own domain that carry graphs in their attributes.
GRAPH_OPERATORS = frozenset({"If", "Loop", "Scan", "SequenceMap"})


class Graph:
    """The main graph, the body of a control-flow node, or the body of a function.

    `owner` is the node a body belongs to and `outer` the graph around it; both are None for the
    main graph and for functions.  `operator` is the (domain, name) of the operator a function
    defines, None for everything else.
    """

    def __init__(
        self,
        model: Model,
        proto: GraphProto | FunctionProto,
        outer: Graph | None = None,
        owner: Node | None = None,
    ) -> None:
        self.model = model
        self.proto = proto
        self.outer = outer
        self.owner = owner
        self.operator: tuple[str, str] | None = None
        if isinstance(proto, FunctionProto):
            self.operator = (proto.domain, proto.name)
        self.values: dict[str, Value] = {}
        self._first: Node | None = None
        self._last: Node | None = None
        self._length = 0
        # The nodes of the edit in progress: those added since the last one was done.
        self._recent: dict[Node, None] = {}
        self._is_edit_done = False
        # What the next commit has to settle.
        self._is_dirty = False
        self._fresh: dict[Node, None] = {}
        self._orphans: dict[str, None] = {}
        self._is_unsorted = False
        self._connect(self._declare())

    def __repr__(self) -> str:
        return f"Graph({self.proto.name!r}, {self._length} nodes)"

    # Building

    def _declare(self) -> list[Node]:
        """Create every node and value, so that names resolve whatever the order."""
        values = self.values
        for name in self.input_names:
            values[name] = Value(self, name)
        if isinstance(self.proto, GraphProto):
            for tensor in self.proto.initializer:
                name = tensor.name
                value = values.get(name)
                if value is None:
                    value = values[name] = Value(self, name)
                elif value.initializer is not None:
                    raise self._defined_twice(name)
                value.initializer = tensor
            for sparse in self.proto.sparse_initializer:
                values.setdefault(sparse.values.name, Value(self, sparse.values.name))
        nodes = []
        for proto in self.proto.node:
            node = Node(None, proto)
            # A slice makes one list of all names, which costs a third less than iterating.
            names = proto.output[:]
            node.outputs = tuple([Value(self, name, node) for name in names])
            for value in node.outputs:
                name = value.name
                if name in values:
                    raise self._defined_twice(name)
                if name:
                    values[name] = value
            nodes.append(node)
        self.model.names.update(values)
        return nodes

    def _connect(self, nodes: list[Node]) -> None:
        """Point every node at its inputs, and its bodies at this graph."""
        for node in nodes:
            self._attach(node)
            self._link(node, before=None)
        for name in self.output_names:
            value = self.resolve(name, "returns")
            value.output_of = (*value.output_of, self)
        if isinstance(self.proto, GraphProto) and self.proto.quantization_annotation:
            for annotation in self.proto.quantization_annotation:
                self.pin(entry.value for entry in annotation.quant_parameter_tensor_names)
        if self._is_unsorted:
            self._relink(order.topological(self, nodes))

    def _attach(self, node: Node) -> None:
        get = self.values.get
        proto = node.proto
        inputs: list[Value | None] = []
        for name in proto.input[:]:
            value = get(name)
            if value is None:
                if not name:
                    inputs.append(None)
                    continue
                value = self.resolve(name, "reads")
            value.consumers[node] = None
            producer = value.producer
            # A node gets its graph once it is connected, which tells whether they are sorted.
            if producer is not None and producer.graph is None:
                value.graph._is_unsorted = True
            inputs.append(value)
        node.inputs = tuple(inputs)
        if node.op_type in GRAPH_OPERATORS or node.domain:
            bodies = []
            for attribute in proto.attribute:
                if attribute.HasField("g"):
                    bodies.append(Graph(self.model, attribute.g, self, node))
                bodies.extend(Graph(self.model, each, self, node) for each in attribute.graphs)
            node.subgraphs = tuple(bodies)
        node.graph = self

    def _defined_twice(self, name: str) -> InvalidModelError:
        return InvalidModelError(
            f"graph {self.proto.name!r} defines {name!r} twice: every value needs a name of its own"
        )

    def pin(self, names: Iterable[str]) -> None:
        """Keep values that something other than a node refers to by name."""
        for name in names:
            if (value := self.values.get(name)) is not None:
                value.output_of = (*value.output_of, self)

    # Reading

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Node]:
        """The nodes in order.  Nodes may come and go meanwhile."""
        node = self._first
        while node is not None:
            if node.graph is self:
                yield node
            node = node._next

    def __reversed__(self) -> Iterator[Node]:
        node = self._last
        while node is not None:
            if node.graph is self:
                yield node
            node = node._previous

    @cached_property
    def input_names(self) -> dict[str, None]:
        """The names of the declared inputs, in order."""
        return dict.fromkeys(map(_declared_name, self.proto.input))

    @property
    def output_names(self) -> list[str]:
        """The names of the declared outputs, in order."""
        return [_declared_name(output) for output in self.proto.output]

    @property
    def inputs(self) -> tuple[Value, ...]:
        """The declared inputs, in order."""
        return tuple(self.values[name] for name in self.input_names)

    @property
    def outputs(self) -> tuple[Value, ...]:
        """The declared outputs, in order."""
        return tuple(self.resolve(name, "returns") for name in self.output_names)

    @property
    def initializers(self) -> list[Value]:
        """The values that have an initializer, overridable ones included, in order."""
        return [value for value in self.values.values() if value.initializer is not None]

    @cached_property
    def opset_imports(self) -> dict[str, int]:
        """The opset version of each domain; ONNX's own is ""."""
        if self.outer is not None:
            return self.outer.opset_imports
        function = isinstance(self.proto, FunctionProto)
        imports = (self.proto if function else self.model.proto).opset_import
        return {"" if e.domain == "ai.onnx" else e.domain: e.version for e in imports}

    def recorded_types(self) -> dict[str, TypeProto]:
        """The types the file records: hints, which inference may contradict."""
        if isinstance(self.proto, FunctionProto):
            return {info.name: info.type for info in self.proto.value_info}
        infos = (*self.proto.value_info, *self.proto.input, *self.proto.output)
        return {info.name: info.type for info in infos}

    def resolve(self, name: str, verb: str = "reads") -> Value:
        """The value called *name*, here or in an enclosing graph."""
        graph: Graph | None = self
        while graph is not None:
            if (value := graph.values.get(name)) is not None:
                return value
            graph = graph.outer
        raise InvalidModelError(
            f"graph {self.proto.name!r} {verb} {name!r}, which nothing defines: "
            "the file is incomplete, or was cut in the wrong place"
        )

    def sees(self, value: Value) -> bool:
        """Whether nodes of this graph may read *value*: it is here or in an enclosing graph."""
        graph: Graph | None = self
        while graph is not None:
            if graph is value.graph:
                return True
            graph = graph.outer
        return False

    # Editing

    def replace(self, old: Value, new: Value) -> bool:
        """Let *new* stand wherever *old* stood, and drop what nothing needs any more.

        True if it was done.  False, and nothing happens, if *old* is an output of the graph that
        *new* cannot be, or if the model's checker finds that they differ.  *new* may be computed
        from *old*, which is how one inserts nodes after a value.

        A value just created takes over the old name, so nodes that read it keep their bytes and
        whatever is known of its type stays known.  Passes never delete: what becomes dead goes
        with the replacement, and only that.
        """
        if old is new or not old.graph.sees(new):
            return False
        if old.is_output and (
            old.producer is None
            or new.producer is None
            or new.is_output
            or new.graph is not old.graph
        ):
            return False
        if self.model.checker is not None and not self.model.checker(old, new):
            return False
        takes_name = old.is_output or (
            not new.is_used
            and not new.is_input
            and old.producer is not None
            and new.graph is old.graph
        )
        if new.known is None:
            new.known = old.known
        exempt = self._made_from(new)
        for node in [node for node in old.consumers if node not in exempt]:
            for index, value in enumerate(node.inputs):
                if value is old:
                    node.set_input(index, new)
        if takes_name:
            name, spare = old.name, new.name
            old.output_of, new.output_of = (), old.output_of
            old.rename(f"{name}~")
            new.rename(name)
            old.rename(spare)
        new.graph._is_edit_done = True
        self.touch()
        self.sweep([old])
        return True

    def _made_from(self, new: Value) -> dict[Node, None]:
        """The nodes just added that *new* is computed by: they go on reading what it replaces."""
        exempt: dict[Node, None] = {}
        stack = [new.producer]
        while stack:
            node = stack.pop()
            if node is None or node in exempt or node.graph is None:
                continue
            if node.graph is new.graph and (node is new.producer or node in node.graph._recent):
                exempt[node] = None
                stack.extend(value.producer for value in node.inputs if value is not None)
        return exempt

    def add_node(
        self,
        op_type: str,
        inputs: Iterable[Value | None],
        *,
        domain: str = "",
        outputs: int = 1,
        before: Node | None = None,
        like: Node | None = None,
        **attributes: Any,
    ) -> Node:
        """A new node ahead of *before*, or last.

        *like* lends its name, its metadata and those attributes not given here; an attribute given
        as None is left out.
        """
        self.import_opset(domain)
        proto = self.proto.node.add(op_type=op_type, domain=domain)
        version = self.opset_imports.get(domain, 1)
        if like is not None:
            proto.name = like.proto.name
            proto.doc_string = like.proto.doc_string
            proto.attribute.extend(a for a in like.proto.attribute if a.name not in attributes)
            proto.metadata_props.extend(like.proto.metadata_props)
        for name, value in attributes.items():
            if value is not None:
                proto.attribute.append(make_attribute(name, value, op_type, domain, version))
        inputs = list(inputs)
        while inputs and inputs[-1] is None:
            inputs.pop()
        proto.input.extend(value.name if value is not None else "" for value in inputs)
        proto.output.extend(self.model.fresh_name(op_type) for _ in range(outputs))
        return self.adopt(proto, before)

    def adopt(self, proto: NodeProto, before: Node | None = None) -> Node:
        """Index a node that was just added to this graph's protobuf, ahead of *before*, or last."""
        node = Node(None, proto)
        node.outputs = tuple(Value(self, name, node) for name in proto.output)
        for value in node.outputs:
            if value.name:
                self.values[value.name] = value
                self.model.names.add(value.name)
        self._attach(node)
        for value in node.inputs:
            if value is not None:
                self.uncover(value)
        if self._is_edit_done:
            self._recent.clear()
            self._is_edit_done = False
        self._recent[node] = None
        self._fresh[node] = None
        self._link(node, before)
        self.touch(node)
        return node

    def constant(self, array: npt.ArrayLike, name: str = "constant") -> Value:
        """A new constant: an initializer or, since functions have none, a Constant node."""
        fresh = self.model.fresh_name(name)
        tensor = from_array(np.asarray(array), fresh, self.model.scratch)
        return self.add_tensor(tensor)

    def add_tensor(self, tensor: TensorProto) -> Value:
        """A new constant from its protobuf, which is copied; its name must be free."""
        if isinstance(self.proto, FunctionProto):
            return self.add_node("Constant", (), before=self._first, value=tensor).output
        proto = self.proto.initializer.add()
        proto.CopyFrom(tensor)
        value = self.values[tensor.name] = Value(self, tensor.name)
        value.initializer = proto
        self.model.names.add(tensor.name)
        self.touch()
        return value

    def prune(self) -> int:
        """Remove the nodes no output depends on; return how many there were.

        Nodes whose operator may have effects stay, and what they read.
        """
        before = self._length
        for node in reversed(self):
            if not any(value.is_used for value in node.outputs) and not node.operator.effects:
                self._drop(node)
        return before - self._length

    def sweep(self, values: Iterable[Value]) -> None:
        """Remove the nodes and initializers behind *values* that nothing uses any more."""
        for value in values:
            if value.is_used:
                continue
            if value.producer is None:
                self._orphan(value)
            elif value.producer.graph is not None and not any(
                output.is_used for output in value.producer.outputs
            ):
                value.producer.graph._drop(value.producer)

    def _drop(self, node: Node) -> None:
        """Remove an unread node, then whatever only it read."""
        doomed = [node]
        while doomed:
            leaving = doomed.pop()
            graph = leaving.graph
            if graph is None or any(value.is_used for value in leaving.outputs):
                continue
            graph._unlink(leaving)
            for value in leaving.outputs:
                if graph.values.get(value.name) is value:
                    del graph.values[value.name]
            for value in _release(leaving):
                if value.is_used:
                    continue
                producer = value.producer
                if producer is None:
                    value.graph._orphan(value)
                elif producer.graph is not None and not producer.operator.effects:
                    doomed.append(producer)

    def _orphan(self, value: Value) -> None:
        """Drop an initializer nobody reads any more, unless a caller may override it."""
        if value.initializer is None or value.is_input:
            return
        if self.values.get(value.name) is value:
            del self.values[value.name]
            self._orphans[value.name] = None
            self.touch()

    def dissolve(self) -> None:
        """Let go of everything outside that this graph's nodes read; it is of no use afterwards."""
        for node in list(self):
            _release(node)
        for value in self.outputs:
            value.output_of = tuple(graph for graph in value.output_of if graph is not self)

    def import_opset(self, domain: str, version: int = 1) -> None:
        """Make sure nodes of this graph may call operators of *domain*."""
        if domain in self.opset_imports:
            return
        graph = self
        while graph.outer is not None:
            graph = graph.outer
        proto = graph.proto if isinstance(graph.proto, FunctionProto) else graph.model.proto
        proto.opset_import.add(domain=domain, version=version)
        graph.opset_imports[domain] = version
        if isinstance(graph.proto, FunctionProto):
            self.model.graph.import_opset(domain, version)

    def decline(self, reason: str) -> None:
        """Note why a pass left something alone, for the report."""
        self.model.declined[reason] += 1

    def touch(self, node: Node | None = None) -> None:
        """Note that the graph, and maybe one *node* of it, was edited."""
        self._is_dirty = True
        self.model.edits += 1
        if node is not None and self.model.provenance and self.model.running is not None:
            entries = {entry.key: entry for entry in node.proto.metadata_props}
            entry = entries.get(PROVENANCE) or node.proto.metadata_props.add(key=PROVENANCE)
            entry.value = self.model.running

    def rename_declarations(self, value: Value, name: str) -> None:
        """Rename a value where bodies declare it: their inputs and outputs go by position."""
        bodies = [(graph, "output") for graph in value.output_of if graph.outer is not None]
        if self.outer is not None and value.is_input:
            bodies.append((self, "input"))
        for graph, field in bodies:
            for declaration in getattr(graph.proto, field):
                if declaration.name == value.name:
                    declaration.name = name
            graph.__dict__.pop("input_names", None)

    def uncover(self, value: Value) -> None:
        """Rename whatever hides *value* from a node of this graph that now reads it by name."""
        graph = self
        while graph is not value.graph and graph.outer is not None:
            hiding = graph.values.get(value.name)
            if hiding is not None:
                hiding.rename(self.model.fresh_name(value.name))
            graph = graph.outer

    # The order of nodes

    def _link(self, node: Node, before: Node | None) -> None:
        previous = before._previous if before is not None else self._last
        node._previous, node._next = previous, before
        if previous is not None:
            previous._next = node
        else:
            self._first = node
        if before is not None:
            before._previous = node
        else:
            self._last = node
        self._length += 1

    def _unlink(self, node: Node) -> None:
        before, after = node._previous, node._next
        if before is not None:
            before._next = after
        else:
            self._first = after
        if after is not None:
            after._previous = before
        else:
            self._last = before
        node.graph = None
        self._fresh.pop(node, None)
        self._length -= 1
        self.touch()

    def _relink(self, nodes: Iterable[Node]) -> None:
        self._first = self._last = None
        self._length = 0
        for node in nodes:
            self._link(node, before=None)

    def commit(self) -> None:
        """Put the protobuf's nodes in graph order, and drop whatever has left the graph."""
        if self._is_dirty:
            order.settle(self)
            self._is_dirty = False
            self._fresh.clear()
            self._orphans.clear()


def _declared_name(declaration: ValueInfoProto | str) -> str:
    """Graphs declare inputs and outputs as `ValueInfoProto`, functions as bare names."""
    return declaration if isinstance(declaration, str) else declaration.name


def _release(node: Node) -> list[Value]:
    """Let go of all a departing node and its bodies read; return what lives outside of them."""
    released: dict[Value, None] = {}
    leaving = [node]
    while leaving:
        node = leaving.pop()
        for value in node.inputs:
            if value is not None:
                value.consumers.pop(node, None)
                released[value] = None
        for body in node.subgraphs:
            leaving.extend(body)
            for value in body.outputs:
                value.output_of = tuple(graph for graph in value.output_of if graph is not body)
                released[value] = None
    return list(released)
