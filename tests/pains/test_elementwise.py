from __future__ import annotations

import numpy as np
import pytest

from pains.promises import all_keep, optimized

NAN = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-42], "f4")


def test_halving_an_integer_by_way_of_floats_rounds_toward_zero():
    """A12: cast_int_floatmul_int."""
    optimized(
        """g (int64[4] x) => (int64[4] y) <float half = {0.5}>
        { a = Cast<to=1>(x) b = Mul(a, half) y = Cast<to=7>(b) }""",
        {"x": np.array([-7, 7, -8, 3])},
        expect=[[-3, 3, -4, 1]],
    )


@pytest.mark.parametrize(
    "graph",
    [
        pytest.param(text, id=f"A12-{name}")
        for name, text in {
            "cast_int_div_int": """g (int64[4] x) => (int64[4] y) <float k = {2}>
                { a = Cast<to=1>(x) b = Div(a, k) y = Cast<to=7>(b) }""",
            "cast_f32_int_f32": """g (float[4] x) => (float[4] y)
                { a = Cast<to=7>(x) y = Cast<to=1>(a) }""",
            "cast_f32_f16_f32": """g (float[4] x) => (float[4] y)
                { a = Cast<to=10>(x) y = Cast<to=1>(a) }""",
            "cast_f32_f64_f32": """g (float[4] x) => (float[4] y)
                { a = Cast<to=11>(x) y = Cast<to=1>(a) }""",
            "cast_int64_bool_int64": """g (int64[4] x) => (int64[4] y)
                { a = Cast<to=9>(x) y = Cast<to=7>(a) }""",
            "cast_int64_int32_int64": """g (int64[4] x) => (int64[4] y) <int64 k = {8589934592}>
                { b = Mul(x, k) a = Cast<to=6>(b) y = Cast<to=7>(a) }""",
            "cast_int64_float_int64": """g (int64[4] x) => (int64[4] y) <int64 k = {16777217}>
                { b = Mul(x, k) a = Cast<to=1>(b) y = Cast<to=7>(a) }""",
            "cast_uint8_int8_int32": """g (uint8[4] x) => (int32[4] y) <uint8 k = {250}>
                { b = BitwiseOr(x, k) a = Cast<to=3>(b) y = Cast<to=6>(a) }""",
            "cast_to_its_own_type": """g (float[4] x) => (float[4] y)
                { a = Cast<to=1>(x) y = Relu(a) }""",
        }.items()
    ],
)
def test_a_pair_of_casts_goes_only_if_the_first_preserves_the_value(graph: str):
    optimized(graph, opset=18)


def test_the_mask_of_a_dropout_is_all_true():
    """A13: dropout_mask_used, the recipe."""
    optimized(
        "g (float[2,3] x) => (float[2,3] y) { d, m = Dropout(x) c = Cast<to=1>(m) y = Add(d, c) }",
        {"x": np.zeros((2, 3), "f4")},
        expect=[np.ones((2, 3), "f4")],
    )


def test_the_mask_of_a_dropout_may_be_an_output():
    """A13: dropout_mask_output."""
    optimized("g (float[N,3] x) => (float[N,3] y, bool[N,3] m) { y, m = Dropout(x) }")


def test_zeros_of_both_signs_are_two_constants():
    """A15: neg_zero_dedupe."""
    optimized(
        "g (float[2] x) => (float[2] y, float[2] z) { y = Div(x, p) z = Div(x, n) }",
        {"x": np.ones(2, "f4")},
        expect=[np.full(2, np.inf, "f4"), np.full(2, -np.inf, "f4")],
        p=np.zeros(2, "f4"),
        n=-np.zeros(2, "f4"),
    )


def test_the_same_bytes_in_two_types_are_two_constants():
    """A15: same_bytes_diff_dtype_dedupe."""
    optimized(
        """g (float[2] x, int32[2] i) => (float[2] y, int32[2] z, float[2,1] u)
        { y = Add(x, a) z = Add(i, b) t = Mul(c, c) u = Add(t, c) }""",
        a=np.array([1, 2], "f4"),
        b=np.array([1, 2], "f4").view("i4"),
        c=np.array([[1], [2]], "f4"),
    )


def test_constants_that_are_no_numbers_stay_what_they_are():
    """A15: nan_initializers."""
    optimized(
        """g (float[6] x) => (float[6] y, float[6] z, bool[6] u)
        { y = Add(x, a) z = Mul(a, b) u = Equal(a, b) }""",
        a=NAN,
        b=NAN.copy(),
    )


def test_clips_of_disjoint_intervals_end_in_the_second():
    """A16: clip_clip_disjoint, the recipe."""
    optimized(
        """g (float[4] x) => (float[4] y)
        <float a = {0}, float b = {1}, float c = {2}, float d = {3}>
        { t = Clip(x, a, b) y = Clip(t, c, d) }""",
        {"x": np.array([-5, 0.5, 2.5, 9], "f4")},
        expect=[np.full(4, 2, "f4")],
    )


def test_a_clip_below_zero_after_relu_is_its_upper_bound():
    """A16: relu_clip_negative_max, the recipe."""
    optimized(
        """g (float[4] x) => (float[4] y) <float a = {-2}, float b = {-1}>
        { t = Relu(x) y = Clip(t, a, b) }""",
        {"x": np.array([-5, 0.5, 2.5, 9], "f4")},
        expect=[np.full(4, -1, "f4")],
    )


@pytest.mark.parametrize(
    "graph",
    [
        pytest.param(text, id=f"{name}")
        for name, text in {
            "A16-min_max_reversed_bounds": """g (float[4] x) => (float[4] y, float[4] z)
                <float a = {2}, float b = {-2}>
                { t = Max(x, a) y = Min(t, b) u = Min(x, b) z = Max(u, a) }""",
            "A16-clip_no_max_then_relu": """g (float[4] x) => (float[4] y, float[4] z)
                <float a = {-1}>
                { t = Clip(x, a) y = Relu(t) u = Relu(x) z = Clip(u, , a) }""",
            "A16-clip_bounds_reversed": """g (float[4] x) => (float[4] y)
                <float a = {1}, float b = {-1}, float c = {0}>
                { t = Clip(x, a, b) y = Clip(t, c) }""",
            "A16-clip_of_clip_of_data": """g (float[4] x, float lo) => (float[4] y)
                <float a = {-1}, float b = {1}>
                { t = Clip(x, a, b) y = Clip(t, lo) }""",
            "F76-clip_empty_optional": """g (float[4] x) => (float[4] y, float[4] z)
                <float b = {1}> { t = Clip(x) u = Clip(t, , b) y = Relu(u) z = Clip(t, , ) }""",
            "A17-min_max_size1_bounds_rank": """g (float[6] x) => (float[1,6] y)
                <float[1,1] a = {-0.5}, float[1] b = {0.5}> { t = Max(x, a) y = Min(t, b) }""",
            "A17-min_max_scalar_bounds": """g (float[6] x) => (float[6] y)
                <float a = {-0.5}, float b = {0.5}> { t = Max(x, a) y = Min(b, t) }""",
            "A25-argmax_softmax_axis_mismatch": """g (float[3,4] x) => (int64[4] y, int64[3] z)
                { t = Softmax<axis=1>(x) y = ArgMax<axis=0, keepdims=0>(t)
                  z = ArgMax<axis=1, keepdims=0>(t) }""",
            "A25-reduce_keepdims0_unsqueeze_other_axis": """g (float[3,4] x) => (float[3,1] y)
                <int64[1] a = {0}, int64[1] b = {1}, int64[1] c = {-1}>
                { t = ReduceSum<keepdims=0>(x, c) y = Unsqueeze(t, b) }""",
            "A25-reduce_keepdims0_unsqueeze_in_front": """g (float[3,4] x) => (float[1,3] y)
                <int64[1] a = {0}, int64[1] c = {-1}>
                { t = ReduceSum<keepdims=0>(x, c) y = Unsqueeze(t, a) }""",
            "A25-reduce_unsqueeze_noop_empty_axes": """g (float[3,4] x) => (float[3,1,4] y)
                <int64[1] b = {1}>
                { t = ReduceSum<keepdims=0, noop_with_empty_axes=1>(x) y = Unsqueeze(t, b) }""",
            "A25-reduce_of_all_axes": """g (float[3,4] x) => (float y, float[1,1] z)
                { y = ReduceMean<keepdims=0>(x) z = ReduceMax(x) }""",
        }.items()
    ],
)
def test_bounds_and_axes_mean_what_they_say(graph: str):
    optimized(graph)


@pytest.mark.parametrize("opset", [11, 12, 13])
def test_softmax_flattens_before_opset_13(opset: int):
    """A25: log_softmax_opset11_axis."""
    optimized(
        """g (float[2,3,4] x) => (float[2,3,4] y, float[2,3,4] z)
        { t = Softmax<axis=1>(x) y = Log(t) z = LogSoftmax<axis=1>(x) }""",
        opset=opset,
    )


def test_a_comparison_of_constants_is_folded_in_any_opset():
    """D64: greater_or_equal_opset12_fold."""
    for opset in (12, 15, 16, 18):
        results = optimized(
            """g (float[2] x) => (float[2] y) <float[2] a = {1,2}, float[2] b = {2,1}>
            { c = GreaterOrEqual(a, b) d = Where(c, a, b) y = Add(x, d) }""",
            opset=opset,
        )
        assert [node.op_type for node in results["standard"].graph.node] == ["Add"]


def test_operators_of_unsigned_numbers_wrap_around():
    """A12."""
    results = optimized(
        """g (uint8[4] x) => (uint8[4] y, int8[4] z) <uint8 a = {250}, uint8 b = {10}>
        { c = Add(a, b) y = Add(x, c) d = Sub(b, a) e = Cast<to=3>(d) f = Cast<to=3>(x)
          z = Add(e, f) }"""
    )
    all_keep({"standard": results["standard"]}, Add=2)
