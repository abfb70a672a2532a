from __future__ import annotations

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from onnxforge_passes.minimum_cut import SINK, SOURCE, UNLIMITED, Network

VERTICES = [SOURCE, *"abcd", SINK]
EDGES = st.lists(
    st.tuples(st.sampled_from(VERTICES), st.sampled_from(VERTICES), st.integers(0, 6)), max_size=12
)


def capacity(edges: list[tuple[str, str, int]], sink_side: set[str]) -> int:
    return sum(room for tail, head, room in edges if tail not in sink_side and head in sink_side)


@settings(max_examples=300, deadline=None)
@given(EDGES)
def test_no_cut_is_smaller_and_none_as_small_has_fewer_on_the_sinks_side(
    edges: list[tuple[str, str, int]],
) -> None:
    network = Network()
    for edge in edges:
        network.connect(*edge)
    found = {str(name) for name in network.sink_side()}
    cuts = [
        {SINK, *(name for name, chosen in zip("abcd", choice, strict=True) if chosen)}
        for choice in product((False, True), repeat=4)
    ]
    least = min(capacity(edges, cut) for cut in cuts)
    assert capacity(edges, found) == least
    assert len(found) == min(len(cut) for cut in cuts if capacity(edges, cut) == least)


def test_a_chain_of_a_hundred_thousand_edges_needs_no_recursion() -> None:
    network = Network()
    network.connect(SOURCE, 0, 3)
    for index in range(100_000):
        network.connect(index, index + 1)
    network.connect(100_000, SINK, 2)
    assert network.sink_side() == {SINK}
    assert len(network) == 100_002
    assert UNLIMITED > 2**60
