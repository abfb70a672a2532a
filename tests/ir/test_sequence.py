from __future__ import annotations

from onnxforge import Model
from onnxforge.testing import model

TEXT = """
g (float[N] x) => (float[N] y, float[N] z)
{ a = Relu(x)  b = Neg(a)  c = Relu(b)  d = Abs(c)  y = Identity(d)  z = Relu(d) }
"""


def test_the_nodes_of_some_operators_come_in_order():
    graph = Model(model(TEXT)).graph
    assert [node.output.name for node in graph.calls("Neg", "Relu")] == ["a", "b", "c", "z"]
    assert list(graph.calls("Conv")) == []
    assert graph.op_types == {"Relu", "Neg", "Abs", "Identity"}


def test_nodes_that_go_meanwhile_are_left_out_and_new_ones_are_found_next_time():
    graph = Model(model(TEXT)).graph
    seen = []
    for node in graph.calls("Relu"):
        seen.append(node.output.name)
        if node.output.name == "a":
            new = graph.add_node("Relu", [graph.inputs[0]], before=node)
            graph.replace(graph.values["c"], new.output)
    assert seen == ["a", "z"]
    assert [node.output.name for node in graph.calls("Relu")] == ["c", "z"]
    assert not graph.has("Neg")
    assert graph.op_types == {"Relu", "Abs", "Identity"}
