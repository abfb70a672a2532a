"""Random edits, in any order, of random graphs with bodies: the index agrees, the numbers stay.

Every edit is one that keeps what the model computes, whatever it is applied to; the graph may
refuse it, and what it accepts must be right.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import onnx
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from onnxforge import Graph, Model, Value, evaluate, inline
from onnxforge.testing import assert_consistent

EXAMPLES = int(os.environ.get("ONNXFORGE_EXAMPLES", "50"))
FEEDS = [
    {"x": np.array([1.0, -2.0, 0.5], np.float32), "q": np.array(flag)} for flag in (True, False)
]


def tensor(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [3])


@st.composite
def models(draw: Any) -> ModelProto:
    counter = iter(range(10_000))

    def nodes(visible: list[str], count: int, depth: int) -> tuple[list[NodeProto], list[str]]:
        visible, made = list(visible), []
        for _ in range(count):
            name = f"v{next(counter)}"
            kind = draw(st.sampled_from(["Neg", "Abs", "Add", "Sub", "Split", "If", "Identity"]))
            if kind == "If" and depth:
                branches = {}
                for branch in ("then_branch", "else_branch"):
                    inner, names = nodes(visible, draw(st.integers(1, 3)), depth - 1)
                    result = f"v{next(counter)}"
                    inner.append(helper.make_node("Abs", [names[-1]], [result]))
                    branches[branch] = helper.make_graph(inner, branch, [], [tensor(result)])
                made.append(helper.make_node("If", ["q"], [name], **branches))
            elif kind == "Split":
                made.append(
                    helper.make_node(
                        "TopK", [draw(st.sampled_from(visible)), "k"], [name, f"{name}i"]
                    )
                )
            else:
                arity = 2 if kind in ("Add", "Sub") else 1
                inputs = [draw(st.sampled_from(visible)) for _ in range(arity)]
                op_type = "Abs" if kind == "If" else kind
                made.append(helper.make_node(op_type, inputs, [name]))
            visible.append(name)
        return made, visible

    made, names = nodes(["x", "w"], draw(st.integers(2, 8)), 2)
    outputs = draw(st.lists(st.sampled_from(names[2:]), min_size=1, max_size=3, unique=True))
    weights = [
        numpy_helper.from_array(np.array([3, -1, 2], np.float32), "w"),
        numpy_helper.from_array(np.array([3], np.int64), "k"),
    ]
    graph = helper.make_graph(
        draw(st.permutations(made)),
        "random",
        [tensor("x"), helper.make_tensor_value_info("q", TensorProto.BOOL, [])],
        [tensor(name) for name in outputs],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


class Edits(RuleBasedStateMachine):
    """Edits of one model; what it computes is what it computed at first."""

    @initialize(proto=models())
    def open(self, proto: ModelProto) -> None:
        self.subject = Model(proto).copy()
        self.subject.graph.touch()  # so that it is sorted, as runtimes want it
        self.expected = [evaluate(self.subject.commit(), feeds) for feeds in FEEDS]

    def pick(self, data: st.DataObject) -> tuple[Graph, Value]:
        graphs = list(self.subject.graphs())
        graph = data.draw(st.sampled_from(range(len(graphs))).map(graphs.__getitem__))
        values = [v for v in graph.values.values() if v.dtype == TensorProto.FLOAT]
        if not values:
            graph, values = self.subject.graph, [self.subject.graph.values["x"]]
        return graph, data.draw(st.sampled_from(range(len(values))).map(values.__getitem__))

    @rule(data=st.data(), hops=st.integers(1, 3), first=st.booleans())
    def insert_after(self, data: st.DataObject, hops: int, first: bool) -> None:
        """Two negations, or nothing, after a value."""
        graph, old = self.pick(data)
        new = old
        before = next(iter(graph), None) if first else None
        for _ in range(2 * hops):
            new = graph.add_node("Neg", [new], before=before).output
        if not graph.replace(old, new):
            graph.sweep([new])

    @rule(data=st.data(), like=st.booleans())
    def do_again(self, data: st.DataObject, like: bool) -> None:
        """A second node that does the same, in place of the first."""
        graph, old = self.pick(data)
        node = old.producer
        if node is None or node.subgraphs:
            return
        new = graph.add_node(
            node.op_type, node.inputs, outputs=len(node.outputs), like=node if like else None
        )
        for a, b in zip(node.outputs, new.outputs, strict=True):
            graph.replace(a, b)
        graph.sweep(new.outputs)

    @rule(data=st.data())
    def read_past(self, data: st.DataObject) -> None:
        """What an Identity, or two negations, read in their place."""
        graph, old = self.pick(data)
        node = old.producer
        if node is None:
            return
        source = node.inputs[0]
        assert source is not None
        if node.op_type == "Identity":
            graph.replace(old, source)
        elif node.op_type == "Neg" and source.producer and source.producer.op_type == "Neg":
            inner = source.producer.inputs[0]
            assert inner is not None
            graph.replace(old, inner)

    @rule(data=st.data())
    def merge(self, data: st.DataObject) -> None:
        """One of two nodes that do the same, whichever comes first, for the other."""
        graph, old = self.pick(data)
        node = old.producer
        if node is None or node.subgraphs:
            return
        for other in graph:
            if other is not node and (other.op_type, other.inputs) == (node.op_type, node.inputs):
                graph.replace(old, other.outputs[node.outputs.index(old)])
                return

    @rule(data=st.data())
    def copy_constant(self, data: st.DataObject) -> None:
        """A constant that equals another in its place."""
        graph, _ = self.pick(data)
        old = self.subject.graph.values.get("w")
        if old is not None and not old.is_output:
            new = graph.constant(old.numpy())
            if not self.subject.graph.replace(old, new):
                graph.sweep([new])

    @rule(data=st.data())
    def inline_branches(self, data: st.DataObject) -> None:
        """Both branches computed ahead of an If, and a Where that picks one of the results."""
        graph, old = self.pick(data)
        node = old.producer
        if node is None or node.op_type != "If":
            return
        names = [attribute.name for attribute in node.proto.attribute]
        results = [
            inline(graph, node.subgraphs[names.index(name)], before=node)[0]
            for name in ("then_branch", "else_branch")
        ]
        new = graph.add_node("Where", [node.inputs[0], *results], before=node).output
        if not graph.replace(old, new):
            graph.sweep([new])

    @rule()
    def prune(self) -> None:
        for graph in self.subject.graphs():
            graph.prune()

    @rule()
    def commit(self) -> None:
        data = self.subject.commit().SerializeToString()
        assert self.subject.commit().SerializeToString() == data

    @precondition(lambda self: hasattr(self, "subject"))
    @invariant()
    def is_right(self) -> None:
        copy = self.subject.copy()
        for each in (self.subject, copy):
            for graph in each.graphs():
                assert_consistent(graph)
        onnx.checker.check_model(copy.proto)
        for feeds, expected in zip(FEEDS, self.expected, strict=True):
            for a, b in zip(evaluate(copy.proto, feeds), expected, strict=True):
                np.testing.assert_array_equal(a, b)


TestEdits = Edits.TestCase
TestEdits.settings = settings(max_examples=EXAMPLES, stateful_step_count=12, deadline=None)
