from __future__ import annotations

import pytest

from onnxforge import Model, PassManager
from onnxforge.testing import check, model
from onnxforge_passes.noop_elimination import NoopElimination
from onnxforge_passes.view_merging import ViewMerging

GONE = {
    "cast": "a = Cast<to = 1>(x)",
    "reshape to a symbol": "s = Shape(x)  a = Reshape(x, s)",
    "reshape with one unknown": "s = Constant<value_ints = [-1, 4, 5]>()  a = Reshape(x, s)",
    "reshape that copies": "s = Constant<value_ints = [0, 0, -1]>()  a = Reshape(x, s)",
    "expand to its own shape": "s = Shape(x)  a = Expand(x, s)",
    "expand by ones": "s = Constant<value_ints = [1, 1]>()  a = Expand(x, s)",
    "transpose": "a = Transpose<perm = [0, 1, 2]>(x)",
    "pad": "p = Constant<value_ints = [0, 0, 0, 0, 0, 0]>()  a = Pad(x, p)",
    "slice to the end": "s = Constant<value_ints = [0]>() "
    "e = Constant<value_ints = [9223372036854775807]>()  a = Slice(x, s, e, s)",
    "slice of all": "s = Constant<value_ints = [-4]>()  e = Constant<value_ints = [9]>() "
    "i = Constant<value_ints = [1]>()  a = Slice(x, s, e, i)",
    "concat": "a = Concat<axis = 1>(x)",
    "split": "a = Split<axis = 1>(x)",
    "sum": "a = Sum(x)",
    "max": "a = Max(x)",
    "tile": "r = Constant<value_ints = [1, 1, 1]>()  a = Tile(x, r)",
    "dropout": "a = Dropout(x)",
    "dropout that says so": "r = Constant<value_float = 0.5>()  t = Constant<value = bool {0}>() "
    "a = Dropout(x, r, t)",
    "einsum": 'a = Einsum<equation = "abc->abc">(x)',
    "gather": "i = Constant<value_ints = [0, 1, 2, 3]>()  a = Gather<axis = -2>(x, i)",
    "compress": "c = Constant<value = bool[5] {1,1,1,1,1}>()  a = Compress<axis = 2>(x, c)",
    "trilu": "k = Constant<value_int = 4>()  a = Trilu<upper = 0>(x, k)",
    "trilu of the upper part": "k = Constant<value_int = -3>()  a = Trilu(x, k)",
    "resize": 's = Constant<value_floats = [1.0, 1.0, 1.0]>()  a = Resize<mode = "linear">(x, , s)',
}


@pytest.mark.parametrize("nodes", GONE.values(), ids=GONE)
@pytest.mark.parametrize("dtype", ["float"])
def test_what_changes_nothing_goes(nodes: str, dtype: str) -> None:
    subject = check_any(f"g ({dtype}[N,4,5] x) => ({dtype}[N,4,5] y) {{ {nodes}  y = Neg(a) }}")
    assert [node.op_type for node in subject.graph if node.op_type not in KEPT] == ["Neg"]
    (node,) = [node for node in subject.graph if node.op_type == "Neg"]
    assert node.inputs[0] is subject.graph.values["x"]


KEPT = {"Constant", "Shape"}


def check_any(text: str):
    """Run the pass with every assertion of `check`, whatever it makes of the graph."""
    from onnxforge import Model, PassManager
    from onnxforge.testing import calls, model, names_of

    proto = model(text)
    subject = Model(proto).copy()
    PassManager([NoopElimination()]).run(subject)
    result = subject.to_proto()
    after = calls(result, names_of(proto))
    return check(NoopElimination(), proto, after, unchecked="Dropout is not known")


STAYS = {
    "gather in another order": "i = Constant<value_ints = [0, 1, 3, 2]>()  b = Gather<axis = -2>(x, i)",
    "gather of some": "i = Constant<value_ints = [0, 1, 2]>()  p = Gather<axis = 1>(x, i) "
    "j = Constant<value_ints = [0, 1, 2, 2]>()  b = Gather<axis = 1>(p, j)",
    "compress of some": "c = Constant<value = bool[4] {1,1,1,1}>()  p = Compress<axis = 2>(x, c) "
    "q = Constant<value_ints = [0, 0, 0, 0, 0, 1]>()  b = Pad(p, q)",
    "trilu": "k = Constant<value_int = 3>()  b = Trilu<upper = 0>(x, k)",
    "trilu of the upper part": "k = Constant<value_int = -2>()  b = Trilu(x, k)",
    "cast to another type": "a = Cast<to = 10>(x)  b = Cast<to = 1>(a)",
    "reshape of another order": "s = Constant<value_ints = [-1, 5, 4]>()  b = Reshape(x, s)",
    "expand of a dimension": "s = Constant<value_ints = [2, 1, 1, 1]>()  b = Expand(x, s)",
    "transpose": "b = Transpose<perm = [0, 2, 1]>(x)",
    "pad": "p = Constant<value_ints = [0, 0, 0, 0, 0, 1]>()  b = Pad(x, p)",
    "pad that takes and gives": "p = Constant<value_ints = [0, 1, 0, 0, -1, 0]>()  b = Pad(x, p)",
    "slice backwards": "s = Constant<value_ints = [-1]>()  e = Constant<value_ints = [-9]>() "
    "i = Constant<value_ints = [1]>()  b = Slice(x, s, e, i, s)",
    "slice of a part": "s = Constant<value_ints = [1]>()  e = Constant<value_ints = [4]>() "
    "b = Slice(x, s, e, s)",
    "tile": "r = Constant<value_ints = [1, 1, 2]>()  b = Tile(x, r)",
    "einsum": 'b = Einsum<equation = "abc->acb">(x)',
    "reduction": "b = ReduceSum<keepdims = 1>(x)",
}


@pytest.mark.parametrize("nodes", STAYS.values(), ids=STAYS)
def test_what_changes_something_stays(nodes: str) -> None:
    before = f"g (float[N,4,5] x) => (float[K,L,M] y) {{ {nodes}  y = Neg(b) }}"
    if nodes.startswith("s = Constant<value_ints = [2"):
        before = before.replace("K,L,M", "J,K,L,M")
    check(NoopElimination(), before)


def test_a_resize_that_samples_between_the_places_stays() -> None:
    check(
        NoopElimination(),
        before="""
        g (float[1,1,3,3] x, float[4] roi) => (float[1,1,3,3] y) <float[4] one = {1, 1, 1, 1}> {
            y = Resize <coordinate_transformation_mode = "tf_half_pixel_for_nn"> (x, roi, one)
        }
        """,
        opset=11,
    )


def test_a_trilu_of_too_few_dimensions_is_left_to_the_runtime() -> None:
    proto = model("g (float[3] x) => (y) { y = Trilu(x) }")
    assert PassManager([NoopElimination()]).run(Model(proto)).changes == 0


def test_a_squeeze_of_no_axes_which_some_runtimes_take_for_all_stays() -> None:
    proto = model(
        "g (float[N,3] x) => (y) <int64[0] none = {}> { a = Squeeze(x, none) y = Neg(a) }"
    )
    assert PassManager([NoopElimination(), ViewMerging()]).run(Model(proto)).changes == 0


def test_a_symbol_may_be_more_than_one() -> None:
    check(
        NoopElimination(),
        before="g (float[1,4] x, float[M,4] z) => (float[M,4] y) "
        "{ s = Shape(z)  a = Expand(x, s)  y = Neg(a) }",
    )


def test_one_dimension_follows_from_the_others() -> None:
    check(
        NoopElimination(),
        before="g (float[N,4] w) => (int64[2,K] y) "
        "{ x = NonZero(w)  s = Constant<value_ints = [2, -1]>()  a = Reshape(x, s)  y = Neg(a) }",
        after="""
        x = NonZero(w)
        y = Neg(x)
        """,
    )


def test_dimensions_of_one_hold_no_order() -> None:
    check(
        NoopElimination(),
        before="g (float[1,1,N] x) => (float[1,1,N] y) "
        "{ a = Transpose<perm = [1, 0, 2]>(x)  y = Neg(a) }",
        after="y = Neg(x)",
    )


def test_half_precision_reductions_of_nothing_go() -> None:
    check(
        NoopElimination(),
        before="g (float16[N,1] x) => (float16[N,1] y) "
        "{ a = ReduceMax<axes = [1], keepdims = 1>(x)  y = Neg(a) }",
        after="y = Neg(x)",
    )


def test_the_mask_of_a_dropout_becomes_a_constant_if_that_is_small() -> None:
    check(
        NoopElimination(),
        before="g (float[2,3] x) => (float[2,3] y) "
        "{ d, m = Dropout(x)  c = Cast<to = 1>(m)  y = Add(d, c) }",
        after="""
        c = Cast<to=1>(*)
        y = Add(x, c)
        """,
    )


def test_the_mask_of_a_dropout_of_unknown_size_stays() -> None:
    check(
        NoopElimination(),
        before="g (float[N,3] x) => (float[N,3] y) "
        "{ d, m = Dropout(x)  c = Cast<to = 1>(m)  y = Add(d, c) }",
        declined="mask",
    )


def test_an_empty_part_of_a_concat_does_not_count() -> None:
    check(
        NoopElimination(),
        before="g (float[N,4] x, float[N,0] z) => (float[N,4] y) "
        "{ a = Concat<axis = -1>(z, x)  y = Neg(a) }",
        after="y = Neg(x)",
    )


def test_no_ops_in_a_body_go() -> None:
    check(
        NoopElimination(),
        before="""
        g (float[N] x, bool c) => (float[N] y) {
            y = If (c) <
                then_branch = t () => (float[N] p) { a = Sum(x)  p = Relu(a) },
                else_branch = e () => (float[N] q) { q = Sum(x) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            p = Relu(x)
          else_branch:
            q = Sum(x)
        """,
    )


@pytest.mark.parametrize(
    ("call", "result"),
    [
        ("ScatterND(x, grid, u)", "u"),
        ("ScatterElements<axis = -2>(x, rows, u)", "u"),
        ("GatherElements(x, rows)", "x"),
    ],
)
def test_all_elements_in_order(call: str, result: str) -> None:
    check(
        NoopElimination(),
        before=f"""
        g (float16[2,2] x, float16[2,2] u) => (float16[2,2] y)
        <int64[2,1] grid = {{0,1}}, int64[2,2] rows = {{0,0,1,1}}> {{ p = {call} y = Relu(p) }}
        """,
        after=f"y = Relu({result})",
    )


@pytest.mark.parametrize(
    "call",
    [
        'ScatterND<reduction = "add">(x, grid, u)',
        "ScatterND(x, back, u)",
        "ScatterElements<axis = 1>(x, rows, u)",
        "ScatterElements<axis = 0>(x, columns, u)",
        "GatherElements(x, columns)",
    ],
)
def test_elements_in_another_order(call: str) -> None:
    check(
        NoopElimination(),
        before=f"""
        g (float[2,2] x, float[2,2] u) => (float[2,2] y)
        <int64[2,1] grid = {{0,1}}, int64[2,1] back = {{1,0}}, int64[2,2] rows = {{0,0,1,1}},
         int64[2,2] columns = {{1,0,0,1}}> {{ p = {call} y = Relu(p) }}
        """,
    )


def test_space_and_depth_undo_each_other() -> None:
    text = """
    g (float[1,4,8,8] x) => (float[1,4,8,8] y) {{
        p = {first}<blocksize = 2>(x)
        q = {second}<blocksize = 2{mode}>(p)
        y = Relu(q)
    }}
    """
    there, back = "DepthToSpace", "SpaceToDepth"
    for first, second in ((there, back), (back, there)):
        check(
            NoopElimination(),
            before=text.format(first=first, second=second, mode=""),
            after="y = Relu(x)",
        )
    check(NoopElimination(), before=text.format(first=back, second=there, mode=', mode = "CRD"'))


def test_a_max_pool_of_single_elements() -> None:
    text = "g (float[1,4,8,8] x) => (float[1,4,8,8] y) {{ p = MaxPool<kernel_shape = [1,{k}]{pads}>(x) y = Relu(p) }}"
    check(NoopElimination(), before=text.format(k=1, pads=""), after="y = Relu(x)")
    check(NoopElimination(), before=text.format(k=3, pads=", pads = [0,1,0,1]"))


ASSIGNMENT = """
g (float16[N,1,L] x, float16[N,1,L] w) => (float16[N,1,L] y)
<int64 zero = {{0}}, int64 one = {{1}}, int64 two = {{2}}, int64[1,1,1] origin = {{0}},
 int64[3] column = {{-1, 1, 1}}, int64[1] last = {{-1}}> {{
    s = Shape(x)
    n = Gather(s, zero)
    l = Gather(s, two)
    i = Range(zero, n, one)
    j = Range({start}, l, {step})
    i3 = Reshape(i, column)
    a = Expand(i3, s)
    b = Expand(origin, s)
    c = Expand(j, s)
    a4 = Unsqueeze(a, last)
    b4 = Unsqueeze(b, last)
    c4 = Unsqueeze(c, last)
    indices = Concat <axis = {axis}> ({order})
    y = ScatterND{attributes}(x, indices, w)
}}
"""
ALL_OF_IT = {"start": "zero", "step": "one", "axis": -1, "order": "a4, b4, c4", "attributes": ""}


def test_an_assignment_to_all_of_a_tensor_is_what_is_assigned() -> None:
    text = ASSIGNMENT.format(**ALL_OF_IT).replace("float16[N,1,L] y", "float16[N,1,L] z")
    check(
        NoopElimination(),
        before=text.replace("(x, indices, w)", "(x, indices, w)\nz = Relu(y)"),
        after="z = Relu(w)",
    )


@pytest.mark.parametrize("order", ["b4, a4, c4", "c4, b4, a4", "a4, b4, b4"])
def test_an_assignment_to_other_places_stays(order: str) -> None:
    text = ASSIGNMENT.format(**ALL_OF_IT | {"order": order})
    assert PassManager([NoopElimination()]).run(Model(model(text))).changes == 0


def test_a_scatter_by_indices_of_no_dimension_stays() -> None:
    check(
        NoopElimination(),
        before="""
        g (float[2] x, float[1,2] u) => (float[2] y) <int64[1,0] i> {
            y = ScatterND(x, i, u)
        }
        """,
    )


@pytest.mark.parametrize("view", ["Flatten(d)", "Reshape(d, s)"])
def test_that_a_matrix_is_made_of_a_convolution_is_known_without_inference(
    view: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("onnxforge.ir.inference.Inference._begin")
    text = f"""
    g (float[1,1,12,12] x) => (float[1,300] y) <float[3,1,3,3] W, int64[2] s = {{-1, 300}}> {{
        c = Conv(x, W)
        r = Relu(c)
        d = Dropout(r)
        y = {view}
    }}
    """
    assert PassManager([NoopElimination()]).run(Model(model(text))).changes == 1


def test_a_slice_of_opset_10_that_cuts_off_stays():
    check(
        NoopElimination(),
        before="""
        g (float[N] x) => (float[M] y)
        <int64[1] start = {-1}, int64[1] end = {10}, int64[1] axis = {0}>
        {
            a = Slice(x, start, end, axis)
            y = Neg(a)
        }
        """,
        opset=10,
    )
