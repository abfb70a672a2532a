"""Random models: a Hypothesis strategy of valid, typed ONNX models over more than 100 operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from onnx import GraphProto, ModelProto, TensorProto, helper

from onnxforge.ir.operators import schema
from onnxforge.pattern import Call, Pattern
from onnxforge.testing.occurrences import draw_occurrence
from onnxforge.testing.operators import RULES
from onnxforge.testing.operators.rules import BOOL, FLOAT, FLOAT16, INT64
from onnxforge.testing.sketch import Sketch, Tensor

OPSETS = (18, 13, 15, 17, 20, 23)
"""The likeliest first, and then those since which much has changed."""
DOMAIN = "test.functions"


@st.composite
def models(
    draw: Any,
    *,
    opset: int | None = None,
    max_nodes: int = 12,
    control_flow: bool = True,
    functions: bool = True,
    prefer: Sequence[str] = (),
    patterns: Sequence[Pattern] = (),
) -> ModelProto:
    """Valid ONNX models of up to *max_nodes* drawn nodes, which ONNX Runtime can run.

    They have dynamic and fixed dimensions, float32, float16, int8, int32, int64 and bool tensors,
    constants in both forms and shared ones, Ifs and Loops that read values from outside, calls of
    functions, values that are outputs twice over and dead ends.  No operator is random.  Every
    other operator is one of *prefer*, as far as these are among those known, lest a pass for a few
    operators finds nothing to do; and one of the *patterns* occurs in each, or nearly does.
    """
    if opset is None:
        opset = draw(st.sampled_from([each for each in OPSETS if _known(patterns, each)] or OPSETS))
    patterns = _known(patterns, opset)
    sketch = Sketch(draw, opset)
    known = [op_type for op_type in sorted(RULES) if schema(op_type, "", opset) is not None]
    for dtype, shape in draw(st.lists(st.sampled_from(_INPUTS), min_size=1, max_size=3)):
        sketch.declare(dtype, shape)
    preferred = [op_type for op_type in prefer if op_type in known]
    called = False
    results: list[Tensor] = []
    kinds = ["operator"] * 9 + ["if", "loop", "call"]
    kinds += [each.lower() for each in ("If", "Loop") if each in prefer] * 6
    count = draw(st.integers(1, max_nodes))
    place = draw(st.integers(0, count - 1)) if patterns else None
    for step in range(count):
        kind = draw(st.sampled_from(kinds)) if step != place else "pattern"
        if kind == "pattern":
            results += draw_occurrence(sketch, draw(st.sampled_from(patterns)))
        elif kind == "if" and control_flow:
            _if(sketch)
        elif kind == "loop" and control_flow:
            _loop(sketch)
        elif kind == "call" and functions:
            called = _call(sketch) or called
        else:
            is_preferred = bool(preferred) and draw(st.booleans())
            RULES[draw(st.sampled_from(preferred if is_preferred else known))](sketch)
    computed = [t for t in sketch.tensors if any(t.name in n.output for n in sketch.graph.node)]
    if not computed:
        computed = [sketch.add("Identity", sketch.tensors[:1], *_type(sketch.tensors[0]))]
    outputs = draw(st.lists(st.sampled_from(computed[::-1]), min_size=1, max_size=3, unique=True))
    read = {name for node in sketch.graph.node for name in node.input}
    outputs += [t for t in results if t.name not in read and t not in outputs]
    for tensor in outputs:
        shape = [size if isinstance(size, int) else None for size in tensor.shape]
        sketch.graph.output.append(helper.make_tensor_value_info(tensor.name, tensor.dtype, shape))
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(sketch.graph, opset_imports=opsets, ir_version=10)
    for domain in dict.fromkeys(node.domain for node in sketch.graph.node if node.domain):
        model.opset_import.append(helper.make_opsetid(domain, 1))
    if called:
        model.functions.append(_swish(opset))
    return model


def _known(patterns: Sequence[Pattern], opset: int) -> list[Pattern]:
    """The patterns that can occur at an opset."""

    def is_known(call: Call) -> bool:
        return bool(call.domain) or schema(call.op_type, "", opset) is not None

    return [each for each in patterns if all(map(is_known, each.calls))]


_INPUTS = [
    (FLOAT, ("N", 4)),
    (FLOAT, ("N", 4, 4, 4)),
    (FLOAT, (2, 3)),
    (FLOAT, (1, 2, 5, 5)),
    (FLOAT, (1, 2, 3)),
    (FLOAT16, ("N", 4)),
    (INT64, (3,)),
    (TensorProto.INT32, (2, 3)),
    (BOOL, (2, 1)),
    (FLOAT, ()),
]


def _type(tensor: Tensor) -> tuple[int, tuple[Any, ...]]:
    return tensor.dtype, tensor.shape


def _body(sketch: Sketch, name: str, result: Tensor) -> GraphProto | None:
    """A body that computes something of the type and shape of *result*, which it may read."""
    inner = sketch.body(f"{result.name}_{name}_", [result])
    for _ in range(sketch.draw(st.integers(1, 3))):
        op_type = sketch.draw(st.sampled_from(["Relu", "Neg", "Add", "Mul", "Identity", "Sigmoid"]))
        RULES[op_type](inner)
    same = [t for t in inner.tensors if _type(t) == _type(result) and t is not result]
    if not same:
        return None
    output = helper.make_tensor_value_info(same[-1].name, result.dtype, None)
    inner.graph.output.append(output)
    return inner.graph


def _if(sketch: Sketch) -> None:
    x = sketch.pick((FLOAT,))
    if x is None:
        return
    known = sketch.draw(st.booleans())
    condition = sketch.scalar(BOOL, known) if known else sketch.pick((BOOL,), ranks=(0,))
    if condition is None:
        total = sketch.add("ReduceSum", [x], FLOAT, (), keepdims=0)
        condition = sketch.add("Greater", [total, sketch.scalar(FLOAT, 0)], BOOL, ())
    branches = [_body(sketch, name, x) for name in ("then", "else")]
    if all(branch is not None for branch in branches):
        then, other = branches
        extra = [_type(x)] if sketch.draw(st.booleans()) else []
        for branch in (then, other) if extra else ():
            assert branch is not None
            name = f"{branch.name}_same"
            branch.node.append(helper.make_node("Identity", [x.name], [name]))
            branch.output.append(helper.make_tensor_value_info(name, x.dtype, None))
        sketch.add(
            "If", [condition], FLOAT, x.shape, extra=extra, then_branch=then, else_branch=other
        )


def _loop(sketch: Sketch) -> None:
    x = sketch.pick((FLOAT,))
    if x is None:
        return
    inner = sketch.body(f"{x.name}_loop{len(sketch.graph.node)}_", [])
    names = [f"{inner.graph.name}_{part}" for part in ("i", "go", "carried")]
    carried = Tensor(names[2], FLOAT, x.shape)
    inner.show(carried)
    if sketch.draw(st.booleans()):
        inner.show(x)  # a value from outside
    RULES[sketch.draw(st.sampled_from(["Relu", "Sub", "Tanh"]))](inner)
    result = inner.tensors[-1]
    if _type(result) != _type(x) or result in (carried, x):
        return
    go = inner.add("Identity", [Tensor(names[1], BOOL, ())], BOOL, ())
    for name, dtype in zip(names, (INT64, BOOL, FLOAT), strict=True):
        shape = () if dtype != FLOAT else None
        inner.graph.input.append(helper.make_tensor_value_info(name, dtype, shape))
    inner.graph.output.append(helper.make_tensor_value_info(go.name, BOOL, ()))
    inner.graph.output.append(helper.make_tensor_value_info(result.name, FLOAT, None))
    trips = sketch.scalar(INT64, sketch.draw(st.integers(0, 3)))
    sketch.add("Loop", [trips, sketch.scalar(BOOL, True), x], FLOAT, x.shape, body=inner.graph)


def _call(sketch: Sketch) -> bool:
    x = sketch.pick((FLOAT,))
    if x is None:
        return False
    sketch.add("Swish", [x], FLOAT, x.shape, domain=DOMAIN, alpha=0.5)
    return True


def _swish(opset: int) -> Any:
    """A function, x * sigmoid(alpha * x): alpha is the caller's, and an Identity is idle."""
    constant = helper.make_node("Constant", [], ["a"])
    constant.attribute.add(name="value_float", type=1, ref_attr_name="alpha")
    nodes = [
        constant,
        helper.make_node("Identity", ["x"], ["same"]),
        helper.make_node("Mul", ["same", "a"], ["scaled"]),
        helper.make_node("Sigmoid", ["scaled"], ["gate"]),
        helper.make_node("Mul", ["x", "gate"], ["y"]),
    ]
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_function(DOMAIN, "Swish", ["x"], ["y"], nodes, opsets, ["alpha"])
