"""Graphs: nodes in order, values by name, and the one verb that edits them.

Every change of meaning goes through `Graph.replace`, so what must be right on every edit - use
lists, names, dead code, the signature, the check - happens in one place, once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import (
    FunctionProto,
    GraphProto,
    NodeProto,
    SparseTensorProto,
    TensorProto,
    TypeProto,
)

from onnxforge.errors import InvalidModelError
from onnxforge.ir import building, naming, order, removal
from onnxforge.ir.node import Node
from onnxforge.ir.operators import domain_of, make_attribute, schema
from onnxforge.ir.sequence import Sequence
from onnxforge.ir.value import Value
from onnxforge.storage import from_array

if TYPE_CHECKING:
    import numpy.typing as npt

    from onnxforge.ir.model import Model

PROVENANCE = "onnxforge.pass"
"""The metadata key under which a node says which pass made it, or changed it last."""

_EARLY_CONSTANTS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)

_NOT_LENT = ("input", "output", "domain", "overload", "device_configurations")

MAX_NESTING = 64
"""How deep bodies may be inside each other, so that walking them is safe."""


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
        self.depth: int = outer.depth + 1 if outer is not None else 0
        if self.depth > MAX_NESTING:
            raise InvalidModelError(
                f"graph {proto.name!r} is the body of a body of a body, {self.depth} deep: "
                f"protobuf reads no file with more than 32, and this library no more than {MAX_NESTING}"
            )
        self.operator: tuple[str, str] | None = None
        if isinstance(proto, FunctionProto):
            self.operator = (proto.domain, proto.name)
        self.values: dict[str, Value] = {}
        self._nodes = Sequence()
        # The nodes that have bodies, so that finding those takes no walk.
        self._owners: dict[Node, None] = {}
        self._is_unsorted = False
        # What the next commit has to settle.
        self._is_dirty = False
        self._fresh: dict[Node, None] = {}
        self.has_orphans = False
        # What is captured, and the number of edits when that was found out.
        self._captured: tuple[int, dict[Value, None]] = -1, {}
        building.build(self)

    def __repr__(self) -> str:
        return f"Graph({self.proto.name!r}, {len(self)} nodes)"

    def pin(self, names: Iterable[str]) -> None:
        """Keep values that something other than a node refers to by name."""
        for name in names:
            if (value := self.values.get(name)) is not None:
                value.output_of = (*value.output_of, self)

    # Reading

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Node]:
        """The nodes in order.  Nodes may come and go meanwhile."""
        return iter(self._nodes)

    def __reversed__(self) -> Iterator[Node]:
        return reversed(self._nodes)

    @property
    def op_types(self) -> frozenset[str]:
        """What the operators are called that the nodes call, of whatever domain."""
        return self._nodes.op_types

    def has(self, op_type: str) -> bool:
        """Whether a node calls an operator so called, of whatever domain."""
        return self._nodes.has(op_type)

    def calls(self, *op_types: str) -> Iterator[Node]:
        """The nodes that call operators so called, in order, which takes no walk of the graph.

        Nodes may go meanwhile; those that come are left out.
        """
        return (node for node in self._nodes.of(op_types) if node.graph is self)

    @cached_property
    def input_names(self) -> dict[str, None]:
        """The names of the declared inputs, in order."""
        return dict.fromkeys(map(building.declared_name, self.proto.input))

    @property
    def output_names(self) -> list[str]:
        """The names of the declared outputs, in order."""
        return [building.declared_name(output) for output in self.proto.output]

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
        if isinstance(self.proto, FunctionProto):
            return {domain_of(each.domain): each.version for each in self.proto.opset_import}
        return self.model.opset_imports

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
        """Whether nodes of this graph may read *value*: it is, still, here or in one around it."""
        home = value.graph
        return (home is self or home.encloses(self)) and home.values.get(value.name) is value

    def encloses(self, graph: Graph | None) -> bool:
        """Whether *graph* is this one, or inside of it at whatever depth."""
        while graph is not None and graph is not self:
            graph = graph.outer
        return graph is not None

    def owner_in(self, graph: Graph) -> Node:
        """The node of *graph* that this body belongs to, at whatever depth."""
        assert self.owner is not None
        return self.owner.holder_in(graph)

    def nested(self) -> Iterator[Graph]:
        """The graphs inside this one, bodies before what encloses them, and then itself."""
        found, todo = [], [self]
        while todo:
            found.append(graph := todo.pop())
            for node in sorted(graph._owners, key=lambda owner: owner._position):
                todo.extend(node.subgraphs)
        return reversed(found)

    def captured(self) -> dict[Value, None]:
        """The values from around this graph that it, or a body in it, reads or returns."""
        todo = [self] if self._captured[0] != self.model.edits else []
        while todo:
            graph = todo[-1]
            bodies = [body for node in graph._owners for body in node.subgraphs]
            unknown = [body for body in bodies if body._captured[0] != self.model.edits]
            todo += unknown
            if not unknown:
                read = (value for node in graph for value in node.inputs)
                inner = (value for body in bodies for value in body._captured[1])
                found = (v for v in (*read, *graph.outputs, *inner) if v is not None)
                values = dict.fromkeys(v for v in found if v.graph is not graph)
                todo.pop()._captured = self.model.edits, values
        return dict(self._captured[1])

    # Editing

    def replace(self, old: Value, new: Value) -> bool:
        """Let *new* stand wherever *old* stood, and drop what nothing needs any more.

        True if it was done.  False, and nothing happens, if *old* is an output of the graph that
        *new* cannot be, if one of them is not there any more, if the model does not admit the node
        that makes *new*, or if its checker finds that they differ.  *new* may be computed from
        *old*, which is how one inserts nodes after a value: what *new* is computed by goes on
        reading *old*.  A *new* inside a body stands for an *old* around it there, and only there.

        A value just created takes over the old name, so nodes that read it keep their bytes and
        whatever is known of its type stays known.  Passes never delete: what becomes dead goes
        with the replacement, and only that.
        """
        home = old.graph
        if old is new or not home.sees(old):
            return False
        scope = home
        if not home.sees(new):
            scope = new.graph
            if not (scope.sees(old) and scope.sees(new)):
                return False
        returned = [graph for graph in old.output_of if scope.encloses(graph)]
        if returned and (
            old.producer is None
            or new.producer is None
            or new.is_output
            or new.graph is not home
            or _is_sparse(new.producer)
        ):
            return False
        around = scope.owner_in(new.graph) if new.graph is not scope else None
        makers = order.upstream(new, old.producer if new.graph is home else around)
        if around is not None and around in makers:
            return False
        readers = [
            node
            for node in old.consumers
            if scope.encloses(node.graph) and node.holder_in(scope) not in makers
        ]
        returns = tuple([g for g in returned if g is scope or g.owner_in(scope) not in makers])
        if old.is_used and not readers and not returns:
            return False
        if new.producer is not None and not self.admits(new.producer, (old,)):
            return False
        if self.model.checker is not None and not self.model.checker(old, new):
            return False
        takes_name = bool(returns) or (
            not new.is_used and not new.is_input and old.producer is not None and new.graph is home
        )
        self.model.inference.inherit(old, new)
        for node in readers:
            for index, value in enumerate(node.inputs):
                if value is old:
                    node.set_input(index, new)
        if returns:
            new.output_of = returns
            old.output_of = tuple(graph for graph in old.output_of if graph not in returns)
            home._is_unsorted |= any(graph is not home for graph in returns)
        if takes_name:
            old.swap_names(new)
        if new.is_constant:
            self.model.inference.look_again(new)
        home.touch()
        home.sweep([old])
        return True

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

        Raises `InvalidModelError` if an input is out of sight: inside a body, or not there any
        more.
        """
        domain = domain_of(domain)
        inputs = list(inputs)
        for read in inputs:
            if read is not None:
                self.expect(read)
                if read.graph is not self:
                    naming.uncover(self, read)
        self.import_opset(domain)
        version = self.opset_imports[domain]
        known = schema(op_type, domain, version)
        # A Loop has a condition, if one without a name.
        while inputs and inputs[-1] is None and (known is None or len(inputs) > known.min_input):
            inputs.pop()
        made = [
            make_attribute(name, value, op_type, domain, version)
            for name, value in attributes.items()
            if value is not None
        ]
        proto = self.proto.node.add()
        if like is not None:
            # All at once, and what is not wanted dropped: one by one takes several times as long.
            proto.CopyFrom(like.proto)
            for field in _NOT_LENT:
                proto.ClearField(field)
            proto.name, proto.doc_string = like.proto.name, like.proto.doc_string
            if (like.domain, like.op_type) == (domain, op_type):
                proto.overload = like.proto.overload
            for index in reversed(range(len(proto.attribute) if attributes else 0)):
                if proto.attribute[index].name in attributes:
                    del proto.attribute[index]
        proto.op_type = op_type
        if domain:
            proto.domain = domain
        proto.attribute.extend(made)
        proto.input.extend([value.name if value is not None else "" for value in inputs])
        proto.output.extend([self.model.fresh_name(op_type) for _ in range(outputs)])
        return self.adopt(proto, before)

    def adopt(self, proto: NodeProto, before: Node | None = None) -> Node:
        """Index a node that was just added to this graph's protobuf, ahead of *before*, or last."""
        node = Node(None, proto)
        node.outputs = tuple(Value(self, name, node) for name in proto.output)
        for value in node.outputs:
            if value.name in self.values:
                raise building.defined_twice(self, value.name)
            if value.name:
                self.values[value.name] = value
                self.model.names.add(value.name)
        building.attach(self, node)
        self._fresh[node] = None
        self._nodes.insert(node, before)
        self._check_order(node)
        self.touch(node)
        self.model.forget_function_operators()
        return node

    def _check_order(self, node: Node) -> None:
        """Note if a node comes before what it, or a body of it, reads."""
        inner = [value for body in node.subgraphs for value in body.captured()]
        for value in (*node.inputs, *inner):
            if value is not None and value.producer is not None and not value.is_ahead_of(node):
                value.graph._is_unsorted = True

    def constant(self, array: npt.ArrayLike, name: str = "constant") -> Value:
        """A new constant: an initializer or, where there can be none, a Constant node."""
        fresh = self.model.fresh_name(name)
        tensor = from_array(np.asarray(array), fresh, self.model.scratch)
        return self.add_tensor(tensor)

    def add_tensor(self, tensor: TensorProto, name: str | None = None) -> Value:
        """A new constant from its protobuf, which is copied; its name, or *name*, must be free."""
        if isinstance(self.proto, FunctionProto) or self._prefers_nodes(tensor.data_type):
            return self.add_node("Constant", (), before=self._nodes.first, value=tensor).output
        name = name or tensor.name
        if name in self.values:
            raise building.defined_twice(self, name)
        proto = self.proto.initializer.add()
        proto.CopyFrom(tensor)
        proto.name = name
        value = self.values[name] = Value(self, name)
        value.initializer = proto
        self.model.names.add(name)
        self.touch()
        return value

    def _prefers_nodes(self, dtype: int) -> bool:
        """Whether a new constant should be a Constant, lest the version of the format rises.

        Before version 4 an initializer had to be an input too, and runtimes took it for constant;
        from 4 on callers may override those that are inputs.  Before opset 9 a Constant was a float.
        """
        if self.model.proto.ir_version >= 4:
            return False
        return self.opset_imports.get("", 1) >= 9 or dtype in _EARLY_CONSTANTS

    def add_sparse_tensor(self, tensor: SparseTensorProto, name: str) -> Value:
        """A new sparse initializer or, in a function, Constant node; the protobuf is copied."""
        if isinstance(self.proto, FunctionProto):
            return self.add_node(
                "Constant", (), before=self._nodes.first, sparse_value=tensor
            ).output
        proto = self.proto.sparse_initializer.add()
        proto.CopyFrom(tensor)
        proto.values.name = name
        value = self.values[name] = Value(self, name)
        self.touch()
        return value

    def sparse_tensor(self, value: Value) -> SparseTensorProto | None:
        """The sparse initializer that *value* is, if it is one."""
        found = getattr(self.proto, "sparse_initializer", ())
        return next((tensor for tensor in found if tensor.values.name == value.name), None)

    def prune(self) -> int:
        """Remove the nodes no output depends on; return how many there were.

        Nodes whose operator may have effects stay, and what they read.
        """
        return removal.prune(self)

    def sweep(self, values: Iterable[Value]) -> None:
        """Remove the nodes and initializers behind *values* that nothing uses any more."""
        removal.sweep(values)

    def import_opset(self, domain: str, version: int | None = None) -> None:
        """Make sure nodes of this graph may call operators of *domain*.

        One that is not imported yet comes at *version*; by default at that which the model imports
        elsewhere, else at 1.
        """
        domain = domain_of(domain)
        if domain in self.opset_imports:
            return
        root = self
        while root.outer is not None:
            root = root.outer
        main = self.model.opset_imports
        if version is None:
            version = main.get(domain, 1)
        if isinstance(root.proto, FunctionProto):
            root.proto.opset_import.add(domain=domain, version=version)
            root.opset_imports[domain] = version
        if domain not in main:
            self.model.proto.opset_import.add(domain=domain, version=version)
            main[domain] = version
        self.model.edits += 1

    def admits(self, node: Node, instead: Iterable[Value]) -> bool:
        """Whether the place the model is for wants *node* to come in for the values *instead*.

        If not, that is noted for the report.
        """
        if self.model.admits is None or self.model.admits(node, removal.replaced(instead)):
            return True
        self.decline(f"the target has no kernel for {node.op_type} of this type and opset")
        return False

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

    def expect(self, value: Value) -> None:
        """Raise `InvalidModelError` unless nodes of this graph may read *value*."""
        if not self.sees(value):
            raise InvalidModelError(
                f"nodes of graph {self.proto.name!r} cannot read {value.name!r}: "
                "it has left the model, or belongs to another graph"
            )

    # The order of nodes

    def unlink(self, node: Node) -> None:
        """Take a node out of the graph; it keeps its links, so that whoever stands on it can go on."""
        self._nodes.remove(node)
        self._owners.pop(node, None)
        node.graph = None
        self._fresh.pop(node, None)
        self.touch()

    def sort(self) -> None:
        """Put every node after those it depends on; the others stay where they are.

        Raises `InvalidModelError` if nodes form a cycle.
        """
        if self._is_unsorted:
            self._nodes.reorder(order.topological(self, list(self)))
            self._is_unsorted = False

    def settle(self) -> None:
        """Put the protobuf's nodes in graph order, and drop whatever has left the graph."""
        if self._is_dirty:
            order.settle(self)
            self._is_dirty = False
            self.has_orphans = False

    def commit(self) -> None:
        """Settle, and end the edit: nodes made by it are like any other from here on."""
        self.settle()
        if self._fresh:
            order.name_apart(self, self._fresh)
            self._fresh.clear()


def _is_sparse(node: Node) -> bool:
    """Whether it is a Constant that runtimes would return as it is spelled, and not as a tensor."""
    return node.op_type == "Constant" and "sparse_value" in node.attributes
