"""What the graph itself costs: building the index, walking it, settling an edit, matching.

Every figure is also given in units of protobuf's own parse and serialize of the same model, in the
same run, which is what holds on a machine whose speed drifts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import graphs
import pytest
from onnx import ModelProto

from onnxforge import Model, PassManager
from onnxforge.registry import create

SIZES = (1_000, 10_000, 50_000)
KINDS = {"chain": graphs.chain, "convolutions": graphs.convolutions}

pytestmark = [
    pytest.mark.parametrize("size", SIZES),
    pytest.mark.parametrize("kind", sorted(KINDS)),
]


@lru_cache
def serialized(kind: str, size: int) -> bytes:
    return KINDS[kind](size).SerializeToString()


@lru_cache
def floor(kind: str, size: int) -> float:
    """Seconds protobuf takes to parse and serialize the model, at best of seven."""
    data = serialized(kind, size)
    return min(_seconds(lambda: ModelProto.FromString(data).SerializeToString()) for _ in range(7))


def _seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def measure(benchmark: Any, kind: str, size: int, setup: Callable[[], Any], run: Callable) -> None:
    benchmark.pedantic(run, setup=lambda: ((setup(),), {}), rounds=5, warmup_rounds=1)
    if benchmark.stats is not None:
        best = benchmark.stats.stats.min
        benchmark.extra_info["times_parse_and_serialize"] = round(best / floor(kind, size), 2)
        benchmark.extra_info["microseconds_per_node"] = round(best / size * 1e6, 2)


def parsed(kind: str, size: int) -> ModelProto:
    return ModelProto.FromString(serialized(kind, size))


def built(kind: str, size: int) -> Model:
    model = Model(parsed(kind, size))
    assert len(model.graph) >= size - 2
    return model


def test_build_walk_and_commit(benchmark, kind, size):
    def run(proto: ModelProto) -> None:
        model = Model(proto)
        assert sum(node.op_type == "BatchNormalization" for node in model.graph) >= 0
        model.commit()

    measure(benchmark, kind, size, lambda: parsed(kind, size), run)


def test_walk(benchmark, kind, size):
    def run(model: Model) -> None:
        assert sum(node.op_type == "Neg" for node in model.graph) == 0

    measure(benchmark, kind, size, lambda: built(kind, size), run)


def test_commit_after_an_edit(benchmark, kind, size):
    def edited() -> Model:
        model = built(kind, size)
        model.graph.touch()
        return model

    measure(benchmark, kind, size, edited, lambda model: model.commit())


def test_types_of_all_values(benchmark, kind, size):
    def run(model: Model) -> None:
        assert all(node.output.shape is not None for node in model.graph)

    measure(benchmark, kind, size, lambda: built(kind, size), run)


@pytest.mark.parametrize(
    "name", ["conv-batch-norm-fusion", "constant-folding", "dead-node-elimination", "standard"]
)
def test_pass(benchmark, kind, size, name):
    passes = [create(name)]
    measure(
        benchmark,
        kind,
        size,
        lambda: built(kind, size),
        lambda model: PassManager(passes).run(model),
    )
