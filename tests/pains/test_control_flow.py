from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from pains.promises import count, nodes, optimized

X = {"x": np.arange(6, dtype="f4").reshape(1, 2, 3) - 3}


def test_squeeze_as_torch_exports_it_keeps_its_axes():
    """B35: if_squeeze_torch_pattern; the axes are an initializer of the branch."""
    results = optimized(
        """g (float[1,2,3] x) => (float[] y) <int64 i = {0}, int64 one = {1}>
        { s = Shape(x) d = Gather(s, i) c = Equal(d, one)
          y = If(c) <then_branch = t () => (float[] a) <int64[1] axes = {0}>
                       { a = Squeeze(x, axes) },
                     else_branch = e () => (float[] b) { b = Identity(x) }> }""",
        X,
        expect=[X["x"][0]],
    )
    assert not nodes(results["standard"], "If")


def test_initializers_of_a_branch_come_along_when_it_is_inlined():
    """B35: if_const_branch_initializers."""
    results = optimized(
        """g (float[N,3] x) => (float[N,3] y) <bool c = {1}>
        { y = If(c) <then_branch = t () => (float[N,3] a) <float[3] W = {1,2,3}>
                       { m = Mul(x, W) a = Relu(m) },
                     else_branch = e () => (float[N,3] b) <float[3] W = {4,5,6}>
                       { b = Mul(x, W) }> }"""
    )
    assert count(results["standard"]) == {"Mul": 1, "Relu": 1}


def test_a_branch_may_return_an_initializer():
    """B36: if_const_branch_outputs_initializer, the recipe."""
    results = optimized(
        """g (float[3] x) => (float[3] y) <bool c = {1}>
        { r = If(c) <then_branch = t () => (float[3] W) <float[3] W = {1,2,3}> { },
                     else_branch = e () => (float[3] b) { b = Neg(x) }>
          y = Add(r, x) }"""
    )
    assert count(results["standard"]) == {"Add": 1}


def test_a_branch_may_return_its_initializer_as_a_result_of_the_graph():
    """B36."""
    optimized(
        """g (float[3] x) => (float[3] y) <bool c = {1}>
        { y = If(c) <then_branch = t () => (float[3] W) <float[3] W = {1,2,3}> { },
                     else_branch = e () => (float[3] b) { b = Neg(x) }> }"""
    )


def test_branches_with_equal_names_do_not_clash_once_inlined():
    """B37: if_const_name_clash_after_inline, the recipe."""
    results = optimized(
        """g (float[3] x) => (float[3] y) <bool c = {1}, bool d = {0}>
        { p = If(c) <then_branch = t () => (float[3] r) <float[3] W = {1,2,3}>
                       { k = Mul(x, W) r = Relu(k) },
                     else_branch = e () => (float[3] r) <float[3] W = {4,5,6}> { r = Mul(x, W) }>
          q = If(d) <then_branch = t () => (float[3] r) <float[3] W = {7,8,9}>
                       { k = Mul(x, W) r = Relu(k) },
                     else_branch = e () => (float[3] r) <float[3] W = {-1,-2,-3}> { r = Mul(x, W) }>
          y = Add(p, q) }"""
    )
    assert not nodes(results["standard"], "If")


BODIES = {
    "B38-loop_capture_and_passthrough_cond": """g (float[3] x) => (float[3] y)
        <int64 n = {4}, bool c = {1}>
        { y = Loop(n, c, x) <body = b (int64 i, bool go, float[3] a) => (bool go, float[3] s)
            { s = Add(a, x) }> }""",
    "B38-loop_body_iter_passthrough": """g (float[3] x) => (float[3] y, int64[M] z)
        <int64 n = {4}, bool c = {1}>
        { y, z = Loop(n, c, x) <body = b (int64 i, bool go, float[3] a)
            => (bool again, float[3] s, int64 i) { again = Identity(go) s = Add(a, x) }> }""",
    "B38-loop_constant_condition": """g (float[3] x) => (float[3] y) <int64 n = {4}, bool c = {1}>
        { y = Loop(n, c, x) <body = b (int64 i, bool go, float[3] a) => (bool again, float[3] s)
            <bool again = {1}> { s = Add(a, x) }> }""",
    "B38-loop_constant_computed_condition": """g (float[3] x) => (float[3] y)
        <int64 n = {4}, bool c = {1}, int64 two = {2}>
        { y = Loop(n, c, x) <body = b (int64 i, bool go, float[3] a) => (bool again, float[3] s)
            <int64 one = {1}> { k = Add(one, two) again = Less(i, k) s = Add(a, x) }> }""",
    "B38-loop_never_runs": """g (float[3] x) => (float[3] y) <int64 n = {0}, bool c = {1}>
        { y = Loop(n, c, x) <body = b (int64 i, bool go, float[3] a) => (bool again, float[3] s)
            { again = Identity(go) s = Add(a, x) }> }""",
    "B38-loop_swaps_what_it_carries": """g (float[3] x) => (float[3] y, float[3] z)
        <int64 n = {3}, bool c = {1}>
        { m = Neg(x) y, z = Loop(n, c, x, m)
          <body = b (int64 i, bool go, float[3] p, float[3] q)
            => (bool again, float[3] r, float[3] s)
            { again = Identity(go) r = Identity(q) s = Identity(p) }> }""",
    "B38-scan_returns_its_input": """g (float[4,3] x) => (float[3] y, float[4,3] z)
        <float[3] s = {0,0,0}>
        { y, z = Scan<num_scan_inputs=1,
          body = b (float[3] a, float[3] e) => (float[3] t, float[3] o)
            { t = Add(a, e) o = Identity(e) }>(s, x) }""",
    "B39-loop_in_loop_with_equal_names": """g (float[3] x) => (float[3] y)
        <int64 n = {2}, bool c = {1}>
        { y = Loop(n, c, x) <body = b (int64 i, bool go, float[3] a) => (bool again, float[3] s)
            <float[3] W = {1,2,3}>
            { again = Identity(go) m = Mul(a, W)
              s = Loop(n, c, m) <body = b2 (int64 j, bool go2, float[3] a2)
                => (bool again2, float[3] s2) <float[3] W2 = {1,2,3}>
                { again2 = Identity(go2) s2 = Add(a2, W2) }> }> }""",
}


@pytest.mark.parametrize("graph", [pytest.param(each, id=name) for name, each in BODIES.items()])
def test_bodies_keep_what_they_return_and_carry(graph: str):
    optimized(graph)


BRANCHES = {
    "B38-if_branch_returns_outer_input": """g (float[3] x, bool c) => (float[3] y)
        { y = If(c) <then_branch = t () => (float[3] a) { a = Identity(x) },
                     else_branch = e () => (float[3] b) { b = Neg(x) }> }""",
    "B38-if_constant_branch_returns_outer_input": """g (float[3] x) => (float[3] y)
        <bool c = {1}>
        { y = If(c) <then_branch = t () => (float[3] a) { a = Identity(x) },
                     else_branch = e () => (float[3] b) { b = Neg(x) }> }""",
    "B38-if_const_cond_output_is_graph_output": """g (float[3] x) => (float[3] y, bool c)
        <bool c = {1}>
        { y = If(c) <then_branch = t () => (float[3] a) { a = Relu(x) },
                     else_branch = e () => (float[3] b) { b = Neg(x) }> }""",
    "B38-if_branches_return_constants": """g (bool c) => (float[3] y, float[3] z)
        { y, z = If(c) <then_branch = t () => (float[3] a, float[3] b)
                          { a = Constant<value_floats=[1.0,2.0,3.0]>() b = Identity(a) },
                        else_branch = e () => (float[3] d, float[3] f)
                          { d = Constant<value_floats=[4.0,5.0,6.0]>() f = Neg(d) }> }""",
    "B38-if_in_if": """g (float[3] x, bool c, bool d) => (float[3] y)
        { y = If(c) <then_branch = t () => (float[3] a)
            { a = If(d) <then_branch = t2 () => (float[3] a2) { a2 = Relu(x) },
                         else_branch = e2 () => (float[3] b2) { k = Neg(x) b2 = Relu(k) }> },
            else_branch = e () => (float[3] b) { b = Neg(x) }> }""",
    "B38-if_the_outer_one_constant": """g (float[3] x, bool d) => (float[3] y) <bool c = {0}>
        { y = If(c) <then_branch = e () => (float[3] b) { b = Neg(x) },
            else_branch = t () => (float[3] a)
            { a = If(d) <then_branch = t2 () => (float[3] a2) { a2 = Relu(x) },
                         else_branch = e2 () => (float[3] b2) { k = Neg(x) b2 = Relu(k) }> }> }""",
}


@pytest.mark.parametrize("graph", [pytest.param(each, id=name) for name, each in BRANCHES.items()])
def test_branches_return_what_they_returned(graph: str):
    optimized(graph)


def test_an_initializer_made_within_a_function_is_found():
    """B40: function_constant_cast."""
    optimized(
        """<ir_version: 10, opset_import: ["" : 17, "d" : 1]>
        g (float[N,3] x) => (float[N,3] y) { y = d.shift(x) }
        <domain: "d", opset_import: ["" : 17]>
        shift (x) => (y)
        { k = Constant<value_int=2>() f = Cast<to=1>(k) g = Mul(f, f) y = Add(x, g) }"""
    )


def test_attributes_handed_down_to_functions_arrive():
    """B40: function_attr_ref_nested."""
    optimized(
        """<ir_version: 10, opset_import: ["" : 17, "d" : 1]>
        g (float[N,3] x) => (float[N,3] y, float[N,3] z)
        { y = d.outer<a=0.5>(x) z = d.outer<a=0.25>(x) }
        <domain: "d", opset_import: ["" : 17, "d" : 1]>
        outer<a> (x) => (y) { t = d.inner<b: float = @a>(x) y = Neg(t) }
        <domain: "d", opset_import: ["" : 17]>
        inner<b> (x) => (y) { y = LeakyRelu<alpha: float = @b>(x) }"""
    )


def test_names_within_a_function_are_its_own():
    """B40: function_shadow_names."""
    optimized(
        """<ir_version: 10, opset_import: ["" : 17, "d" : 1]>
        g (float[N,3] x, float[N,3] y) => (float[N,3] t, float[N,3] u)
        { t = d.f(y, x) u = d.f(x, t) }
        <domain: "d", opset_import: ["" : 17]>
        f (x, y) => (u) { t = Sub(x, y) u = Relu(t) }"""
    )


def test_a_sequence_map_keeps_its_body():
    """B40: the SequenceMap of ORT#16330."""
    optimized(
        """g (float[2,3] x, float[2,3] w) => (float[2,3] y) <int64 one = {1}>
        { s = SequenceConstruct(x, w)
          m = SequenceMap(s) <body = b (float[2,3] e) => (float[2,3] r) { k = Neg(e) r = Relu(k) }>
          y = SequenceAt(m, one) }"""
    )


def test_nodes_in_any_order_are_sorted():
    """B41: not_topologically_sorted."""
    node = [
        helper.make_node("Add", ["b", "a"], ["y"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Neg", ["x"], ["a"]),
    ]
    infos = [helper.make_tensor_value_info(name, 1, ["N", 3]) for name in "xy"]
    graph = helper.make_graph(node, "g", infos[:1], infos[1:])
    proto = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])
    results = optimized(proto, {"x": np.ones((2, 3), "f4")}, compare=None)
    for name, result in results.items():
        if result != proto:
            assert [each.op_type for each in result.graph.node] == ["Neg", "Relu", "Add"], name


def test_what_an_edit_makes_of_unsorted_nodes_is_sorted():
    """B41."""
    node = [
        helper.make_node("Add", ["b", "i"], ["y"]),
        helper.make_node("Identity", ["a"], ["i"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Neg", ["x"], ["a"]),
    ]
    infos = [helper.make_tensor_value_info(name, 1, ["N", 3]) for name in "xy"]
    graph = helper.make_graph(node, "g", infos[:1], infos[1:])
    proto = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])
    results = optimized(proto, {"x": np.ones((2, 3), "f4")}, compare=None)
    onnx.checker.check_model(results["standard"], full_check=True)
    assert count(results["standard"]) == {"Neg": 1, "Relu": 1, "Add": 1}


def test_a_node_that_cannot_be_folded_stays_in_its_place():
    """B41: SequenceEmpty has no tensor to fold into."""
    optimized(
        """g (float[2,3] x) => (float[2,3] y, int64 n) <int64 zero = {0}>
        { e = SequenceEmpty() s = SequenceInsert(e, x) n = SequenceLength(s)
          y = SequenceAt(s, zero) }"""
    )


def test_a_division_by_zero_among_constants_is_left_for_the_run():
    """B41: integers have no result to fold into."""
    optimized(
        """g (float[2] x, bool c) => (float[2] y)
        { y = If(c) <then_branch = t () => (float[2] a)
            { i = Constant<value_int=1>() z = Constant<value_int=0>() d = Div(i, z)
              f = Cast<to=1>(d) a = Add(x, f) },
            else_branch = e () => (float[2] b) { b = Neg(x) }> }""",
        compare=None,
    )
