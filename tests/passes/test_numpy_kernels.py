"""The kernels against ONNX Runtime, on random nodes: same type, same shape, same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper

from onnxforge import Model
from onnxforge.errors import EvaluationError
from onnxforge.runtime import evaluate, reference
from onnxforge.storage import from_array
from onnxforge_passes import numpy_kernels
from onnxforge_passes.numpy_kernels import Array, Undefined

RUNTIME = tuple(map(int, onnxruntime.__version__.split(".")[:2]))
INTEGERS = [np.int64, np.int32]
MOVABLE = [np.int64, np.int32, np.float32, np.bool_]


def model_of(
    op_type: str, inputs: list[Array | None], outputs: int, opset: int, attributes: dict[str, Any]
) -> Model:
    names = [f"x{i}" if array is not None else "" for i, array in enumerate(inputs)]
    results = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op_type, names, results, **attributes)
    graph = helper.make_graph(
        [node],
        "g",
        [],
        [helper.make_value_info(name, helper.make_tensor_type_proto(0, None)) for name in results],
        [from_array(a, n) for a, n in zip(inputs, names, strict=True) if a is not None],
    )
    for info in graph.output:
        info.ClearField("type")
    imports = [helper.make_opsetid("", opset)]
    return Model(helper.make_model(graph, opset_imports=imports, ir_version=10))


def agree(
    op_type: str,
    *inputs: Array | None,
    outputs: int = 1,
    opset: int = 17,
    must_run: bool = False,
    **attributes: Any,
) -> None:
    """Assert that the kernel does what ONNX Runtime does, or declines to answer."""
    model = model_of(op_type, list(inputs), outputs, opset, attributes)
    (node,) = model.graph
    try:
        ours = numpy_kernels.compute(node, inputs)
    except Undefined:
        assert not must_run
        return
    if ours is None:
        assert not must_run, "no kernel covers this"
        return
    try:
        theirs = evaluate(model.to_proto())
    except EvaluationError as error:
        raise AssertionError(f"{op_type} fails, and the kernel answers {ours}") from error
    for our, their in zip(ours, theirs, strict=True):
        assert our.dtype == their.dtype
        assert our.shape == their.shape
        if our.dtype.kind == "V":  # bfloat16 and the like, which numpy has no type for
            our, their = our.astype(np.float32), their.astype(np.float32)
        if our.dtype.kind == "f":
            np.testing.assert_array_equal(our, their)
            assert (np.signbit(our) == np.signbit(their))[~np.isnan(our)].all()
        else:
            assert our.tolist() == their.tolist()


def arrays(
    dtypes: list[Any] = MOVABLE, rank: tuple[int, int] = (0, 3), side: int = 3
) -> st.SearchStrategy[Array]:
    shapes = hnp.array_shapes(min_dims=rank[0], max_dims=rank[1], min_side=0, max_side=side)
    return st.sampled_from(dtypes).flatmap(lambda dtype: shapes.flatmap(
        lambda shape: hnp.arrays(dtype, shape, elements=elements(dtype))
    ))  # fmt: skip


def elements(dtype: Any) -> st.SearchStrategy[Any]:
    if np.dtype(dtype) == np.bool_:
        return st.booleans()
    if np.dtype(dtype).kind in "iu":
        info = np.iinfo(dtype)
        return st.integers(max(info.min, -9), 9) | st.sampled_from([int(info.min), int(info.max)])
    return st.floats(width=32 if dtype == np.float32 else 64, allow_nan=True)


def ints(*numbers: int) -> Array:
    return np.array(numbers, np.int64)


thorough = settings(max_examples=40, deadline=None)


@st.composite
def operands(draw: Any, dtypes: list[Any], count: int = 2) -> list[Array]:
    """Arrays of one type that broadcast."""
    dtype = draw(st.sampled_from(dtypes))
    shapes = draw(hnp.mutually_broadcastable_shapes(num_shapes=count, max_dims=3, max_side=3))
    return [
        draw(hnp.arrays(dtype, shape, elements=elements(dtype))) for shape in shapes.input_shapes
    ]


@thorough
@given(
    st.sampled_from(["Add", "Sub", "Mul", "Div"]),
    operands([np.int64, np.int32, np.float32, np.float64]),
)
def test_arithmetic(op_type: str, inputs: list[Array]) -> None:
    agree(op_type, *inputs)


@thorough
@given(operands(INTEGERS), st.sampled_from([0, 1]))
def test_mod(inputs: list[Array], fmod: int) -> None:
    agree("Mod", *inputs, fmod=fmod)


@thorough
@given(st.sampled_from(["Max", "Min"]), st.integers(1, 3).flatmap(lambda n: operands(INTEGERS, n)))
def test_extremes(op_type: str, inputs: list[Array]) -> None:
    agree(op_type, *inputs)


@thorough
@given(
    st.sampled_from(["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"]),
    operands([np.int64, np.int32, np.float32, np.float64]),
)
def test_comparisons(op_type: str, inputs: list[Array]) -> None:
    agree(op_type, *inputs)


@thorough
@given(st.sampled_from(["And", "Or", "Xor"]), operands([np.bool_]))
def test_logic(op_type: str, inputs: list[Array]) -> None:
    agree(op_type, *inputs)
    agree("Not", inputs[0])


@thorough
@given(
    st.sampled_from(["Neg", "Abs", "Floor", "Ceil", "Sqrt"]),
    arrays([np.float32, np.float64, np.int64, np.int32]),
)
def test_functions_of_one_number(op_type: str, array: Array) -> None:
    if array.dtype.kind == "f" or op_type in ("Neg", "Abs"):
        agree(op_type, array)


@thorough
@given(
    arrays([np.float32, np.float64, np.int64, np.int32, np.uint8, np.bool_]),
    st.sampled_from(
        [
            TensorProto.FLOAT,
            TensorProto.DOUBLE,
            TensorProto.FLOAT16,
            TensorProto.BFLOAT16,
            TensorProto.INT64,
            TensorProto.INT32,
            TensorProto.INT8,
            TensorProto.UINT8,
            TensorProto.UINT32,
            TensorProto.BOOL,
        ]
    ),
)
def test_cast(array: Array, to: int) -> None:
    agree("Cast", array, to=to)


@thorough
@given(arrays([np.float32, np.int64]), st.sampled_from([np.int32, np.float64, np.bool_]))
def test_cast_like(array: Array, dtype: Any) -> None:
    agree("CastLike", array, np.zeros(2, dtype))


@thorough
@given(operands([np.int64, np.float32, np.bool_], 3))
def test_where(inputs: list[Array]) -> None:
    condition, left, right = inputs
    agree("Where", condition.astype(np.bool_), left, right)


@thorough
@given(arrays(rank=(1, 3)), st.data())
def test_gather(array: Array, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-array.ndim, array.ndim - 1))
    bound = array.shape[axis] + 1
    shapes = hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3)
    indices = data.draw(hnp.arrays(np.int64, shapes, elements=st.integers(-bound, bound)))
    agree("Gather", array, indices, axis=axis)


@thorough
@given(arrays(rank=(1, 3)), st.data())
def test_gather_elements(array: Array, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-array.ndim, array.ndim - 1))
    bound = array.shape[axis] + 1
    shape = [data.draw(st.integers(0, size)) for size in array.shape]
    shape[axis] = data.draw(st.integers(0, 4))
    indices = data.draw(hnp.arrays(np.int64, tuple(shape), elements=st.integers(-bound, bound)))
    agree("GatherElements", array, indices, axis=axis)


@thorough
@given(arrays(rank=(1, 3)), st.data())
def test_slice(array: Array, data: st.DataObject) -> None:
    far = st.integers(-6, 6) | st.sampled_from([2**63 - 1, -(2**63), 2**31 - 1])
    count = data.draw(st.integers(1, array.ndim))
    axes = data.draw(st.permutations(range(-array.ndim, 0)))[:count]
    starts, ends = (data.draw(st.lists(far, min_size=count, max_size=count)) for _ in range(2))
    nonzero = st.integers(-3, 3).filter(bool)
    steps = data.draw(st.lists(nonzero, min_size=count, max_size=count))
    agree("Slice", array, ints(*starts), ints(*ends), ints(*axes), ints(*steps))
    agree("Slice", array, ints(*starts[:1]), ints(*ends[:1]))
    agree("Slice", array, starts=starts, ends=ends, axes=range(count), opset=9)


@thorough
@given(st.lists(arrays([np.int64, np.float32], rank=(2, 2)), min_size=1, max_size=3), st.data())
def test_concat(parts: list[Array], data: st.DataObject) -> None:
    axis = data.draw(st.sampled_from([-2, -1, 0, 1]))
    other = parts[0].shape[1 - axis % 2]
    shapes = [(len(p), other) if axis % 2 == 0 else (other, len(p)) for p in parts]
    agree("Concat", *(np.resize(parts[0], shape) for shape in shapes), axis=axis)


@thorough
@given(arrays(rank=(1, 3)), st.data())
def test_split(array: Array, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-array.ndim, array.ndim - 1))
    outputs = data.draw(st.integers(1, 3))
    sizes = data.draw(st.lists(st.integers(0, 2), min_size=outputs, max_size=outputs))
    sizes[-1] = max(array.shape[axis] - sum(sizes[:-1]), 0)
    agree("Split", array, ints(*sizes), outputs=outputs, axis=axis)
    if array.shape[axis] % outputs == 0:
        agree("Split", array, outputs=outputs, axis=axis)
    if outputs <= array.shape[axis]:
        agree("Split", array, outputs=outputs, axis=axis, num_outputs=outputs, opset=18)


@thorough
@given(arrays(), st.data())
def test_reshape(array: Array, data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(-1, 4), max_size=3))
    agree("Reshape", array, ints(*shape), allowzero=data.draw(st.integers(0, 1)))
    agree("Reshape", array, ints(array.size), must_run=bool(array.size))
    agree("Flatten", array, axis=data.draw(st.integers(-array.ndim, array.ndim)))


@thorough
@given(arrays(side=2), st.data())
def test_squeeze_and_unsqueeze(array: Array, data: st.DataObject) -> None:
    axes = data.draw(st.lists(st.integers(-4, 3), min_size=1, max_size=2))
    agree("Squeeze", array, ints(*axes))
    agree("Squeeze", array)
    agree("Squeeze", array, axes=axes, opset=11)
    agree("Unsqueeze", array, ints(*axes))
    agree("Unsqueeze", array, axes=axes, opset=11)


@thorough
@given(arrays(), st.data())
def test_transpose(array: Array, data: st.DataObject) -> None:
    agree("Transpose", array)
    if array.ndim:
        agree("Transpose", array, perm=data.draw(st.permutations(range(array.ndim))))


@thorough
@given(arrays(), st.lists(st.integers(0, 3), max_size=3))
def test_expand_and_tile(array: Array, numbers: list[int]) -> None:
    agree("Expand", array, ints(*numbers))
    agree("Tile", array, ints(*(numbers + [1] * array.ndim)[: array.ndim]))


@thorough
@given(st.lists(st.integers(0, 3), max_size=3), arrays(rank=(1, 1), side=1))
def test_constant_of_shape(shape: list[int], fill: Array) -> None:
    agree("ConstantOfShape", ints(*shape), must_run=True)
    if fill.size == 1:
        agree("ConstantOfShape", ints(*shape), value=from_array(fill, "fill"), must_run=True)


@thorough
@given(arrays(), st.integers(-4, 4), st.integers(-4, 4))
def test_shape_and_size(array: Array, start: int, end: int) -> None:
    agree("Shape", array, must_run=True)
    agree("Shape", array, start=start, must_run=True)
    agree("Shape", array, start=start, end=end, must_run=True)
    agree("Size", array, must_run=True)
    agree("Identity", array, must_run=True)


@thorough
@given(arrays())
def test_nonzero(array: Array) -> None:
    agree("NonZero", array)


@thorough
@given(st.sampled_from([*INTEGERS, np.float32, np.float64]), *[st.integers(-20, 20)] * 3)
def test_range(dtype: Any, start: int, limit: int, delta: int) -> None:
    agree("Range", *(np.array(each, dtype) for each in (start, limit, delta)), must_run=delta != 0)


@pytest.mark.parametrize("start", [0.5, -0.0, 2.0**25, np.inf, np.nan])
def test_ranges_that_may_be_rounded_are_left_to_a_runtime(start: float) -> None:
    inputs = [np.array(each, np.float32) for each in (start, 2.0**25 + 8, 1)]
    model = model_of("Range", list(inputs), 1, 17, {})
    assert numpy_kernels.compute(next(iter(model.graph)), inputs) is None


@thorough
@given(arrays(INTEGERS, rank=(1, 3)), st.data())
def test_cumsum(array: Array, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-array.ndim, array.ndim - 1))
    flags = {name: data.draw(st.integers(0, 1)) for name in ("exclusive", "reverse")}
    agree("CumSum", array, np.array(axis), **flags)


@thorough
@given(
    st.sampled_from(["ReduceSum", "ReduceProd", "ReduceMax", "ReduceMin"]),
    arrays(INTEGERS, rank=(1, 3)),
    st.data(),
)
def test_reductions(op_type: str, array: Array, data: st.DataObject) -> None:
    axes = data.draw(st.lists(st.integers(0, array.ndim - 1), unique=True, max_size=3))
    flags = {"keepdims": data.draw(st.integers(0, 1))}
    agree(op_type, array, axes=axes or None, opset=12, **flags)
    flags["noop_with_empty_axes"] = data.draw(st.integers(0, 1))
    agree(op_type, array, ints(*axes), opset=18, **flags)
    agree(op_type, array, opset=18, **flags)


def test_halves_are_rounded_as_the_specification_says() -> None:
    random = np.random.default_rng(0)
    left, right = random.normal(size=(2, 500)).astype(np.float16)
    for op_type in ("Add", "Sub", "Mul", "Div"):
        model = model_of(op_type, [left, right], 1, 17, {})
        (ours,) = numpy_kernels.compute(next(iter(model.graph)), [left, right]) or []
        (theirs,) = reference(model.to_proto(), {})
        np.testing.assert_array_equal(ours, theirs)


def test_strings_are_moved_but_not_compared() -> None:
    words = np.array(["a", "b"], object)
    agree("Gather", words, ints(1), must_run=True)
    agree("Gather", words, np.array(1), must_run=True)
    agree("Concat", words, words, axis=0, must_run=True)
    model = model_of("Equal", [words, words], 1, 19, {})
    assert numpy_kernels.compute(next(iter(model.graph)), [words, words]) is None


@pytest.mark.parametrize(
    ("op_type", "inputs"),
    [
        ("Div", [ints(1), ints(0)]),
        ("Div", [ints(-(2**63)), ints(-1)]),
        ("Mod", [ints(1), ints(0)]),
        ("Gather", [ints(1, 2), ints(2)]),
        ("Reshape", [ints(1, 2, 3), ints(2, -1)]),
        ("Unsqueeze", [ints(1), ints(0, 0)]),
        ("Slice", [ints(1, 2), ints(-9), ints(-10), ints(0), ints(-1)]),
        ("Range", [np.array(0), np.array(1), np.array(0)]),
        ("Gather", [np.zeros((2, 0), np.int64), ints(5)]),
        ("GatherElements", [np.array("a", object), np.array(0)]),
        ("Tile", [ints(), ints(-1)]),
        ("ReduceSum", [np.zeros((0, 2), np.int64), ints(0)]),
        ("ReduceProd", [ints(2**61 - 1)]),
    ],
)
def test_what_has_no_answer_gets_none(op_type: str, inputs: list[Array]) -> None:
    model = model_of(op_type, list(inputs), 1, 17, {})
    with pytest.raises(Undefined):
        numpy_kernels.compute(next(iter(model.graph)), inputs)


@pytest.mark.parametrize(("size", "parts", "opset"), [(3, 2, 17), (4, 3, 18), (0, 2, 18)])
def test_a_split_into_parts_that_not_every_runtime_makes_has_no_answer(
    size: int, parts: int, opset: int
) -> None:
    attributes = {"num_outputs": parts} if opset >= 18 else {}
    model = model_of("Split", [np.arange(size)], parts, opset, attributes)
    with pytest.raises(Undefined):
        numpy_kernels.compute(next(iter(model.graph)), [np.arange(size)])
    if opset < 18 or RUNTIME < (1, 32):
        with pytest.raises(EvaluationError):
            evaluate(model.to_proto(), fallback=False)


def test_large_results_are_left_to_a_runtime() -> None:
    for op_type, inputs in (
        ("ConstantOfShape", [ints(1000, 1000)]),
        ("Expand", [ints(1), ints(10**6)]),
        ("Tile", [ints(1), ints(10**6)]),
        ("Range", [np.array(0), np.array(10**12), np.array(1)]),
        ("Add", [np.ones((1000, 1)), np.ones((1, 1000))]),
    ):
        model = model_of(op_type, list(inputs), 1, 17, {})
        assert numpy_kernels.compute(next(iter(model.graph)), inputs) is None
