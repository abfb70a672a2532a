from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from onnxforge import Model, PassManager
from onnxforge.storage import from_array
from onnxforge.testing import check, model
from onnxforge_passes.constant_folding import ConstantFolding
from onnxforge_passes.unused_initializer_removal import UnusedInitializerRemoval


def folded(proto: ModelProto, **options: int) -> Model:
    result = Model(proto).copy()
    PassManager([ConstantFolding(**options)]).run(result)
    return result


def assert_left_alone(proto: ModelProto, reason: str = "") -> None:
    """Assert that nothing changes, of a model that cannot be run to compare."""
    result = Model(proto).copy()
    report = PassManager([ConstantFolding()]).run(result)
    assert result.to_proto() == proto
    given = [each for step in report.steps for each in step.declined]
    assert not reason or any(reason in each for each in given), given


def test_a_region_of_constants_becomes_one_constant() -> None:
    check(
        ConstantFolding(),
        before="""
        g (float[4] x) => (float[4] y) <float[4] a, float[4] b> {
            s = Mul(a, b)
            e = Exp(s)
            y = Add(x, e)
        }
        """,
        after="y = Add(x, *)",
    )


def test_half_precision_constants_fold() -> None:
    result = check(
        ConstantFolding(),
        before="""
        g (float16[4] x) => (float16[4] y) <float16[4] a, float16[4] b> {
            s = Sub(a, b)
            r = Tanh(s)
            y = Add(x, r)
        }
        """,
        after="y = Add(x, *)",
    )
    (value,) = result.graph.initializers
    assert value.numpy().dtype == np.float16


def test_only_what_leaves_the_region_becomes_a_constant() -> None:
    result = check(
        ConstantFolding(),
        before="""
        g (float[4] x) => (float[4] y, float[4] z) <float[4] a> {
            s = Neg(a)
            e = Exp(s)
            y = Add(x, e)
            z = Mul(x, s)
        }
        """,
        after="""
        y = Add(x, *)
        z = Mul(x, *)
        """,
    )
    assert len(result.graph.initializers) == 2


def test_the_shape_of_a_static_tensor_is_a_constant() -> None:
    check(
        ConstantFolding(),
        before="""
        g (float[2,3,4] x) => (float[A,B] y) {
            s = Shape(x)
            one = Constant<value_int = 1>()
            c = Gather(s, one)
            axes = Constant<value_ints = [0]>()
            u = Unsqueeze(c, axes)
            minus = Constant<value_ints = [-1]>()
            t = Concat<axis = 0>(u, minus)
            y = Reshape(x, t)
        }
        """,
        after="y = Reshape(x, *)",
    )


def test_the_known_part_of_a_dynamic_shape_is_a_constant() -> None:
    check(
        ConstantFolding(),
        before="""
        g (float[N,3,4] x) => (float[A,B] y) {
            s = Shape(x)
            one = Constant<value_int = 1>()
            zero = Constant<value_int = 0>()
            n = Gather(s, zero)
            c = Gather(s, one)
            four = Constant<value_int = 4>()
            p = Mul(c, four)
            axes = Constant<value_ints = [0]>()
            u = Unsqueeze(n, axes)
            v = Unsqueeze(p, axes)
            t = Concat<axis = 0>(u, v)
            y = Reshape(x, t)
        }
        """,
        after="""
        s = Shape(x)
        n = Gather(s, *)
        u = Unsqueeze(n, *)
        t = Concat<axis=0>(u, *)
        y = Reshape(x, t)
        """,
    )


def test_outputs_of_a_partly_known_split_are_constants_each_on_its_own() -> None:
    check(
        ConstantFolding(),
        before="""
        g (float[N,3] x) => (float[A,B] y, int64[1] n) {
            s = Shape(x)
            sizes = Constant<value_ints = [1, 1]>()
            n, c = Split(s, sizes)
            minus = Constant<value_ints = [-1]>()
            t = Concat<axis = 0>(c, minus)
            y = Reshape(x, t)
        }
        """,
        after="""
        s = Shape(x)
        n, c = Split(s, *)
        y = Reshape(x, *)
        """,
    )


def test_integer_division_rounds_to_zero() -> None:
    result = check(
        ConstantFolding(),
        before="""
        g (int64[4] x) => (int64[4] y)
        <int64[4] a = {-7, 7, -8, 3}, int64[4] b = {2, -2, 3, 2}> {
            q = Div(a, b)
            y = Add(x, q)
        }
        """,
        after="y = Add(x, *)",
    )
    (value,) = result.graph.initializers
    assert value.numpy().tolist() == [-3, -3, -2, 1]


def test_strings_fold() -> None:
    check(
        ConstantFolding(),
        before="""
        g (string[2] x) => (bool[2] y) <int64[1] i = {1}, string[2] a = {"left", "right"}> {
            b = Gather(a, i)
            y = Equal(x, b)
        }
        """,
        after="y = Equal(x, *)",
        opset=19,
    )


def test_eight_bit_floats_stay_where_the_runtime_hands_out_bare_bytes() -> None:
    check(
        ConstantFolding(),
        before="""
        g (float[4] x) => (float[4] y) <float s, float a = {0.0}> {
            e = Cast<to = 17>(x)
            z = Cast<to = 17>(a)
            y = DequantizeLinear(e, s, z)
        }
        """,
        declined="not of the inferred type",
        opset=21,
    )


def test_bfloat16_constants_fold() -> None:
    result = check(
        ConstantFolding(),
        before="""
        g (float[4] x) => (float[8] y) <float[4] a> {
            b = Cast<to = 16>(a)
            v = Cast<to = 16>(x)
            c = Concat<axis = 0>(b, v)
            y = Cast<to = 1>(c)
        }
        """,
        after="""
        v = Cast<to=16>(x)
        c = Concat<axis=0>(*, v)
        y = Cast<to=1>(c)
        """,
    )
    (value,) = result.graph.initializers
    assert value.dtype == TensorProto.BFLOAT16


# What stays, since it has no one value


@pytest.mark.parametrize(
    "node",
    [
        "RandomNormal<shape = [4]>()",
        "RandomUniform<shape = [4]>()",
        "RandomNormalLike(p)",
        "RandomUniformLike(p)",
        "Bernoulli(p)",
    ],
)
def test_random_operators_stay(node: str) -> None:
    proto = model(f"""
        g (float[4] x) => (float[4] y) <float[4] p> {{
            r = {node}
            s = {node}
            d = Sub(r, s)
            y = Add(x, d)
        }}
    """)
    assert_left_alone(proto)


def test_multinomial_stays() -> None:
    proto = model("""
        g (int32[1,2] x) => (int32[1,2] y) <float[1,4] p> {
            r = Multinomial<sample_size = 2>(p)
            y = Add(x, r)
        }
    """)
    assert [node.op_type for node in folded(proto).graph] == ["Multinomial", "Add"]


def test_dropout_in_training_mode_stays() -> None:
    proto = model("""
        g (float[4] x) => (float[4] y) <float[4] p, float ratio = {0.5}, bool training = {1}> {
            r = Dropout(p, ratio, training)
            y = Add(x, r)
        }
    """)
    assert [node.op_type for node in folded(proto).graph] == ["Dropout", "Add"]


def test_custom_operators_stay() -> None:
    proto = model("""
        <ir_version: 10, opset_import: ["" : 17, "com.example" : 1]>
        g (float[4] x) => (float[4] y) <float[4] a> {
            b = com.example.MyOp(a)
            c = Neg(b)
            y = Add(x, c)
        }
    """)
    assert [node.op_type for node in folded(proto).graph] == ["MyOp", "Neg", "Add"]


def test_calls_of_functions_of_the_model_fold() -> None:
    check(
        ConstantFolding(),
        before="""
        <ir_version: 10, opset_import: ["" : 17, "my" : 1]>
        g (float[4] x) => (float[4] y) <float[4] a> { b = my.Twice(a)  y = Add(x, b) }
        <domain: "my", opset_import: ["" : 17]>
        Twice (x) => (y) { y = Add(x, x) }
        """,
        after="y = Add(x, *)",
    )


def test_constants_inside_a_function_fold_to_a_constant_node() -> None:
    result = check(
        ConstantFolding(),
        before="""
        <ir_version: 10, opset_import: ["" : 17, "my" : 1]>
        g (float[4] x) => (float[4] y) { y = my.F(x) }
        <domain: "my", opset_import: ["" : 17]>
        F (x) => (y) {
            a = Constant<value_float = 2.0>()
            b = Constant<value_float = 3.0>()
            c = Mul(a, b)
            y = Mul(x, c)
        }
        """,
        after="y = my.F(x)",
    )
    (function,) = result.functions
    assert [node.op_type for node in function] == ["Constant", "Mul"]


def test_attributes_left_to_the_caller_of_a_function_are_not_known() -> None:
    check(
        ConstantFolding(),
        before="""
        <ir_version: 10, opset_import: ["" : 17, "my" : 1]>
        g (float[4] x) => (float[4] y) { y = my.F<to = 1>(x) }
        <domain: "my", opset_import: ["" : 17]>
        F<to>(x) => (y) {
            a = Constant<value_int = 2>()
            b = Cast<to : int = @to>(a)
            y = Mul(x, b)
        }
        """,
    )


def test_a_node_that_fails_stays_where_it_is() -> None:
    proto = model("""
        g (float[4] x) => (float[A] y) <float[2] w, int64[1] i = {5}> {
            a = Gather(w, i)
            y = Concat<axis = 0>(a, x)
        }
    """)
    assert_left_alone(proto, "Gather fails")


def test_one_node_that_fails_does_not_keep_the_others() -> None:
    proto = model("""
        g (float[4] x) => (float[4] y, float[A] z)
        <float[4] a, float[2,3] w, int64[2] shape = {7, 1}> {
            e = Exp(a)
            t = Tanh(e)
            y = Add(x, t)
            f = Cos(w)
            r = Reshape(f, shape)
            s = Sin(r)
            z = Sub(s, x)
        }
    """)
    result = folded(proto)
    assert [node.op_type for node in result.graph if node.op_type in ("Exp", "Tanh")] == []
    assert "Reshape" in [node.op_type for node in result.graph]


def test_a_division_of_integers_by_zero_stays() -> None:
    proto = model("""
        g (int64[2] x) => (int64[2] y) <int64[2] a, int64[2] b = {1, 0}> {
            q = Div(a, b)
            y = Add(x, q)
        }
    """)
    assert_left_alone(proto, "divided by zero")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("q = Expand(lowest, many) d = Div(q, minus) m = ReduceMax(d)", "may overflow"),
        ("q = Expand(lowest, many) d = Mod(q, minus) m = ReduceMax(d)", "may overflow"),
        ('e = Einsum<equation = "abc,wby->acwy">(none, none) m = ReduceSum(e)', "elements"),
        ('e = Einsum<equation = "...i,...->i">(pair, pair) m = ReduceSum(e)', "ellipsis"),
        ("i = InstanceNormalization(none, pair, pair) m = ReduceSum(i)", "elements"),
    ],
)
def test_what_may_end_the_process_stays(body: str, reason: str) -> None:
    text = f"""
    g (float[2] x) => (float[A,B,C,D] y)
    <int64 lowest = {{-9223372036854775808}}, int64 minus = {{-1}}, int64[1] many = {{5000}},
     float[2,2,0] none, float[2] pair> {{
        {body}
        c = Cast<to = 1>(m)
        y = Add(x, c)
    }}
    """
    subject = Model(model(text)).copy()
    report = PassManager([ConstantFolding()]).run(subject)
    assert any(reason in each for step in report.steps for each in step.declined)


def test_a_cast_that_the_target_type_does_not_hold_stays() -> None:
    check(
        ConstantFolding(),
        before="""
        g (int32[2] x) => (int32[2] y) <float[2] a = {1.0, 1e12}> {
            i = Cast<to = 6>(a)
            y = Add(x, i)
        }
        """,
        declined="does not hold it",
    )


# Quantization


def test_quantized_weights_stay_quantized() -> None:
    check(
        ConstantFolding(),
        before="""
        g (float[1,64] x) => (float[1,64] y) <int8[64,64] w, float s, int8 z> {
            d = DequantizeLinear(w, s, z)
            t = Transpose<perm = [1, 0]>(d)
            y = MatMul(x, t)
        }
        """,
    )


def test_dynamic_quantization_of_a_constant_stays() -> None:
    check(
        ConstantFolding(),
        before="""
        g (uint8[4] x) => (uint8[8] y) <float[4] a> {
            q, s, z = DynamicQuantizeLinear(a)
            y = Concat<axis = 0>(x, q)
        }
        """,
    )


def test_the_scale_of_a_quantized_weight_may_be_computed() -> None:
    check(
        ConstantFolding(),
        before="""
        g (float[1,64] x) => (float[1,64] y) <int8[64,64] w, float a, float b, int8 z> {
            s = Mul(a, b)
            d = DequantizeLinear(w, s, z)
            y = MatMul(x, d)
        }
        """,
        after="""
        d = DequantizeLinear(*, *, *)
        y = MatMul(x, d)
        """,
    )


# Size


def test_copies_of_a_constant_become_that_constant() -> None:
    result = check(
        ConstantFolding(),
        before="""
        g (float[4] x) => (float[4] y, float[4] w) <float[4] a> {
            b = Identity(a)
            c = Identity(b)
            s = Add(x, c)
            y = Mul(s, b)
            w = Identity(b)
        }
        """,
        after="""
        s = Add(x, *)
        y = Mul(s, *)
        """,
    )
    assert [value.name for value in result.graph.initializers] == ["a"]


def test_constant_of_shape_big_stays() -> None:
    check(
        ConstantFolding(),
        before="""
        g (float[2048,1024] x) => (float[2048,1024] y) <int64[2] shape = {2048, 1024}> {
            c = ConstantOfShape(shape)
            y = Add(c, x)
        }
        """,
        declined="larger than what it frees",
    )


def test_outer_product_big_stays() -> None:
    check(
        ConstantFolding(),
        before="""
        g (float[2048,1024] x) => (float[2048,1024] y) <float[2048,1] a, float[1,1024] b> {
            c = Mul(a, b)
            y = Add(c, x)
        }
        """,
        declined="larger than what it frees",
    )


@pytest.mark.parametrize("op_type", ["Expand", "Tile"])
def test_expand_and_tile_const_big_stay(op_type: str) -> None:
    check(
        ConstantFolding(),
        before=f"""
        g (float[1024,512] x) => (float[1024,512] y)
        <float[1,1] a, int64[2] shape = {{1024, 512}}> {{
            c = {op_type}(a, shape)
            y = Add(c, x)
        }}
        """,
        declined="larger than what it frees",
    )


def test_cast_fp16_weight_big_stays() -> None:
    check(
        ConstantFolding(),
        before="""
        g (float[1,64] x) => (float[1,64] y) <float16[64,64] w> {
            c = Cast<to = 1>(w)
            t = Transpose<perm = [1, 0]>(c)
            y = MatMul(x, t)
        }
        """,
        after=None,
        declined="Cast: its result is larger than what it frees",
    )


def test_cast_int8_mul_weight_big_stays() -> None:
    check(
        ConstantFolding(),
        before="""
        g (float[1,64] x) => (float[1,64] y) <int8[64,64] w, float s> {
            c = Cast<to = 1>(w)
            m = Mul(c, s)
            y = MatMul(x, m)
        }
        """,
    )


def test_shared_weight_transpose_big_stays() -> None:
    check(
        ConstantFolding(),
        before="""
        g (float[64,64] x) => (float[64,64] y) <float[64,64] w> {
            t = Transpose<perm = [1, 0]>(w)
            a = MatMul(x, t)
            y = MatMul(a, w)
        }
        """,
        declined="larger than what it frees",
    )


def test_a_transposed_weight_nobody_else_reads_folds() -> None:
    result = check(
        ConstantFolding(),
        before="""
        g (float[64,64] x) => (float[64,64] y) <float[64,64] w> {
            t = Transpose<perm = [1, 0]>(w)
            y = MatMul(x, t)
        }
        """,
        after="y = MatMul(x, *)",
    )
    assert len(result.graph.initializers) == 1


def test_parts_of_a_weight_fold_if_together_they_are_no_larger() -> None:
    proto = """
        g (float[1,64] x) => (float[1,64] y) <float[192,64] w, int64[3] sizes = {64, 64, 64}> {
            q, k, v = Split<axis = 0>(w, sizes)
            a = MatMul(x, q)
            b = MatMul(a, k)
            y = MatMul(b, v)
        }
    """
    after = """
        a = MatMul(x, *)
        b = MatMul(a, *)
        y = MatMul(b, *)
    """
    check(ConstantFolding(), proto, after)


def test_what_grows_in_the_middle_may_shrink_at_the_end() -> None:
    check(
        ConstantFolding(),
        before="""
        g (float[1,8] x) => (float[1,8] y)
        <int64[2] shape = {2048, 8}, int64[1] axes = {0}, float[1,8] a> {
            c = ConstantOfShape<value = float[1] {1.0}>(shape)
            d = Mul(c, a)
            s = ReduceSum<keepdims = 1>(d, axes)
            y = Add(x, s)
        }
        """,
        after="y = Add(x, *)",
    )


def test_of_a_chain_that_grows_at_the_end_the_beginning_folds() -> None:
    check(
        ConstantFolding(),
        before="""
        g (float[2048,16] x) => (float[2048,16] y)
        <float[1,16] a, float[1,16] b, int64[2] shape = {2048, 16}> {
            c = Exp(a)
            d = Mul(c, b)
            e = Expand(d, shape)
            y = Add(x, e)
        }
        """,
        after="""
        e = Expand(*, *)
        y = Add(x, e)
        """,
    )


def test_a_small_result_folds_although_what_it_is_computed_from_stays() -> None:
    check(
        ConstantFolding(),
        before="""
        g (float[2048,16] x) => (float[2048,16] y, float[1,1] z)
        <float[1,16] a, int64[2] shape = {2048, 16}> {
            e = Expand(a, shape)
            y = Add(x, e)
            m = ReduceMax<keepdims = 1>(e)
            z = Neg(m)
        }
        """,
        after="""
        e = Expand(*, *)
        y = Add(x, e)
        """,
    )


def test_the_allowance_is_what_a_constant_may_weigh_for_nothing() -> None:
    text = """
        g (float[16,16] x) => (float[16,16] y) <float[1,16] a, int64[2] shape = {16, 16}> {
            e = Expand(a, shape)
            y = Add(x, e)
        }
    """
    check(ConstantFolding(), text, "y = Add(x, *)")
    check(ConstantFolding(allowance=512), text, declined="larger than what it frees")


def test_nothing_huge_is_computed_even_in_passing() -> None:
    proto = model("""
        g (float[1] x) => (float[1] y) <int64[2] shape = {1000000, 1000000}, int64[2] axes = {0, 1}> {
            c = ConstantOfShape(shape)
            s = ReduceSum<keepdims = 0>(c, axes)
            y = Add(x, s)
        }
    """)
    assert_left_alone(proto, "exceeds max_bytes")


def test_results_too_large_for_memory_at_once_are_computed_in_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("onnxforge_passes.constant_folding._BATCH_BYTES", 1)
    check(
        ConstantFolding(),
        before="""
        g (float[64,64] x) => (float[64,64] y) <float[64,64] v, float[64,64] w> {
            a = Exp(v)
            b = Exp(w)
            c = MatMul(x, a)
            y = MatMul(c, b)
        }
        """,
        after="""
        c = MatMul(x, *)
        y = MatMul(c, *)
        """,
    )


# The signature


def test_a_constant_that_is_returned_is_a_node_of_its_own() -> None:
    result = check(
        ConstantFolding(),
        before="""
        g (float[4] x) => (float[4] y, float[4] c) <float[4] a, float[4] b> {
            e = Exp(a)
            c = Mul(e, b)
            y = Add(x, c)
        }
        """,
        after="y = Add(x, *)",
    )
    producer = result.graph.values["c"].producer
    assert producer is not None
    assert producer.op_type == "Constant"


def test_before_opset_9_a_constant_node_is_a_float() -> None:
    text = """
    g (float[4] x) => (float[4] y, int64[2] s, float[1] f)
    <int64[2] a = {1, 2}, int64[2] b = {3, 4}, float[1] c = {5}> {
        y = Neg(x)
        s = Add(a, b)
        f = Neg(c)
    }
    """
    subject = folded(model(text, opset=8))
    assert [node.op_type for node in subject.graph] == ["Neg", "Add", "Constant"]


def test_an_initializer_that_is_output_stays() -> None:
    check(
        ConstantFolding(),
        before="""
        g (float[4] x) => (float[4] y, float[4] a) <float[4] a> {
            e = Exp(a)
            y = Add(x, e)
        }
        """,
        after="y = Add(x, *)",
    )


def test_an_initializer_that_a_caller_may_override_is_no_constant() -> None:
    check(
        ConstantFolding(),
        before="""
        g (float[4] x, float[4] a = {1.0, 2.0, 3.0, 4.0}) => (float[4] y) {
            e = Exp(a)
            y = Add(x, e)
        }
        """,
    )


def test_constants_in_the_body_of_a_loop_fold() -> None:
    check(
        ConstantFolding(),
        before="""
        g (float[4] x, int64 n, bool c) => (float[4] y) <float[4] w> {
            y = Loop (n, c, x) <
                body = b (int64 i, bool c0, float[4] s) => (bool c1, float[4] t) {
                    k = Constant<value_floats = [1.0, 2.0, 3.0, 4.0]>()
                    e = Exp(w)
                    m = Mul(e, k)
                    t = Add(s, m)
                    c1 = Identity(c0)
                }
            >
        }
        """,
        after="""
        y = Loop(n, c, x)
          body:
            t = Add(s, *)
            c1 = Identity(c0)
        """,
    )


def test_what_a_body_returns_is_a_node_of_its_own() -> None:
    check(
        ConstantFolding(),
        before="""
        g (float[4] x, bool c) => (float[4] y) <float[4] w> {
            y = If (c) <
                then_branch = t () => (float[4] p) { p = Exp(w) },
                else_branch = e () => (float[4] q) { q = Neg(x) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
          else_branch:
            q = Neg(x)
        """,
    )


def test_a_loop_that_goes_on_whatever_happens_copies_no_condition() -> None:
    check(
        ConstantFolding(),
        before="""
        g (float[4] x, int64 n) => (float[4] y) <bool yes = {1}> {
            y = Loop (n, yes, x) <
                body = b (int64 i, bool c0, float[4] s) => (bool c1, float[4] t) {
                    c1 = Identity(yes)
                    t = Exp(s)
                }
            >
        }
        """,
        after="""
        y = Loop(n, *, x)
          body:
            t = Exp(s)
        """,
    )


def test_constants_that_a_body_reads_from_outside_fold_once() -> None:
    check(
        ConstantFolding(),
        before="""
        g (float[4] x, bool c) => (float[4] y) <float[4] w> {
            v = Exp(w)
            y = If (c) <
                then_branch = t () => (float[4] p) { p = Add(x, v) },
                else_branch = e () => (float[4] q) { q = Sub(x, v) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            p = Add(x, *)
          else_branch:
            q = Sub(x, *)
        """,
    )


def test_sequences_are_no_constants() -> None:
    check(
        ConstantFolding(),
        before="""
        g (float[4] x) => (float[4] y) <float[4] a, int64 i = {0}> {
            s = SequenceConstruct(a, a)
            e = SequenceAt(s, i)
            y = Add(x, e)
        }
        """,
    )


def test_before_version_4_of_the_format_constants_are_nodes() -> None:
    check(
        ConstantFolding(),
        before="""
        <ir_version: 3, opset_import: ["" : 11]>
        g (float[4] x) => (float[4] y) {
            a = Constant<value = float[4] {1.0, 2.0, 3.0, 4.0}>()
            e = Exp(a)
            y = Add(x, e)
        }
        """,
        after="y = Add(x, *)",
    )


def test_greater_or_equal_of_opset_12_folds() -> None:
    check(
        ConstantFolding(),
        before="""
        g (bool[4] x) => (bool[4] y) <float[4] a, float[4] b> {
            c = GreaterOrEqual(a, b)
            y = And(x, c)
        }
        """,
        after="y = And(x, *)",
        opset=12,
    )


def test_a_size_that_is_known_only_after_folding_lets_the_rest_fold_too() -> None:
    proto = model("""
        g (float[A,B] x) => (float[C,D] y) <float two, float[1,4] w> {
            p = Exp(two)
            q = Floor(p)
            n = Cast<to = 7>(q)
            axes = Constant<value_ints = [0]>()
            u = Unsqueeze(n, axes)
            one = Constant<value_ints = [1]>()
            shape = Concat<axis = 0>(u, one)
            e = Expand(w, shape)
            t = Tanh(e)
            y = Concat<axis = 0>(x, t)
        }
    """)
    assert [node.op_type for node in folded(proto).graph] == ["Concat"]


def test_a_shape_that_onnx_loses_track_of_folds_at_once_and_not_only_after_saving() -> None:
    result = folded(
        model("""
        g (float[1,2,4,4] x) => (float[A,B,C,D] y) <float[4] scales = {1.0, 1.0, 2.0, 2.0}> {
            s = Shape(x)
            one = Constant<value_ints = [1]>()
            m = Max(s, one)
            r = Reshape(x, m)
            z = Resize<mode = "nearest">(r, , scales)
            t = Shape(z)
            y = Reshape(z, t)
        }
        """)
    )
    assert [node.op_type for node in result.graph] == ["Reshape", "Resize", "Reshape"]


def test_weights_that_are_only_cut_and_joined_need_no_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr("onnxforge_passes.constant_folding.evaluate")
    text = """
    g (float[64,300] x) => (float[64,600] y) {
        i, o, f = Split<axis = 0>(W)
        turned = Concat<axis = 0>(i, f, o)
        backward = Gather(turned, rows)
        flat = Transpose(backward)
        y = MatMul(x, flat)
    }
    """
    proto = model(text)
    W = np.arange(600 * 300, dtype=np.float32).reshape(600, 300)
    proto.graph.initializer.append(from_array(W, "W"))
    proto.graph.initializer.append(from_array(np.arange(599, -1, -1), "rows"))
    result = folded(proto)
    assert [node.op_type for node in result.graph] == ["MatMul"]
    i, o, f = np.split(W, 3)
    (weights,) = [value.numpy() for value in result.graph.initializers if value.is_used]
    assert (weights == np.concatenate([i, f, o])[::-1].T).all()


def test_many_small_chains_need_no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("onnxforge_passes.constant_folding.evaluate")
    nodes = []
    for i in range(300):
        nodes += [
            helper.make_node("Shape", ["x"], [f"s{i}"]),
            helper.make_node("Gather", [f"s{i}", "one"], [f"g{i}"]),
            helper.make_node("Concat", [f"g{i}", "minus"], [f"c{i}"], axis=0),
            helper.make_node("Reshape", ["x", f"c{i}"], [f"r{i}"]),
        ]
    nodes.append(helper.make_node("Sum", [f"r{i}" for i in range(300)], ["y"]))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [from_array(np.array([1]), "one"), from_array(np.array([-1]), "minus")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    result = folded(proto)
    assert {node.op_type for node in result.graph} == {"Reshape", "Sum"}


SPENDING = """
g (float[1,64] x) => (float[64,64] y) <float[64,64] unused, float[64,1] column, float[1,64] row> {{
    {extra}
    big = Add(column, row)
    y = Mul(big, x)
}}
"""


def spent(price: int) -> list[str]:
    """The operators left of a model whose result of 16 KiB takes 512 bytes of constants."""
    subject = Model(model(SPENDING.format(extra="")))
    passes = [UnusedInitializerRemoval(), ConstantFolding(price=price)]
    PassManager(passes).run(subject)
    again = Model(subject.to_proto())
    assert PassManager(passes).run(again).changes == 0
    return [node.op_type for node in again.graph]


def test_what_a_run_has_saved_pays_for_a_file_that_grows() -> None:
    assert spent(price=1 << 15) == ["Mul"]


@pytest.mark.parametrize("price", [0, 1 << 13])
def test_no_more_is_spent_on_a_node_than_its_price(price: int) -> None:
    assert spent(price) == ["Add", "Mul"]


def test_what_was_not_saved_is_not_spent() -> None:
    text = SPENDING.format(extra="z = Neg(unused)").replace("=> (", "=> (float[64,64] z, ")
    subject = Model(model(text))
    PassManager([UnusedInitializerRemoval(), ConstantFolding(price=1 << 15)]).run(subject)
    assert [node.op_type for node in subject.graph] == ["Constant", "Add", "Mul"]


def test_weights_are_not_cast_to_a_wider_type_at_any_price() -> None:
    text = """
    g (float[1,64] x) => (float[64,64] y) <float[64,64] unused, float16[64,64] half> {
        whole = Cast<to = 1>(half)
        turned = Transpose(whole)
        y = Mul(turned, x)
    }
    """
    subject = Model(model(text))
    PassManager([UnusedInitializerRemoval(), ConstantFolding(price=1 << 15)]).run(subject)
    assert [node.op_type for node in subject.graph] == ["Cast", "Transpose", "Mul"]
