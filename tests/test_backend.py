"""All of ONNX's backend node tests through `standard`: the outputs stay those that ONNX stores."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto
from onnx.backend.test.loader import load_model_tests

from onnxforge import Model, optimize
from onnxforge.errors import EvaluationError, InvalidModelError
from onnxforge.ir.operators import RANDOM, lookup
from onnxforge.runtime import Session, reference
from onnxforge.storage import to_array

CHUNKS = 16
# What of all cases has no runtime here that computes the stored outputs, and so shows nothing.
MOST_UNRUNNABLE = 25

unrunnable: list[str] = []
seen: list[str] = []


@cache
def cases() -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # onnx computes overflows on purpose
        return [case for case in load_model_tests(kind="node") if case.model is not None]


def feeds(model: ModelProto, inputs: list[Any]) -> dict[str, Any]:
    names = [info.name for info in model.graph.input]
    pairs = zip(names, map(plain, inputs), strict=False)
    return {name: value for name, value in pairs if value is not None}


def plain(stored: Any) -> Any:
    """An array, or a list of them; some cases store protobufs."""
    return to_array(stored) if isinstance(stored, TensorProto) else stored


def is_as_stored(outputs: list[Any], stored: list[Any], case: Any) -> bool:
    pairs = zip(outputs, map(plain, stored), strict=True)
    return all(is_close(a, b, case.rtol, case.atol) for a, b in pairs)


def is_close(a: Any, b: Any, rtol: float, atol: float) -> bool:
    if a is None or b is None:
        return a is b
    if isinstance(a, list) or isinstance(b, list):
        return len(a) == len(b) and all(
            is_close(x, y, rtol, atol) for x, y in zip(a, b, strict=True)
        )
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        return False
    if a.dtype != b.dtype:  # ONNX Runtime hands out bare bytes of what numpy has no type for
        a = a.view(b.dtype) if a.dtype.itemsize == b.dtype.itemsize else a
    if b.dtype.kind in "OSUb" or b.dtype.kind in "iu":
        return bool((a == b).all())
    if b.dtype == np.float16:  # one operator for many rounds once and not many times
        rtol = max(rtol, 2 * float(np.finfo(np.float16).eps))
    wide = np.complex128 if b.dtype.kind == "c" else np.float64
    return np.allclose(a.astype(wide), b.astype(wide), rtol=rtol, atol=atol, equal_nan=True)


def runs(model: ModelProto) -> Iterator[Any]:
    """What runs the model, best first; a call that fails raises `EvaluationError`."""
    with contextlib.suppress(EvaluationError):
        yield Session(model).run
    yield lambda given: reference(model, given)


def is_random(model: ModelProto) -> bool:
    """Whether what is stored is one draw of many, which only chance computes again."""
    return any(lookup(node.op_type, node.domain) == RANDOM for node in model.graph.node)


def how(case: Any) -> int | None:
    """Which of `runs` computes what is stored from the original."""
    if is_random(case.model):
        return None
    for index, run in enumerate(runs(case.model)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if all(
                    is_as_stored(run(feeds(case.model, inputs)), outputs, case)
                    for inputs, outputs in case.data_sets
                ):
                    return index
        except (EvaluationError, ValueError, TypeError):
            continue
    return None


def check(case: Any) -> str:
    """What is wrong with the optimized model; empty if nothing is."""
    try:
        optimized: Model = optimize(case.model, "standard", verify=False)
    except InvalidModelError as error:
        return f"{case.name}: refused: {error}"
    proto = optimized.to_proto()
    seen.append(case.name)
    if (index := how(case)) is None:
        unrunnable.append(case.name)
        return ""
    run = list(runs(proto))[min(index, len(list(runs(proto))) - 1)]
    for inputs, outputs in case.data_sets:
        try:
            got = run(feeds(case.model, inputs))
        except EvaluationError as error:
            return f"{case.name}: {error}"
        if not is_as_stored(got, outputs, case):
            return f"{case.name}: other outputs than those stored"
    return ""


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_optimized_models_compute_what_is_stored(chunk: int) -> None:
    problems = [check(case) for case in cases()[chunk::CHUNKS]]
    assert not [problem for problem in problems if problem]


def test_hardly_any_case_could_not_be_run_in_the_first_place() -> None:
    if len(seen) < len(cases()):
        pytest.skip("only counts after all the others have run")
    print(f"{len(seen)} models, of which nothing runs these: {', '.join(unrunnable)}")
    assert len(unrunnable) <= MOST_UNRUNNABLE
