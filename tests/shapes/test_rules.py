"""Random programs over tensors and shapes, each step compared with ONNX Runtime's answer."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto as T
from onnx import helper

from onnxforge.shapes import (
    Dim,
    KnownInput,
    dim,
    dtype_of,
    infer_node,
    output_shapes,
    propagate,
    shape_of,
    tensor_type,
    unnamed,
    value_of,
)
from onnxforge.shapes.dims import broadcast

OPSET = 18
SIZES = [{"N": n, "M": m} for n, m in ((3, 4), (1, 2), (4, 1), (2, 2), (0, 3), (5, 0), (0, 0))]


def run(op_type, attributes, rows, count, opset=OPSET):
    """What ONNX Runtime computes for each row of inputs; None for the rows it fails on."""
    first = rows[0]
    names = [f"i{k}" if array is not None else "" for k, array in enumerate(first)]
    outputs = [f"o{k}" for k in range(count)]
    node = helper.make_node(op_type, names, outputs, **attributes)
    inputs = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), None)
        for n, a in zip(names, first, strict=True)
        if a is not None
    ]
    graph = helper.make_graph(
        [node], "g", inputs, [helper.make_empty_tensor_value_info(o) for o in outputs]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = ort.InferenceSession(model.SerializeToString(), options)
    except Exception:  # noqa: BLE001 - whatever makes it refuse a node
        return [None] * len(rows)
    results = []
    for row in rows:
        try:
            feeds = {n: a for n, a in zip(names, row, strict=True) if a is not None}
            results.append(session.run(None, feeds))
        except Exception:  # noqa: BLE001 - whatever makes it refuse a node
            results.append(None)
    return results


def holds(size, real, sizes):
    """Whether what is known of a size, or of an element, is what it is."""
    return size is None or (size.subs(sizes) if isinstance(size, Dim) else size) == real


def out_of_spec(op_type, row):
    """Whether ONNX Runtime is known to differ from the specification here, on empty tensors."""
    if op_type in ("Concat", "MatMul"):  # what is empty may have any shape there
        return any(array.size == 0 for array in row) and len(row) > 1
    return op_type.startswith(("Reduce", "Arg")) and row[0].size == 0


def check(op_type, attributes, inputs, count=1, opset=OPSET):
    """Run one node for all sizes; compare; and give back what is known, and the arrays."""
    rows = [[None if i is None else i[1][k] for i in inputs] for k in range(len(SIZES))]
    known = [None if i is None else i[0] for i in inputs]
    results = run(op_type, attributes, rows, count, opset)
    shapes = output_shapes(op_type, "", attributes, opset, known, count)
    values = propagate(op_type, "", attributes, opset, known, count)
    names = ["" if k is None else f"i{n}" for n, k in enumerate(known)]
    types = {n: tensor_type(k.dtype, k.shape) for n, k in zip(names, known, strict=True) if k}
    node = helper.make_node(op_type, names, [f"o{k}" for k in range(count)], **attributes)
    onnx_types = infer_node(node, types, {}, {"": opset}, 8)
    for sizes, row, result in zip(SIZES, rows, results, strict=True):
        if result is None or out_of_spec(op_type, row):
            continue
        for k, (array, shape, value) in enumerate(zip(result, shapes, values, strict=True)):
            context = f"{op_type} {attributes} {known} at {sizes}: {array!r}, {shape}, {value}"
            from_onnx = shape_of(onnx_types.get(f"o{k}"))
            for claim in (shape, from_onnx):
                if claim is not None:
                    assert len(claim) == array.ndim, context
                    assert all(map(holds, claim, array.shape, [sizes] * array.ndim)), context
            if value is not None:
                assert value.rank == array.ndim, context
                assert len(value.elements) == array.size, context
                flat = array.reshape(-1).tolist()
                assert all(map(holds, value.elements, flat, [sizes] * len(flat))), context
    if any(r is None or out_of_spec(op_type, row) for r, row in zip(results, rows, strict=True)):
        return []  # what fails for some sizes cannot be an operand for all
    made = []
    for k, (shape, value) in enumerate(zip(shapes, values, strict=True)):
        arrays = [result[k] for result in results]
        dtype = helper.np_dtype_to_tensor_dtype(arrays[0].dtype)
        assert dtype_of(onnx_types.get(f"o{k}")) in (dtype, None)
        if len({array.ndim for array in arrays}) == 1:
            made.append((KnownInput(shape, dtype, value), arrays))
    return made


def tensor(shape, dtype=np.float32, value=None):
    """An operand of this shape for each of the sizes."""
    arrays = []
    for sizes in SIZES:
        concrete = tuple(s.subs(sizes) if isinstance(s, Dim) else s for s in shape)
        arrays.append(np.arange(np.prod(concrete, dtype=int)).reshape(concrete).astype(dtype))
    return KnownInput(tuple(shape), helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), value), arrays


def constant(numbers, dtype=np.int64):
    array = np.asarray(numbers, dtype)
    known = KnownInput(array.shape, helper.np_dtype_to_tensor_dtype(array.dtype), value_of(array))
    return known, [array] * len(SIZES)


N, M = dim("N"), dim("M")
small = st.integers(-4, 5)
size = st.sampled_from([N, M, N + 1, 2 * M, N * M, 1, 2, 3, 0])


def step(draw, pool, values):
    """A random node over what there is: operator, attributes, inputs, number of outputs."""

    def a_value():
        return draw(st.sampled_from(values))

    def a_tensor():
        return draw(st.sampled_from(pool))

    def numbers(lo=-3, hi=4, n=None, dtype=np.int64):
        count = n if n is not None else draw(st.integers(1, 3))
        return constant([draw(st.integers(lo, hi)) for _ in range(count)], dtype)

    def scalar_or_list(dtype=np.int64, lo=-3, hi=4):
        number = st.integers(lo, hi)
        return constant(draw(number | st.lists(number, min_size=1, max_size=1)), dtype)

    def like(value, numbers):
        dtype = helper.tensor_dtype_to_np_dtype(value[0].dtype)
        return constant(abs(numbers) if dtype == np.uint8 else numbers, dtype)

    kind = draw(st.sampled_from([
        "Shape", "Size", "Gather", "Concat", "Slice", "Unsqueeze", "Squeeze", "Reshape1", "Cast",
        "Binary", "BinaryConst", "DivMod", "Unary", "Reduce", "Range", "Expand1", "CoS", "Compare",
        "Where", "Split", "Scatter", "Tile", "ReshapeT", "ExpandT", "SliceT", "ConcatT",
        "TransposeT", "TileT", "PadT", "GatherT", "ReduceT", "SplitT", "FlattenT", "SqueezeT",
        "UnsqueezeT", "ElementT", "MatMulT", "TopK", "Not",
    ]))  # fmt: skip
    axis = draw(st.integers(-3, 3))
    match kind:
        case "Shape":
            attributes = {
                n: draw(st.integers(-4, 4)) for n in ("start", "end") if draw(st.booleans())
            }
            return "Shape", attributes, [a_tensor()], 1
        case "Size":
            return "Size", {}, [a_tensor()], 1
        case "Gather":
            return (
                "Gather",
                {"axis": draw(st.sampled_from([0, -1]))},
                [a_value(), scalar_or_list()],
                1,
            )
        case "Concat":
            parts = [a_value() for _ in range(draw(st.integers(1, 3)))]
            return "Concat", {"axis": draw(st.sampled_from([0, -1]))}, parts, 1
        case "Slice":
            bound = st.integers(-5, 5) | st.sampled_from([2**63 - 1, -(2**63), 2**31 - 1])
            step = draw(st.sampled_from([1, -1, 2, -2, 3]))
            bounds = [constant([draw(bound)]) for _ in range(2)]
            return "Slice", {}, [a_value(), *bounds, constant([0]), constant([step])], 1
        case "Unsqueeze" | "Squeeze":
            return kind, {}, [a_value(), constant([draw(st.sampled_from([0, -1]))])], 1
        case "Reshape1":
            return (
                "Reshape",
                {},
                [a_value(), constant(draw(st.sampled_from([[-1], [1], [], [0]])))],
                1,
            )
        case "Cast":
            to = draw(st.sampled_from([T.INT64, T.INT32, T.FLOAT, T.BOOL, T.DOUBLE, T.UINT8]))
            return "Cast", {"to": to}, [a_value()], 1
        case "Binary":
            op = draw(st.sampled_from(["Add", "Sub", "Mul", "Max", "Min"]))
            return op, {}, [a_value(), a_value()], 1
        case "BinaryConst":
            op = draw(st.sampled_from(["Add", "Sub", "Mul", "Max", "Min"]))
            left = a_value()
            operands = [left, like(left, draw(st.integers(-3, 4)))]
            return op, {}, operands[:: draw(st.sampled_from([1, -1]))], 1
        case "DivMod":
            left = a_value()
            if left[0].dtype == T.BOOL:
                return "Shape", {}, [left], 1
            attributes = {"fmod": draw(st.integers(0, 1))} if draw(st.booleans()) else {}
            op = "Mod" if attributes else draw(st.sampled_from(["Div", "Mod"]))
            divisor = draw(st.integers(1, 4) | st.integers(-3, -1))
            if left[0].dtype == T.UINT8:
                divisor = abs(divisor)
            return op, attributes, [left, like(left, divisor)], 1
        case "Unary":
            return (
                draw(st.sampled_from(["Neg", "Abs", "Identity", "Floor", "Ceil"])),
                {},
                [a_value()],
                1,
            )
        case "Not":
            return "Not", {}, [a_value()], 1
        case "Reduce":
            op = draw(st.sampled_from(["ReduceProd", "ReduceSum", "ReduceMax", "ReduceMin"]))
            attributes = {"keepdims": draw(st.integers(0, 1))}
            if op == "ReduceSum":
                axes = [constant([draw(st.sampled_from([0, -1]))])] if draw(st.booleans()) else []
                return op, attributes, [a_value(), *axes], 1
            return op, attributes, [a_value()], 1
        case "Range":
            ends = [constant(draw(small)), constant(draw(small) * 2)]
            scalars = [v for v in values if v[0].dtype == T.INT64 and v[1][0].ndim == 0]
            ends = [draw(st.sampled_from([e, *scalars])) for e in ends]
            return "Range", {}, [*ends, constant(draw(st.sampled_from([1, 2, -1, 3])))], 1
        case "Expand1":
            return (
                "Expand",
                {},
                [a_value(), constant(draw(st.sampled_from([[], [1], [3], [0]])))],
                1,
            )
        case "CoS":
            attributes = {}
            if draw(st.booleans()):
                dtype = draw(st.sampled_from([T.INT64, T.FLOAT, T.INT32]))
                attributes["value"] = helper.make_tensor("v", dtype, [1], [draw(small)])
            source = draw(st.sampled_from([constant([3]), constant([2, 0]), a_value()]))
            return "ConstantOfShape", attributes, [source], 1
        case "Compare":
            op = draw(
                st.sampled_from(["Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"])
            )
            left = a_value()
            right = draw(st.sampled_from([like(left, draw(small)), a_value()]))
            return op, {}, [left, right], 1
        case "Where":
            conditions = [v for v in values if v[0].dtype == T.BOOL] or [constant([True], bool)]
            return "Where", {}, [draw(st.sampled_from(conditions)), a_value(), a_value()], 1
        case "Split":
            count = draw(st.integers(1, 3))
            if draw(st.booleans()):
                return "Split", {"num_outputs": count}, [a_value()], count
            return "Split", {}, [a_value(), numbers(0, 3, count)], count
        case "Scatter":
            data = a_value()
            count = draw(st.integers(1, 2))
            updates = like(data, np.array([draw(small) for _ in range(count)]))
            return "ScatterElements", {}, [data, numbers(-2, 2, count), updates], 1
        case "Tile":
            return "Tile", {}, [a_value(), draw(st.sampled_from([constant([2]), constant([0])]))], 1
        case "TopK":
            k = draw(st.sampled_from([constant([1]), a_value()]))
            return "TopK", {"axis": axis}, [a_tensor(), k], 2
        case "ReshapeT":
            target = draw(
                st.sampled_from([numbers(-1, 4), constant([0, -1]), a_value(), a_value()])
            )
            return "Reshape", {"allowzero": draw(st.integers(0, 1))}, [a_tensor(), target], 1
        case "ExpandT":
            return "Expand", {}, [a_tensor(), draw(st.sampled_from([numbers(0, 4), a_value()]))], 1
        case "SliceT":
            source = st.sampled_from([numbers(-5, 5, 1), a_value()])
            step = draw(st.sampled_from([1, -1, 2, -2, 3]))
            ends = [draw(source), draw(source | st.just(constant([2**63 - 1])))]
            return "Slice", {}, [a_tensor(), *ends, constant([axis]), constant([step])], 1
        case "ConcatT":
            first = a_tensor()
            # ONNX Runtime has been seen to abort on operands of different ranks.
            alike = st.sampled_from([x for x in pool if x[1][0].ndim == first[1][0].ndim])
            parts = [first, *draw(st.lists(alike, max_size=2))]
            return "Concat", {"axis": axis}, parts, 1
        case "TransposeT":
            rank = draw(st.integers(1, 3))
            perm = draw(st.permutations(range(rank)))
            return "Transpose", draw(st.sampled_from([{}, {"perm": perm}])), [a_tensor()], 1
        case "TileT":
            repeats = draw(st.sampled_from([numbers(0, 2), a_value()]))
            return "Tile", {}, [a_tensor(), repeats], 1
        case "PadT":
            data = a_tensor()
            rank = data[1][0].ndim
            axes = [None, constant([axis])] if draw(st.booleans()) else []
            pads = numbers(-1, 2, 2 if axes else 2 * rank)
            pads = draw(st.sampled_from([pads, a_value()]))
            return "Pad", {}, [data, pads, *axes], 1
        case "GatherT":
            indices = draw(
                st.sampled_from([numbers(-1, 0), constant(0), constant([[0, -1]]), a_value()])
            )
            return "Gather", {"axis": axis}, [a_tensor(), indices], 1
        case "ReduceT":
            attributes = {"keepdims": draw(st.integers(0, 1))}
            if draw(st.booleans()):
                attributes["noop_with_empty_axes"] = draw(st.integers(0, 1))
            axes = draw(st.sampled_from([[], [constant([axis])], [constant([])], [a_value()]]))
            op = draw(st.sampled_from(["ReduceSum", "ReduceMean", "ReduceMax", "ArgMax"]))
            if op == "ArgMax":
                return op, {"axis": axis, "keepdims": attributes["keepdims"]}, [a_tensor()], 1
            return op, attributes, [a_tensor(), *axes], 1
        case "SplitT":
            count = draw(st.integers(1, 3))
            if draw(st.booleans()):
                return "Split", {"num_outputs": count, "axis": axis}, [a_tensor()], count
            sizes = draw(st.sampled_from([numbers(0, 3, count), a_value()]))
            return "Split", {"axis": axis}, [a_tensor(), sizes], count
        case "FlattenT":
            return "Flatten", {"axis": axis}, [a_tensor()], 1
        case "SqueezeT":
            axes = [constant([axis])] if draw(st.booleans()) else []
            return "Squeeze", {}, [a_tensor(), *axes], 1
        case "UnsqueezeT":
            axes = draw(st.sampled_from([constant([axis]), constant([0, -1]), constant([2, 1])]))
            return "Unsqueeze", {}, [a_tensor(), axes], 1
        case "ElementT":
            op = draw(st.sampled_from(["Add", "Mul", "Where", "Max", "Relu", "Softmax"]))
            if op == "Where":
                return op, {}, [tensor((1,), bool), a_tensor(), a_tensor()], 1
            count = 1 if op in ("Relu", "Softmax") else 2
            return op, {}, [a_tensor() for _ in range(count)], 1
        case _:
            return "MatMul", {}, [a_tensor(), a_tensor()], 1


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_rules_know_nothing_that_a_run_does_not_show(data):
    draw = data.draw
    shapes = draw(st.lists(st.lists(size, max_size=3), min_size=1, max_size=3))
    pool = [tensor(shape) for shape in [(N, M, 4), (1, M), (2, 3), *shapes]]
    values = [constant([2, 3]), constant(1)]
    for source in pool[:2]:
        values += check("Shape", {}, [source])
    for _ in range(14):
        for made in check(*step(draw, pool, values)):
            known, arrays = made
            if max(a.size for a in arrays) > 10_000:
                continue
            if known.value is not None:
                values.append(made)
            if known.dtype == T.FLOAT and known.shape is not None and arrays[0].ndim <= 4:
                pool.append(made)


@pytest.mark.parametrize("op_type", ["Conv", "MaxPool", "AveragePool", "ConvTranspose"])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_spatial_sizes_follow_windows_strides_and_pads(op_type, data):
    draw = data.draw
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    attributes = {"strides": draw(st.lists(st.integers(1, 3), min_size=2, max_size=2))}
    auto = draw(st.sampled_from(["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    if auto == "NOTSET":
        attributes["pads"] = draw(st.lists(st.integers(0, 1), min_size=4, max_size=4))
        if draw(st.booleans()):
            attributes["dilations"] = draw(st.lists(st.integers(1, 2), min_size=2, max_size=2))
    else:
        attributes["auto_pad"] = auto
    x = tensor(
        (draw(size), 2, draw(st.sampled_from([N + 1, 1, 2])), draw(st.sampled_from([N + 3, 7])))
    )
    inputs = [x]
    if op_type == "Conv":
        inputs.append(tensor((4, 2, *kernel)))
    elif op_type == "ConvTranspose":
        inputs.append(tensor((2, 3, *kernel)))
    else:
        attributes["kernel_shape"] = kernel
    check(op_type, attributes, inputs)


def known(*shape, value=None):
    return KnownInput(tuple(shape), T.INT64 if value is not None else T.FLOAT, value)


def target(*elements):
    from onnxforge.shapes import ShapeValue

    return KnownInput((len(elements),), T.INT64, ShapeValue(elements))


B, S = dim("B"), dim("S")


_HEADS = {"q_num_heads": 4, "kv_num_heads": 2}


@pytest.mark.parametrize(
    ("op_type", "attributes", "inputs", "shape"),
    [
        ("Reshape", {}, [known(B, S, 768), target(B, S, 12, -1)], (B, S, 12, 64)),
        ("Reshape", {}, [known(B, S, 768), target(0, 0, 12, 64)], (B, S, 12, 64)),
        ("Reshape", {}, [known(B, S, 12, 64), target(0, 0, -1)], (B, S, 768)),
        ("Reshape", {}, [known(None, 3, 4), target(0, -1)], (None, 12)),
        ("Reshape", {}, [known(B, S, 4), target(-1, 4)], (B * S, 4)),
        ("Reshape", {}, [known(0, 4), target(0, 4)], (0, 4)),
        ("Reshape", {"allowzero": 1}, [known(0, 4), target(2, 0)], (2, 0)),
        # B and S may both be 0, when the S would copy the 4 instead.
        ("Reshape", {}, [known(B * 2, 4, S), target(B, S, 8)], (B, None, 8)),
        ("Reshape", {}, [known(12, S, 64), target(S, 768)], (S, 768)),
        ("Expand", {}, [known(B, 1, 4), target(1, S, 1)], (B, S, 4)),
        ("Expand", {}, [known(B, 3), target(S, 1)], (broadcast([B, S]), 3)),
        ("ConstantOfShape", {}, [target(B, 2)], (B, 2)),
        ("Concat", {"axis": 1}, [known(B, S, None), known(None, 2, 4)], (B, S + 2, 4)),
        ("Concat", {"axis": 1}, [known(unnamed(0), 3), known(B, 4)], (B, 7)),
        ("Slice", {}, [known(B, S), target(1), target(2**63 - 1), target(1)], None),
        ("Tile", {}, [known(B, 3), target(2, S)], (2 * B, 3 * S)),
        ("Resize", {}, [known(B, 3, S, 5), None, None, target(B, 3, 2 * S, 10)], (B, 3, 2 * S, 10)),
        ("Conv", {"pads": [1] * 4}, [known(B, 3, S, S), known(8, 3, 3, 3)], (B, 8, S, S)),
        ("Add", {}, [known(B, 4), known(S, 1)], (broadcast([B, S]), 4)),
        ("Add", {}, [known(B, S), known(7, S)], (7, S)),
        ("Add", {}, [known(B + 2), known(S)], (B + 2,)),
        ("MatMul", {}, [known(B, S, 8), known(8, 5)], (B, S, 5)),
        ("Attention", {}, [known(B, 8, S, 4)] + [known(B, 2, 5, 6)] * 2, (B, 8, S, 6)),
        ("Attention", _HEADS, [known(B, S, 16)] + [known(B, 5, 2 * N)] * 2, (B, S, 4 * N)),
        ("Einsum", {"equation": "bij,bjk->bik"}, [known(1, S, 4), known(B, 4, 5)], (B, S, 5)),
        ("Einsum", {"equation": "...j, jk"}, [known(B, S, 4), known(4, 5)], (B, S, 5)),
        ("Einsum", {"equation": "k...j,...j->...k"}, [known(5, S, 4), known(B, 1, 4)], (B, S, 5)),
        ("Einsum", {"equation": "ii->i"}, [known(S, S)], (S,)),
        ("Einsum", {"equation": "ij->"}, [known(S, B)], ()),
        ("Einsum", {"equation": "ij,jk->ik"}, [known(S, B), known(None, 3)], (S, 3)),
        ("Einsum", {"equation": "ij->i"}, [known(S, B, 2)], None),
        ("Transpose", {}, [known(B, S, 3)], (3, S, B)),
        ("Flatten", {}, [known(B, S, 3)], (B, 3 * S)),
        ("Squeeze", {}, [known(B, 1)], None),
        ("Unsqueeze", {}, [known(B, S), target(-1, 0)], (1, B, S, 1)),
        ("Gather", {"axis": -1}, [known(B, S), known(2, B)], (B, 2, B)),
        ("NonZero", {}, [known(B, S)], (2, None)),
    ],
)
def test_a_rule_keeps_the_symbols(op_type, attributes, inputs, shape):
    answer = output_shapes(op_type, "", attributes, OPSET, inputs)[0]
    if op_type == "Slice":
        assert answer is not None
        assert answer[1].subs({"S": 5}) == 4
        assert answer[1].subs({"S": 0}) == 0
    else:
        assert answer == shape


def test_what_no_rule_knows_is_unknown():
    assert output_shapes("Mystery", "", {}, OPSET, [known(2)], 2) == [None, None]
    assert output_shapes("Relu", "custom", {}, OPSET, [known(2)]) == [None]
    assert propagate("Identity", "custom", {}, OPSET, [target(2)]) == [None]
    assert propagate("Add", "", {}, OPSET, [KnownInput(), KnownInput()]) == [None]


def test_what_fails_or_is_rounded_is_unknown():
    assert propagate("Split", "", {}, 13, [target(1, 2, 3)], 2) == [None, None]
    assert propagate("Split", "", {"num_outputs": 3}, 18, [target(1, 2, 3, 4)], 3) == [None] * 3
    rounded, two = target(2**53 + 1), target(2)
    assert propagate("Mod", "", {"fmod": 1}, OPSET, [rounded, two])[0].elements == (None,)
    assert propagate("Mod", "", {}, OPSET, [rounded, two])[0].elements == (1,)


def test_a_float_holds_a_whole_number_only_where_it_is_exact():
    exact, rounded = target(2**24), target(2**24 + 1)
    assert propagate("Cast", "", {"to": T.FLOAT}, OPSET, [exact])[0].elements == (2**24,)
    assert propagate("Cast", "", {"to": T.FLOAT}, OPSET, [rounded])[0].elements == (None,)
    assert propagate("Cast", "", {"to": T.FLOAT}, OPSET, [target(B)])[0].elements == (None,)
    assert value_of(np.array([-0.0], np.float32)) is None
    assert value_of(np.array([0.5], np.float32)) is None
    assert value_of(np.array([3.0], np.float16)).elements == (3,)


def test_an_overflow_is_unknown():
    big = target(2**62)
    assert propagate("Mul", "", {}, OPSET, [big, target(2)])[0].elements == (None,)
