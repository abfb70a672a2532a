"""Is an optimizer's output right, and what is left of the model?  Run by peers.py in processes.

The truth is the original in ONNX Runtime with its optimizations off.  How far an output may be from
it is the tolerance of its element type or ten times the noise: how far the original itself moves
when ONNX Runtime optimizes it, or when its inputs are rounded.
"""

from __future__ import annotations

import runpy
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.inliner
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

import onnxforge
from onnxforge.verify import compare, feeds_for

_MARGIN = 10
_NOISE = 0.1
"""More than this is no noise: ONNX Runtime miscompiles the original."""
_NARROW = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16"}
_STANDARD = ("", "ai.onnx", "ai.onnx.ml")
_Run = tuple[dict[str, Any], list[Any], list[list[Any]]]
"""Feeds, what the original makes of them, and other results that would have been as good."""
_STRIPPED = 1 << 10
"""Bytes of a payload that is not needed for counting nodes."""


def judge(task: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The verdict on each of the task's candidates, in order.

    A *task* has `source`, `candidates`, and `entry` and `root` of a manifest, or neither.  First
    comes what is known of the original itself.
    """
    source = task["source"]
    model = onnx.load(source, load_external_data=False)
    original = onnx.inliner.inline_local_functions(model) if model.functions else model
    before = operators(original)
    runs, unchecked = _runs(source, task)
    narrow = [compare.tolerance(name) for name in _narrow(model)]
    yield {
        "unchecked": unchecked,
        "nodes": sum(before.values()),
        "operators": before,
        "bytes": _bytes(source, model),
        "final_nodes": _final_nodes(source),
    }
    for candidate in task["candidates"]:
        yield _verdict(candidate, model, before, runs, max(narrow, default=0.0), unchecked)


def _verdict(
    path: str,
    original: ModelProto,
    before: Counter[str],
    runs: list[_Run],
    narrow: float,
    unchecked: str,
) -> dict[str, Any]:
    model = onnx.load(path, load_external_data=False)
    after = operators(model)
    strangers = [name for name in after if "::" in name and name not in before]
    problem, error = _breach(original, model), 0.0
    if not unchecked and not problem:
        problem, error = _difference(path, runs, narrow)
    return {
        "right": None if unchecked and not problem else not problem,
        "problem": problem,
        "error": error,
        "nodes": sum(after.values()),
        "operators": after,
        "portable": not strangers,
        "introduced": strangers,
        "bytes": _bytes(path, model),
        "final_nodes": _final_nodes(path),
    }


def operators(model: ModelProto) -> Counter[str]:
    """How many nodes of each operator run: in subgraphs too, of functions those they stand for.

    Constants are no computation.  Names are "Conv", and "domain::Name" outside of ONNX.
    """
    if model.functions:
        stripped = ModelProto()
        stripped.CopyFrom(model)
        for tensor in stripped.graph.initializer:
            if len(tensor.raw_data) > _STRIPPED:
                tensor.ClearField("raw_data")
        model = onnx.inliner.inline_local_functions(stripped)
    names = (
        node.op_type if node.domain in _STANDARD else f"{node.domain}::{node.op_type}"
        for node in _nodes(model.graph)
    )
    return Counter(name for name in names if name != "Constant")


def _nodes(graph: GraphProto) -> Iterator[NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
                for body in chain([attribute.g], attribute.graphs):
                    yield from _nodes(body)


def _runs(source: str, task: Mapping[str, Any]) -> tuple[list[_Run], str]:
    """The original's runs, or why there are none."""
    runs: list[_Run] = []
    try:
        opened = session(source, "ORT_DISABLE_ALL")
        for feeds in feeds_of(source, task):
            rounded = opened.run(None, {name: _rounded(feed) for name, feed in feeds.items()})
            noisy = [other for other in (_optimized(source, feeds), rounded) if other]
            runs.append((feeds, opened.run(None, feeds), noisy))
    except Exception as error:  # noqa: BLE001 - ONNX Runtime raises types of its own
        return [], f"the original cannot be run: {_brief(error)}"
    return runs, ""


def _optimized(source: str, feeds: dict[str, Any]) -> list[Any]:
    """The outputs of the model optimized by ONNX Runtime; none if it fails at that."""
    try:
        return list(session(source, "ORT_ENABLE_ALL").run(None, feeds))
    except Exception:  # noqa: BLE001 - ONNX Runtime raises types of its own
        return []


def _rounded(feed: Any) -> Any:
    """*feed* moved by a hundredth of the tolerance, 1e-6 of its size for float32."""
    if not isinstance(feed, np.ndarray) or feed.dtype.kind != "f":
        return feed
    step = max(0.01 * compare.tolerance(feed.dtype), compare.precision(feed.dtype))
    signs = np.random.default_rng(0).choice((-1.0, 1.0), feed.shape)
    return (feed * (1 + step * signs)).astype(feed.dtype)


def feeds_of(source: str, task: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What to run a model on: as its entry in a manifest says, or whatever its inputs declare."""
    if entry := task.get("entry"):
        make = runpy.run_path(str(Path(task["root"], "feeds.py")))["make_feeds"]
        yield from (feeds for alt in (False, True) if (feeds := make(entry, alt=alt)) is not None)
    else:
        yield feeds_for(onnxforge.load(source))


def _difference(path: str, runs: list[_Run], narrow: float) -> tuple[str, float]:
    """What is wrong with the numbers, and the largest error."""
    worst = 0.0
    try:
        opened = session(path, "ORT_DISABLE_ALL")
        for feeds, expected, noisy in runs:
            for index, actual in enumerate(opened.run(None, feeds)):
                right = expected[index]
                error = compare.relative_error(right, actual)
                worst = max(worst, error)
                others = [each[index] for each in noisy]
                if error > _limit(right, others, narrow) and not _flips(right, others, actual):
                    return f"output {index} is off by {error:.1e}", error
    except Exception as error:  # noqa: BLE001 - ONNX Runtime raises types of its own
        return f"ONNX Runtime: {_brief(error)}", worst
    return "", worst


def _limit(expected: Any, noisy: list[Any], narrow: float) -> float:
    limit = compare.allowed(expected)
    noise = [compare.relative_error(expected, other) for other in noisy]
    return max(limit, narrow, *(_MARGIN * n for n in noise if n <= _NOISE)) if limit else 0.0


def _flips(expected: Any, noisy: list[Any], actual: Any) -> bool:
    """Whether integers jump no more than the original's do."""
    if compare.allowed(expected):
        return False
    jumps = [compare.mismatches(expected, other) for other in noisy]
    allowed = max((jump for jump in jumps if jump <= _NOISE), default=0.0)
    return compare.mismatches(expected, actual) <= _MARGIN * allowed


def session(path: str, level: str, target: str = "") -> Any:
    """A model in ONNX Runtime, in one thread, optimized to that *level* and written to *target*."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.optimized_model_filepath = target
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _final_nodes(path: str) -> int | None:
    """What ONNX Runtime's extended level leaves; None if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        target = str(Path(folder, "final.onnx"))
        try:
            session(path, "ORT_ENABLE_EXTENDED", target)
            return sum(operators(onnx.load(target, load_external_data=False)).values())
        except Exception:  # noqa: BLE001 - ONNX Runtime raises types of its own
            return None


def _breach(before: ModelProto, after: ModelProto) -> str:
    """What callers rely on and no longer find: names, order and element types."""
    a, b = before.graph, after.graph
    for what, ours, theirs in (
        ("inputs", _required(a), _required(b)),
        ("outputs", list(a.output), list(b.output)),
    ):
        if [info.name for info in ours] != [info.name for info in theirs]:
            return f"the {what} have other names or another order"
        for one, other in zip(ours, theirs, strict=True):
            x, y = one.type.tensor_type.elem_type, other.type.tensor_type.elem_type
            if x != y:
                return f"{one.name!r} has another element type"
    # Until version 4 every initializer had to be an input, without being meant as one.
    if before.ir_version >= 4 and (lost := _defaults(a) - _defaults(b)):
        return f"{min(lost)!r} can no longer be overridden"
    return ""


def _required(graph: GraphProto) -> list[ValueInfoProto]:
    defaults = _defaults(graph)
    return [info for info in graph.input if info.name not in defaults]


def _defaults(graph: GraphProto) -> set[str]:
    return {tensor.name for tensor in graph.initializer} & {info.name for info in graph.input}


def _narrow(model: ModelProto) -> list[str]:
    stored = {tensor.data_type for tensor in model.graph.initializer}
    stored |= {info.type.tensor_type.elem_type for info in model.graph.value_info}
    return [name for dtype, name in _NARROW.items() if dtype in stored]


def _bytes(path: str, model: ModelProto) -> int:
    """The model's file and those that hold its external data."""
    files = {Path(path)}
    for tensor in model.graph.initializer:
        files |= {
            Path(path).parent / entry.value
            for entry in tensor.external_data
            if entry.key == "location"
        }
    return sum(file.stat().st_size for file in files if file.exists())


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
