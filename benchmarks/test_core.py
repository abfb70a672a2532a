"""What the graph itself costs, step by step, and each pass, at three sizes.

    make bench, or python -m pytest benchmarks/test_core.py --benchmark-enable

Seconds are of the processor.  Every figure is also given in units of protobuf's own parse and
serialize of the same model, in the same run, which is what holds on a machine whose speed drifts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import graphs
import pytest
from onnx import ModelProto

from onnxforge import Model, PassManager, Pattern, load, registry

KINDS = {
    "chain": graphs.chain,
    "convolutions": graphs.convolutions,
    "encoder": lambda nodes: graphs.encoder(nodes // 70, width=24),
}
STEPS = [(kind, size) for kind in ("chain", "convolutions") for size in (1_000, 10_000, 50_000)]
PASSES = [("encoder", size) for size in (70, 700, 5_600)]
STANDARD = sorted({leaf.name for leaf in registry.resolve("standard")[0].leaves()})

pytestmark = pytest.mark.benchmark(timer=time.process_time)
on_steps = pytest.mark.parametrize(("kind", "size"), STEPS)


@lru_cache
def serialized(kind: str, size: int) -> bytes:
    return KINDS[kind](size).SerializeToString()


@lru_cache
def floor(kind: str, size: int) -> float:
    """Seconds protobuf takes to parse and serialize the model, at best of seven."""
    data = serialized(kind, size)
    return min(_seconds(lambda: ModelProto.FromString(data).SerializeToString()) for _ in range(7))


def _seconds(function: Callable[[], Any]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def measure(benchmark: Any, kind: str, size: int, setup: Callable[[], Any], run: Callable) -> None:
    rounds = {"rounds": 3, "warmup_rounds": 1} if size <= 1_000 else {"rounds": 1}
    benchmark.pedantic(run, setup=lambda: ((setup(),), {}), **rounds)
    if benchmark.stats is not None:
        best = benchmark.stats.stats.min
        benchmark.extra_info["times_parse_and_serialize"] = round(best / floor(kind, size), 2)
        benchmark.extra_info["microseconds_per_node"] = round(best / size * 1e6, 2)


def parsed(kind: str, size: int) -> ModelProto:
    return ModelProto.FromString(serialized(kind, size))


def built(kind: str, size: int) -> Model:
    model = Model(parsed(kind, size))
    assert len(model.graph) > size / 2
    return model


def typed(kind: str, size: int) -> Model:
    model = built(kind, size)
    assert all(value.shape is not None for node in model.graph for value in node.outputs)
    return model


@on_steps
def test_load(benchmark, tmp_path, kind, size):
    path = tmp_path / "model.onnx"
    path.write_bytes(serialized(kind, size))
    measure(benchmark, kind, size, lambda: path, load)


@on_steps
def test_build(benchmark, kind, size):
    def run(proto: ModelProto) -> None:
        assert len(Model(proto).graph) >= size - 2

    measure(benchmark, kind, size, lambda: parsed(kind, size), run)


@on_steps
def test_walk(benchmark, kind, size):
    def run(model: Model) -> None:
        assert sum(node.op_type == "Neg" for node in model.graph) == 0

    measure(benchmark, kind, size, lambda: built(kind, size), run)


@on_steps
def test_match(benchmark, kind, size):
    patterns = {
        "chain": Pattern(lambda op, x, w: op.Sigmoid(op.Add(op.Relu(x), w))),
        "convolutions": Pattern(
            lambda op, x, w, a, b, mean, var: op.Relu(
                op.BatchNormalization(op.Conv(x, w), a, b, mean, var)
            )
        ),
    }
    pattern = patterns[kind]

    def run(model: Model) -> None:
        roots = list(model.graph.calls(pattern.root.op_type))
        assert all(pattern.match(node) is not None for node in roots)
        assert len(roots) > size / 5

    measure(benchmark, kind, size, lambda: built(kind, size), run)


@on_steps
def test_types_of_all_values(benchmark, kind, size):
    def run(model: Model) -> None:
        assert all(node.output.shape is not None for node in model.graph)

    measure(benchmark, kind, size, lambda: built(kind, size), run)


@on_steps
def test_commit_after_an_edit(benchmark, kind, size):
    measure(benchmark, kind, size, lambda: edited(kind, size), lambda model: model.commit())


@on_steps
def test_save(benchmark, tmp_path, kind, size):
    def run(model: Model) -> None:
        model.save(tmp_path / "model.onnx")

    measure(benchmark, kind, size, lambda: edited(kind, size), run)
    assert Path(tmp_path / "model.onnx").stat().st_size == len(serialized(kind, size))


def edited(kind: str, size: int) -> Model:
    model = built(kind, size)
    model.graph.touch()
    return model


@pytest.mark.parametrize(("kind", "size"), [*STEPS, *PASSES])
def test_standard(benchmark, kind, size):
    passes = registry.resolve("standard")
    measure(
        benchmark,
        kind,
        size,
        lambda: built(kind, size),
        lambda model: PassManager(passes).run(model),
    )


@pytest.mark.parametrize(("kind", "size"), PASSES)
@pytest.mark.parametrize("name", STANDARD)
def test_pass(benchmark, kind, size, name):
    """Each pass alone, once, on an encoder of which everything is inferred."""
    each = registry.create(name)

    def run(model: Model) -> None:
        if any(each.concerns(graph.op_types) for graph in model.graphs()):
            each.apply(model)

    measure(benchmark, kind, size, lambda: typed(kind, size), run)
