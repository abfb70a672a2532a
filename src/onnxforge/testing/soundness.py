"""Testing a pass on models nobody thought of."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import onnx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import ModelProto

from onnxforge import runtime
from onnxforge.contract import Interface
from onnxforge.errors import EvaluationError
from onnxforge.ir import Model
from onnxforge.manager import PassManager
from onnxforge.passes import Pass
from onnxforge.rewrite import RewritePass
from onnxforge.testing.checks import assert_consistent, is_foreign
from onnxforge.testing.strategies import models
from onnxforge.testing.texts import calls
from onnxforge.verify import Baseline, EditChecker
from onnxforge.verify.compare import allowed, relative_error


def assert_pass_is_sound(
    each: Pass | Sequence[Pass],
    *,
    examples: int = 200,
    strategy: st.SearchStrategy[ModelProto] | None = None,
    prefer: Sequence[str] = (),
) -> None:
    """Assert that a pass, or several in a row, keeps the meaning of random models.

    Runs on *examples* models of *strategy*, and reports the smallest it can find that goes wrong,
    with the edit at fault.  See `assert_sound_on` for what is asserted.  The default strategy is
    `models()` with many of the operators in *prefer*, in the passes' patterns, and in `operators`
    of the others.

    Warns with `NeverFired`, a line of pytest's summary, if no model gave the passes anything to do.
    """
    passes = [each] if isinstance(each, Pass) else list(each)
    leaves = [leaf for each in passes for leaf in each.leaves()]
    sought = dict.fromkeys(each for leaf in leaves for each in _sought(leaf))
    patterns = [
        each for leaf in leaves if isinstance(leaf, RewritePass) for each in leaf.patterns()
    ]
    changes = 0

    @settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(models(prefer=[*prefer, *sought], patterns=patterns) if strategy is None else strategy)
    def soundness(proto: ModelProto) -> None:
        nonlocal changes
        changes += assert_sound_on(proto, passes)

    soundness()
    if not changes:
        names = ", ".join(leaf.name for leaf in leaves)
        warnings.warn(
            f"{names}: nothing to do in any of {examples} models, so nothing is shown; name the "
            "operators it looks for in prefer=, or draw models that have them by strategy=",
            NeverFired,
            stacklevel=2,
        )


class NeverFired(UserWarning):
    """A pass was tried on many models and changed none of them."""


def _sought(leaf: Pass) -> Iterable[str]:
    """The operators that a pass looks for, as far as it says."""
    if isinstance(leaf, RewritePass):
        return [call.op_type for pattern in leaf.patterns() for call in pattern.calls]
    return leaf.operators


def assert_sound_on(proto: ModelProto, passes: Sequence[Pass]) -> int:
    """Assert that *passes*, run on this model to their end, are right; return how much they changed.

    The result computes the same in ONNX Runtime with its own optimizer off, or by ONNX's reference
    evaluator where some kernel of ONNX Runtime is coarse; it keeps the interface, passes ONNX's
    checker, and is the same whenever it is made; the graph's index agrees with its protobuf; and a
    second run changes nothing.
    """
    model = Model(proto).copy()
    baseline, interface = Baseline(model), Interface.of(model)
    changes = PassManager(passes).run(model).changes
    result = model.to_proto()
    comparison = baseline.compare(model)
    if not comparison.unchecked and not comparison.is_equivalent:
        is_coarse = math.isfinite(comparison.error) and _agree(proto, result, baseline.feeds)
        assert is_coarse, _accuse(proto, result, passes, str(comparison))
    interface.check(model)
    onnx.checker.check_model(result, full_check=not is_foreign(result))
    for graph in model.graphs():
        assert_consistent(graph)
    again = Model(proto).copy()
    PassManager(passes).run(again)
    assert again.to_proto() == result, "two runs on the same model differ"
    report = PassManager(passes).run(model)
    assert not report.changes, f"a second run found more to do: {report}"
    return changes


def _agree(a: ModelProto, b: ModelProto, samples: Sequence[Mapping[str, Any]]) -> bool:
    """Whether ONNX's reference evaluator computes the same of both."""
    try:
        pairs = [
            pair
            for feeds in samples
            for pair in zip(runtime.reference(a, feeds), runtime.reference(b, feeds), strict=True)
        ]
    except EvaluationError:
        return False
    return all(relative_error(one, other) <= allowed(one) for one, other in pairs)


def _accuse(proto: ModelProto, result: ModelProto, passes: Sequence[Pass], what: str) -> str:
    """What went wrong, with the edit at fault if checking edit by edit finds it."""
    checker = EditChecker(every=1)
    report = PassManager(passes, checker=checker).run(Model(proto).copy())
    lines = [what, *report.refused, "before:", calls(proto), "after:", calls(result)]
    return "\n".join(lines)
