from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, helper, numpy_helper

from onnxforge import Model, PassManager
from onnxforge.testing import check, model
from onnxforge_passes.gather_nd_elimination import GatherNdElimination

# What transformers exports for a mask that is looked up by batch and position.
GRID = """
g ({dtype}[B,S] x, int64 unused) => ({dtype}[B,1,1,S] y)
<int64 zero = {{{start}}}, int64 one = {{1}}, int64[3] rows = {{1,2,3}}, int64[3] columns = {{0,1,2}},
 int64[1] last = {{-1}}> {{
    b1 = Shape<start = 0, end = 1>(x)  b = Squeeze(b1)
    s1 = Shape<start = 1, end = 2>(x)  s = Squeeze(s1)
    i = Range(zero, b, one)  j = Range(zero, s, one)
    i4 = Unsqueeze(i, rows)  j4 = Unsqueeze(j, columns)
    both = Max(i4, j4)
    grid = Shape(both)
    ig = Expand(i4, grid)  jg = Expand(j4, grid)
    i5 = Unsqueeze(ig, last)  j5 = Unsqueeze(jg, last)
    k = Concat<axis = -1>({order})
    y = GatherND(x, k)
}}
"""


@pytest.mark.parametrize("dtype", ["bool", "float", "float16"])
def test_all_of_a_tensor_by_its_positions_is_the_tensor(dtype: str) -> None:
    text = GRID.format(dtype=dtype, start=0, order="i5, j5")
    check(GatherNdElimination(), before=text, after="y = Unsqueeze(x, *)")


def test_positions_that_do_not_start_at_zero_or_change_places_stay() -> None:
    for start, order in ((-1, "i5, j5"), (0, "j5, i5")):
        text = GRID.format(dtype="float", start=start, order=order)
        assert PassManager([GatherNdElimination()]).run(Model(model(text))).changes == 0


def indexed(indices: np.ndarray, data: list[int], batch_dims: int = 0) -> ModelProto:
    shape = [*indices.shape[:-1], *data[indices.shape[-1] :]]
    node = helper.make_node("GatherND", ["x", "i"], ["y"], batch_dims=batch_dims)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", 1, data)],
        [helper.make_tensor_value_info("y", 1, shape)],
        [numpy_helper.from_array(indices, "i")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def grid(*sizes: int) -> np.ndarray:
    return np.stack(np.meshgrid(*map(np.arange, sizes), indexing="ij"), axis=-1)


def test_a_constant_grid() -> None:
    spread = grid(2, 3).reshape(2, 1, 1, 3, 2)
    check(GatherNdElimination(), before=indexed(spread, [2, 3]), after="y = Unsqueeze(x, *)")
    check(GatherNdElimination(), before=indexed(grid(2, 3), [2, 3, 4]), after="y = Identity(x)")


def test_a_constant_that_is_no_grid_of_it_all_stays() -> None:
    for indices, shape in (
        (grid(2, 2), [2, 3]),
        (grid(2, 3)[::-1].copy(), [2, 3]),
        (np.broadcast_to(grid(2, 3), (2, 2, 3, 2)).copy(), [2, 3]),
    ):
        check(GatherNdElimination(), before=indexed(indices, shape))


def test_a_list_of_indices_of_the_first_dimension() -> None:
    check(
        GatherNdElimination(),
        before="""
        g (float[5,N] x, int64[K] z) => (float[K,N] y) <int64[1] a = {-1}, int64[1] five = {5}> {
            p = Mod(z, five)
            i = Unsqueeze(p, a)
            y = GatherND(x, i)
        }
        """,
        after="""
        p = Mod(z, *)
        y = Gather<axis=0>(x, p)
        """,
    )
    check(
        GatherNdElimination(),
        before=indexed(np.array([[1], [-2]]), [4, 3]),
        after="y = Gather<axis=0>(x, *)",
    )


def test_the_same_element_again_and_again() -> None:
    repeated = np.zeros((3, 1), np.int64)
    check(GatherNdElimination(), before=indexed(repeated, [1, 2]), after="y = Gather<axis=0>(x, *)")


def test_indices_of_each_batch_stay() -> None:
    check(
        GatherNdElimination(),
        before="""
        g (float[2,3] x) => (float[2] y) <int64[2,1] i = {0,2}> { y = GatherND<batch_dims = 1>(x, i) }
        """,
    )


def test_a_position_that_is_a_constant_does_not_count() -> None:
    check(
        GatherNdElimination(),
        before="""
        g (float[2,3] x) => (float[4] y) <int64[2] shape = {4, 1}> {
            one = Constant<value = int64[1,1] {1}>()
            wide = Expand(one, shape)
            k = Concat<axis = -1>(wide, wide)
            y = GatherND(x, k)
        }
        """,
    )
