from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from pains.promises import all_keep, count, graphs, optimized

BORDER = {"x": -1 - np.abs(np.random.default_rng(0).standard_normal((1, 3, 6, 6))).astype("f4")}

NORM = "<float[3,3,3,3] W, float[3] s, float[3] b, float[3] m, float[3] v>"


def test_padding_with_zeros_is_not_the_padding_of_max_pool():
    """A1: pad_zero_maxpool."""
    optimized(
        """g (float[1,3,6,6] x) => (float[1,3,N,M] y) <int64[8] p = {0,0,1,1,0,0,1,1}, float z = {0}>
        { q = Pad(x, p, z) y = MaxPool<kernel_shape=[3,3]>(q) }""",
        BORDER,
    )


def test_padding_with_minus_infinity_may_become_the_padding_of_max_pool():
    """A1."""
    optimized(
        """g (float[1,3,6,6] x) => (float[1,3,6,6] y) <int64[8] p = {0,0,1,1,0,0,1,1}>
        { q = Pad(x, p, z) y = MaxPool<kernel_shape=[3,3]>(q) }""",
        BORDER,
        z=np.array(-np.inf, "f4"),
    )


@pytest.mark.parametrize("included", [0, 1])
def test_padding_before_average_pool_counts_as_values(included: int):
    """A1: pad_averagepool_exclude_pad."""
    optimized(
        f"""g (float[1,3,6,6] x) => (float[1,3,6,6] y) <int64[8] p = {{0,0,1,1,0,0,1,1}}>
        {{ q = Pad(x, p)
           y = AveragePool<kernel_shape=[3,3], count_include_pad={included}>(q) }}""",
        BORDER,
    )


@pytest.mark.parametrize(
    "graph",
    [
        pytest.param(text, id=f"A3-{name}")
        for name, text in {
            "conv_mul_lastaxis_W_eq_C": """g (float[N,3,4,4] x) => (float[N,4,4,4] y)
                <float[4,3,3,3] W, float[4] k>
                { c = Conv<pads=[1,1,1,1]>(x, W) y = Mul(c, k) }""",
            "conv_mul_lastaxis_rank4": """g (float[N,3,4,4] x) => (float[N,4,4,4] y)
                <float[4,3,3,3] W, float[1,1,1,4] k>
                { c = Conv<pads=[1,1,1,1]>(x, W) y = Mul(c, k) }""",
            "conv_add_lastaxis_W_eq_C": """g (float[N,3,4,4] x) => (float[N,4,4,4] y)
                <float[4,3,3,3] W, float[4] k>
                { c = Conv<pads=[1,1,1,1]>(x, W) y = Add(c, k) }""",
            "conv_add_height_axis": """g (float[N,3,4,4] x) => (float[N,4,4,4] y)
                <float[4,3,3,3] W, float[4] b, float[4,1] k>
                { c = Conv<pads=[1,1,1,1]>(x, W, b) y = Add(c, k) }""",
            "conv1out_mul_channel_vector_broadcast_up": """g (float[N,3,4,4] x) => (float[N,5,4,4] y)
                <float[1,3,3,3] W, float[5,1,1] k>
                { c = Conv<pads=[1,1,1,1]>(x, W) y = Mul(c, k) }""",
            "conv_add_broadcast_up_batch": """g (float[1,3,4,4] x) => (float[2,4,4,4] y)
                <float[4,3,3,3] W, float[2,4,1,1] k>
                { c = Conv<pads=[1,1,1,1]>(x, W) y = Add(c, k) }""",
            "conv_add_rank5_broadcast": """g (float[N,3,4,4] x) => (float[4,N,4,4,4] y)
                <float[4,3,3,3] W, float[4,1,1,1,1] k>
                { c = Conv<pads=[1,1,1,1]>(x, W) y = Add(c, k) }""",
            "per_channel": """g (float[N,3,4,4] x) => (float[N,4,4,4] y)
                <float[4,3,3,3] W, float[4,1,1] k, float[1,4,1,1] a>
                { c = Conv<pads=[1,1,1,1]>(x, W) d = Mul(c, k) y = Add(d, a) }""",
        }.items()
    ],
)
def test_a_vector_is_per_channel_only_if_it_lies_along_the_channels(graph: str):
    optimized(graph)


@pytest.mark.parametrize("operator", ["Sub", "Div"])
def test_a_channel_vector_minus_or_over_a_conv_is_not_the_reverse(operator: str):
    """A3."""
    optimized(
        f"""g (float[N,3,4,4] x) => (float[N,4,2,2] y, float[N,4,2,2] z)
        <float[4,3,3,3] W, float[4,1,1] k>
        {{ c = Conv(x, W) y = {operator}(k, c) d = Conv(x, W) z = {operator}(d, k) }}"""
    )


def test_batch_normalization_that_trains_stays():
    """A4: conv_bn_training_mode."""
    results = optimized(
        f"""g (float[N,3,4,4] x) => (float[N,3,2,2] y, float[3] rm, float[3] rv) {NORM}
        {{ c = Conv(x, W)
           y, rm, rv = BatchNormalization<training_mode=1>(c, s, b, m, v) }}"""
    )
    all_keep(results, BatchNormalization=1, Conv=1)


def test_batch_normalization_that_trains_stays_if_only_its_first_output_is_read():
    """A4."""
    results = optimized(
        f"""g (float[N,3,4,4] x) => (float[N,3,2,2] y) {NORM}
        {{ c = Conv(x, W) y, rm, rv = BatchNormalization<training_mode=1>(c, s, b, m, v) }}"""
    )
    all_keep(results, BatchNormalization=1)


def test_batch_normalization_with_five_outputs_stays():
    """A4: the form that trains before opset 14."""
    results = optimized(
        f"""g (float[N,3,4,4] x) => (float[N,3,2,2] y, float[3] rm) {NORM}
        {{ c = Conv(x, W)
           y, rm, rv, sm, sv = BatchNormalization(c, s, b, m, v) }}""",
        opset=13,
        compare=None,
    )
    all_keep(results, BatchNormalization=1)


def test_conv_and_batch_normalization_become_one_node_with_two_weights():
    """A5: no heap of nodes, and computed in float64."""
    results = optimized(
        f"""g (float[N,3,4,4] x) => (float[N,3,2,2] y) {NORM}
        {{ c = Conv(x, W) y = BatchNormalization(c, s, b, m, v) }}"""
    )
    for name in ("standard", "conv-batch-norm-fusion"):
        assert count(results[name]) == {"Conv": 1}
        assert len(results[name].graph.initializer) == 2


def test_a_small_variance_is_not_lost_to_rounding():
    """A5: rounded once, from float64; epsilon decides where the variance is nothing."""
    optimized(
        """g (float[N,3,4,4] x) => (float[N,3,2,2] y)
        <float[3,3,3,3] W, float[3] s, float[3] b, float[3] m>
        { c = Conv(x, W) y = BatchNormalization<epsilon=0.001>(c, s, b, m, v) }""",
        v=np.array([0, 1e-12, 1e6], "f4"),
    )


@pytest.mark.parametrize(
    "second",
    [
        pytest.param("d = BatchNormalization(e, t, b, m, v)", id="conv_bn_shared_weight"),
        pytest.param("d = Relu(e)", id="conv_bn_shared_weight_one_plain"),
    ],
)
def test_a_weight_with_two_users_is_not_rescaled_for_both(second: str):
    """A6."""
    optimized(
        f"""g (float[N,3,4,4] x) => (float[N,3,2,2] y, float[N,3,2,2] d)
        <float[3,3,3,3] W, float[3] s, float[3] t, float[3] b, float[3] m, float[3] v>
        {{ c = Conv(x, W) y = BatchNormalization(c, s, b, m, v) e = Conv(x, W) {second} }}"""
    )


def test_a_conv_read_by_two_keeps_its_numbers():
    """A6."""
    optimized(
        f"""g (float[N,3,4,4] x) => (float[N,3,2,2] y, float[N,3,2,2] z) {NORM}
        {{ c = Conv(x, W) y = BatchNormalization(c, s, b, m, v) z = Relu(c) }}"""
    )


@pytest.mark.parametrize(
    "graph",
    [
        pytest.param(
            """g (float[N,4,4,4] x) => (float[N,6,6,6] y)
            <float[4,3,3,3] W, float[6] s, float[6] b, float[6] m, float[6] v>
            { c = ConvTranspose<group=2>(x, W) y = BatchNormalization(c, s, b, m, v) }""",
            id="A7-convtranspose_bn_group2",
        ),
        pytest.param(
            """g (float[N,4,4,4] x) => (float[N,6,6,6] y) <float[4,3,3,3] W, float[1,6,1,1] k>
            { c = ConvTranspose<group=2>(x, W) y = Mul(c, k) }""",
            id="A7-convtranspose_mul_group2",
        ),
        pytest.param(
            """g (float[N,4,4,4] x) => (float[N,4,6,6] y) <float[4,4,3,3] W, float[4,1,1] k>
            { c = ConvTranspose(x, W) y = Mul(c, k) }""",
            id="A7-convtranspose_mul_square",
        ),
        pytest.param(
            """g (float[N,4,4,4] x) => (float[N,6,2,2] y)
            <float[6,2,3,3] W, float[6] s, float[6] b, float[6] m, float[6] v>
            { c = Conv<group=2>(x, W) y = BatchNormalization(c, s, b, m, v) }""",
            id="A7-conv_bn_group2",
        ),
    ],
)
def test_the_channels_of_a_transposed_convolution_are_its_second_axis_per_group(graph: str):
    optimized(graph)


def test_weights_keep_their_element_type_when_normalization_is_in_another():
    """A8: conv_bn_mixed_dtype_fp16_x_fp32_params."""
    results = optimized(
        """g (float16[N,3,4,4] x) => (float16[N,3,2,2] y)
        <float16[3,3,3,3] W, float[3] s, float[3] b, float[3] m, float[3] v>
        { c = Conv(x, W) y = BatchNormalization(c, s, b, m, v) }"""
    )
    for name, result in results.items():
        types = {t.name: t.data_type for t in result.graph.initializer}
        for node in result.graph.node:
            if node.op_type == "Conv":
                assert {types[each] for each in node.input[1:]} == {TensorProto.FLOAT16}, name


@pytest.mark.parametrize(
    "pad",
    [
        pytest.param("p = Pad(x, neg)", id="A9-pad_negative_conv"),
        pytest.param('p = Pad<mode="reflect">(x, pads)', id="A9-pad_reflect_conv"),
        pytest.param('p = Pad<mode="edge">(x, pads)', id="A9-pad_edge_conv"),
        pytest.param("p = Pad(x, pads, five)", id="A9-pad_value_conv"),
        pytest.param("p = Pad(x2, chan)", id="A9-pad_channel_conv"),
        pytest.param("p = Pad(x, two, zero, axes)", id="A9-pad_axes_input_conv"),
        pytest.param("p = Pad(x, pads)", id="A9-pad_plain_conv"),
        pytest.param("p = Pad(x, asym, zero)", id="A9-pad_asymmetric_conv"),
    ],
)
@pytest.mark.parametrize(
    "attributes",
    [
        "pads=[0,0,0,0]",
        "pads=[1,0,1,2]",
        pytest.param('auto_pad="SAME_UPPER"', id="pad_conv_same_upper"),
        'auto_pad="VALID"',
    ],
)
def test_padding_ahead_of_a_convolution_keeps_its_meaning(pad: str, attributes: str):
    optimized(
        f"""g (float[1,3,7,7] x) => (float[1,4,H,V] y)
        <float[4,3,3,3] W, int64[8] neg = {{0,0,-1,-1,0,0,-1,0}},
         int64[8] pads = {{0,0,1,1,0,0,1,1}}, int64[8] asym = {{0,0,0,1,0,0,2,0}},
         int64[8] chan = {{0,1,0,0,0,0,0,0}}, int64[4] two = {{1,2,1,0}},
         int64[2] axes = {{-1,2}}, float five = {{5}}, float zero = {{0}},
         int64[1] from0 = {{0}}, int64[1] to2 = {{2}}, int64[1] axis1 = {{1}}>
        {{ x2 = Slice(x, from0, to2, axis1) {pad} y = Conv<{attributes}>(p, W) }}""",
        opset=18,
    )


def test_a_pad_with_two_consumers_serves_both():
    """A10: pad_two_consumers."""
    optimized(
        """g (float[1,3,7,7] x) => (float[1,4,9,9] y, float[1,4,7,7] z)
        <float[4,3,3,3] W3, float[4,3,5,5] W5, int64[8] p = {0,0,2,2,0,0,2,2}>
        { q = Pad(x, p) y = Conv(q, W3) z = Conv(q, W5) }"""
    )


def test_normalization_after_a_product_of_rank_three_is_no_gemm():
    """B33: matmul_bn_rank3."""
    optimized(
        """g (float[N,3,4] x) => (float[N,3,5] y)
        <float[4,5] W, float[3] s, float[3] b, float[3] m, float[3] v>
        { c = MatMul(x, W) y = BatchNormalization(c, s, b, m, v) }"""
    )


def test_normalization_after_a_product_may_be_folded_into_it():
    """B33."""
    optimized(
        """g (float[N,4] x) => (float[N,5] y, float[N,5] z)
        <float[4,5] W, float[5,4] V, float[5] s, float[5] b, float[5] m, float[5] v, float[5] B>
        { c = MatMul(x, W) y = BatchNormalization(c, s, b, m, v)
          d = Gemm<transB=1>(x, V, B) z = BatchNormalization(d, s, b, m, v) }"""
    )


def test_reshapes_of_no_effect_do_not_keep_a_convolution_from_its_normalization():
    """B53: the passes run to a fixed point, whatever opens the way."""
    results = optimized(
        f"""g (float[N,3,4,4] x) => (float[N,3,2,2] y) {NORM}
        {{ c = Conv(x, W) i = Identity(c) j = Identity(i)
           y = BatchNormalization(j, s, b, m, v) }}"""
    )
    assert count(results["standard"]) == {"Conv": 1}


def test_a_conv_whose_weight_is_no_constant_is_left_alone():
    """B54: constness is checked first."""
    optimized(
        """g (float[N,3,4,4] x, float[3,3,3,3] W, float[3] s) => (float[N,3,2,2] y)
        <float[3] b, float[3] m, float[3] v>
        { c = Conv(x, W) y = BatchNormalization(c, s, b, m, v) }"""
    )


def test_pads_that_are_not_constant_are_left_alone():
    """B54."""
    pads = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    x = np.random.default_rng(0).standard_normal((1, 3, 4, 4)).astype("f4")
    optimized(
        """g (float[1,3,4,4] x, int64[8] p) => (float[1,4,H,V] y) <float[4,3,3,3] W>
        { q = Pad(x, p) y = Conv(q, W) }""",
        {"x": x, "p": pads},
        {"x": x, "p": pads * 2},
        compare="shapes",
    )


def test_denormal_weights_keep_their_numbers():
    """G80: denormal_weights."""
    results = optimized(
        """g (float[N,3,4,4] x) => (float[N,3,2,2] y) { y = Conv(x, W) }""",
        W=np.full((3, 3, 3, 3), 1e-41, "f4"),
    )
    for name, result in results.items():
        (weight,) = result.graph.initializer
        assert (numpy_helper.to_array(weight) == np.float32(1e-41)).all(), name


def deep_network(norms: int) -> ModelProto:
    """As many Conv+BatchNormalization pairs, every one with weights of its own."""
    random = np.random.default_rng(0)
    node, weights = [], []
    for index in range(norms):
        names = [f"{each}{index}" for each in ("W", "s", "b", "m", "v")]
        node.append(helper.make_node("Conv", [f"x{index}", names[0]], [f"c{index}"]))
        node.append(
            helper.make_node("BatchNormalization", [f"c{index}", *names[1:]], [f"x{index + 1}"])
        )
        shapes = [(2, 2, 1, 1), *[(2,)] * 4]
        weights += [
            numpy_helper.from_array(random.uniform(0.5, 1.5, shape).astype("f4"), name)
            for name, shape in zip(names, shapes, strict=True)
        ]
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2, 4, 4])
        for name in ("x0", f"x{norms}")
    )
    graph = helper.make_graph(node, "g", [x], [y], weights)
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])


def test_twenty_normalizations_do_not_become_a_heap_of_nodes():
    """A5: ResNet went from 175 to 652 nodes elsewhere."""
    results = optimized(deep_network(20))
    assert count(results["standard"]) == {"Conv": 20}
    for name, result in results.items():
        assert sum(len(graph.node) for graph in graphs(result)) <= 40, name
