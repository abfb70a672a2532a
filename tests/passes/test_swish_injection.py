from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from onnxforge import Model, PassManager
from onnxforge.testing import calls, check, model
from onnxforge_passes.swish_injection import SwishInjection

SWISH = """
<domain: "com.example", opset_import: ["" : 17]>
Swish (x) => (y) { s = Sigmoid(x)  y = Mul(x, s) }
"""


@pytest.mark.parametrize("product", ["Mul(x, s)", "Mul(s, x)"])
@pytest.mark.parametrize("dtype", ["float", "float16", "double"])
def test_swish_becomes_one_call(product: str, dtype: str) -> None:
    result = check(
        SwishInjection(),
        before=f"g ({dtype}[N] x) => ({dtype}[N] y) {{ s = Sigmoid(x)  y = {product} }}",
        after="y = com.example.Swish(x)",
    )
    (function,) = result.proto.functions
    assert [node.op_type for node in function.node] == ["Sigmoid", "Mul"]


def test_the_operator_is_defined_once_for_many_calls() -> None:
    result = check(
        SwishInjection(),
        before="""
        g (float[N] x) => (float[N] y)
        { s = Sigmoid(x)  a = Mul(x, s)  t = Sigmoid(a)  y = Mul(a, t) }
        """,
        after="""
        a = com.example.Swish(x)
        y = com.example.Swish(a)
        """,
    )
    assert len(result.proto.functions) == 1


def test_the_result_runs_on_a_stock_runtime() -> None:
    subject = Model(model("g (float[3] x) => (float[3] y) { s = Sigmoid(x)  y = Mul(x, s) }"))
    PassManager([SwishInjection()]).run(subject)
    x = np.array([-1, 0, 2], np.float32)
    session = onnxruntime.InferenceSession(subject.to_bytes())
    (y,) = session.run(None, {"x": x})
    np.testing.assert_allclose(y, x / (1 + np.exp(-x)), rtol=1e-6)


def test_inside_a_body() -> None:
    check(
        SwishInjection(),
        before="""
        g (float[N] x, bool k) => (float[N] y) {
            y = If (k) <
                then_branch = t () => (float[N] p) { s = Sigmoid(x)  p = Mul(x, s) },
                else_branch = e () => (float[N] q) { q = Neg(x) }
            >
        }
        """,
        after="""
        y = If(k)
          then_branch:
            p = com.example.Swish(x)
          else_branch:
            q = Neg(x)
        """,
    )


def test_inside_a_function_of_the_model() -> None:
    result = check(
        SwishInjection(),
        before="""
        <ir_version: 10, opset_import: ["" : 17, "my" : 1]>
        g (float[N] x) => (float[N] y) { y = my.Block(x) }
        <domain: "my", opset_import: ["" : 17]>
        Block (x) => (y) { s = Sigmoid(x)  a = Mul(x, s)  y = Neg(a) }
        """,
        after="y = my.Block(x)",
        unchecked="type",
    )
    block, swish = result.proto.functions
    assert [node.op_type for node in block.node] == ["Swish", "Neg"]
    assert [node.op_type for node in swish.node] == ["Sigmoid", "Mul"]


def test_the_operator_does_not_call_itself() -> None:
    check(
        SwishInjection(),
        before=f"""
        <ir_version: 10, opset_import: ["" : 17, "com.example" : 1]>
        g (float[N] x) => (float[N] y) {{ y = com.example.Swish(x) }}
        {SWISH}
        """,
        declined="cannot call itself",
    )


def test_an_operator_of_that_name_with_another_meaning_is_not_called() -> None:
    check(
        SwishInjection(),
        before=f"""
        <ir_version: 10, opset_import: ["" : 17, "com.example" : 1]>
        g (float[N] x) => (float[N] y)
        {{ s = Sigmoid(x)  a = Mul(x, s)  y = com.example.Swish(a) }}
        {SWISH.replace("Mul(x, s)", "Mul(s, s)")}
        """,
        declined="another function called com.example::Swish",
    )


def test_a_sigmoid_that_is_read_elsewhere_is_left_alone() -> None:
    check(
        SwishInjection(),
        before="""
        g (float[N] x) => (float[N] y, float[N] z) { s = Sigmoid(x)  y = Mul(x, s)  z = Neg(s) }
        """,
    )


def test_a_product_with_something_else_is_left_alone() -> None:
    check(
        SwishInjection(),
        before="g (float[N] x, float[N] w) => (float[N] y) { s = Sigmoid(x)  y = Mul(w, s) }",
    )


def test_a_model_from_before_there_were_functions_becomes_one_that_may_have_them() -> None:
    proto = model(
        '<ir_version: 4, opset_import: ["" : 11]>'
        "g (float[N] x) => (float[N] y) { s = Sigmoid(x)  y = Mul(x, s) }"
    )
    result = check(SwishInjection(), before=proto, after="y = com.example.Swish(x)")
    assert result.proto.ir_version == 8
    assert calls(proto) == "s = Sigmoid(x)\ny = Mul(x, s)"
