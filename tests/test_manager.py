from __future__ import annotations

from onnxforge import Model, Pass, PassManager
from onnxforge.testing import model


def test_what_an_edit_tells_of_values_after_it_is_seen_in_the_next_round():
    seen = []

    class Seen(Pass):
        """Note the rank of the output, then let what is known be reshaped in place of the rest."""

        def run(self, graph):
            seen.append(graph.outputs[0].shape)
            node = next(iter(graph))
            if node.op_type == "Identity":
                return 0
            return graph.replace(node.output, graph.add_node("Identity", [graph.inputs[0]]).output)

    subject = Model(
        model("""
        g (float[2,3] x, int64[2] s) => (float[A,B] y) { h = Reshape(x, s)  y = Relu(h) }
        """)
    )
    PassManager([Seen()]).run(subject)
    assert not any(isinstance(size, int) for size in seen[0])
    assert seen[1] == (2, 3)
