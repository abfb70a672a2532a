"""Whatever nobody edits comes back byte for byte: all models of ONNX's own backend tests."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path

import onnx
import pytest
from onnx.backend.test.loader import load_model_tests

import onnxforge
from onnxforge import PassManager
from onnxforge.testing import assert_consistent

CHUNKS = 8
DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"


@cache
def models() -> tuple[tuple[str, bytes], ...]:
    """Name and bytes of every model: those in files, and those that onnx makes up on the spot."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # onnx computes overflows on purpose
        made = {case.name: case.model for case in load_model_tests(kind="node")}
    found = [(name, model.SerializeToString()) for name, model in made.items() if model is not None]
    files = sorted(DATA.rglob("*.onnx"))
    return (*found, *((str(path.relative_to(DATA)), path.read_bytes()) for path in files))


def test_there_are_as_many_models_as_there_should_be() -> None:
    assert len(models()) > 1700


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_an_empty_run_gives_the_very_bytes_back(chunk: int, tmp_path: Path) -> None:
    source, target = tmp_path / "in.onnx", tmp_path / "out.onnx"
    changed = []
    for name, data in models()[chunk::CHUNKS]:
        source.write_bytes(data)
        subject = onnxforge.load(source)
        nodes = sum(map(len, subject.graphs()))
        report = PassManager().run(subject)
        subject.save(target)
        if target.read_bytes() != data or report.changes or report.nodes_before != nodes:
            changed.append(name)
    assert not changed


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_bytes_go_in_and_come_out(chunk: int) -> None:
    changed = []
    for name, data in models()[chunk::CHUNKS]:
        subject = onnxforge.Model.from_bytes(data)
        subject.graph.prune()  # which finds nothing, but builds the graph, or it is an edit
        if not subject.edits and subject.to_bytes() != data:
            changed.append(name)
    assert not changed


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_an_edited_model_differs_by_the_edit_alone(chunk: int) -> None:
    """An Identity goes in after the first value, and every node that does not read it is left."""
    for name, data in models()[chunk::CHUNKS]:
        subject = onnxforge.Model.from_bytes(data)
        graph = subject.graph
        nodes = [node for node in graph if not node.subgraphs]
        if not nodes or not nodes[0].outputs or not nodes[0].output.consumers:
            continue
        old = nodes[0].output
        before = {id(node): node.proto.SerializeToString() for node in nodes}
        readers = {id(node) for node in old.consumers} | {id(nodes[0])}
        assert graph.replace(old, graph.add_node("Identity", [old]).output), name
        subject.commit()
        after = {id(node): node.proto.SerializeToString() for node in nodes}
        assert {k for k in before if before[k] != after[k]} <= readers, name
        assert len(subject.proto.graph.node) == len(graph), name
        for each in subject.graphs():
            assert_consistent(each)
