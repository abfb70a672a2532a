from __future__ import annotations

import contextlib
import gc
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper
from protos import everywhere

from onnxforge.errors import InvalidModelError
from onnxforge.storage import Scratch, Span, from_array, is_parked, nbytes, tensors, to_array

DTYPES = [
    np.dtype(helper.tensor_dtype_to_np_dtype(number))
    for name, number in TensorProto.DataType.items()
    if name not in ("UNDEFINED", "STRING")
]
SUB_BYTE = [dtype for dtype in DTYPES if dtype.name.endswith(("int4", "int2", "_e2m1fn"))]


def some(dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return (np.arange(np.prod(shape, dtype=int)) % 2).astype(dtype).reshape(shape)


@pytest.mark.parametrize("shape", [(), (3,), (2, 5), (0, 4)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_there_and_back(dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    array = some(dtype, shape)
    tensor = from_array(array, "w")
    back = to_array(tensor)
    assert back.dtype == dtype
    assert back.shape == shape
    assert back.tobytes() == array.tobytes()
    assert not back.flags.writeable
    assert nbytes(tensor) == len(tensor.raw_data)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_by_way_of_the_scratch_file(dtype: np.dtype[Any]) -> None:
    scratch = Scratch()
    array = some(dtype, (1 << 17, 3))
    tensor = from_array(array, "w", scratch)
    assert is_parked(tensor)
    assert nbytes(tensor) == Span.of(tensor).length  # type: ignore[union-attr]
    assert to_array(tensor).tobytes() == array.tobytes()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_typed_fields_are_read_as_onnx_reads_them(dtype: np.dtype[Any]) -> None:
    number = helper.np_dtype_to_tensor_dtype(dtype)
    tensor = helper.make_tensor("w", number, [4], some(dtype, (4,)).tolist())
    assert not tensor.HasField("raw_data")
    expected = numpy_helper.to_array(tensor)
    assert to_array(tensor).tobytes() == expected.tobytes()


def test_strings_there_and_back_even_what_is_no_text() -> None:
    array = np.array([["a", "ü"], ["", b"\xff"]], object)
    back = to_array(from_array(array, "s"))
    assert back.tolist() == array.tolist()
    assert to_array(from_array(np.array(["x", "yz"]), "s")).tolist() == ["x", "yz"]
    assert nbytes(from_array(np.array(["x", "yz"]), "s")) == 3


def test_what_onnx_has_no_type_for_is_refused() -> None:
    with pytest.raises(InvalidModelError, match=r"'w'.*datetime64"):
        from_array(np.zeros(2, "M8[s]"), "w")
    with pytest.raises(InvalidModelError, match="type int"):
        from_array(np.array([1, 2], object), "w")


def test_byte_order_and_strides_do_not_matter() -> None:
    scratch = Scratch()
    big = np.arange(60_000, dtype=">f4").reshape(200, 300)
    for array in (big, big.T, big[::2, ::3], big[:3, :3]):
        assert to_array(from_array(array, "w", scratch)).tolist() == array.tolist()
        assert to_array(from_array(array, "w")).tolist() == array.tolist()


@pytest.mark.parametrize(
    "tensor",
    [
        TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], raw_data=b"x" * 7),
        TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], raw_data=b"x" * 12),
        TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[-2], raw_data=b"x" * 8),
        TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2**62, 2**62], float_data=[1]),
        TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2]),
        TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], float_data=[1, 2, 3]),
        TensorProto(name="w", data_type=TensorProto.INT4, dims=[4], raw_data=b"x"),
        TensorProto(name="w", data_type=TensorProto.INT4, dims=[9], int32_data=[1]),
        TensorProto(name="w", data_type=TensorProto.COMPLEX64, dims=[2], float_data=[1, 2, 3]),
        TensorProto(name="w", data_type=TensorProto.STRING, dims=[2], string_data=[b"x"]),
        TensorProto(name="w", data_type=TensorProto.STRING, dims=[1], raw_data=b"x"),
        TensorProto(name="w", data_type=TensorProto.UNDEFINED, dims=[1], raw_data=b"x"),
        TensorProto(name="w", data_type=999, dims=[1], raw_data=b"x"),
        TensorProto(name="w", data_type=-5, dims=[1], raw_data=b"x"),
    ],
    ids=lambda tensor: str(tensor).replace("\n", " "),
)
def test_data_that_disagrees_with_the_shape_is_an_error_that_names_the_tensor(
    tensor: TensorProto,
) -> None:
    with pytest.raises(InvalidModelError, match="'w'"):
        to_array(tensor)


@given(st.binary(max_size=60))
def test_no_tensor_whatever_raises_anything_else(data: bytes) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1])
    try:
        tensor.MergeFromString(data)
    except Exception:  # noqa: BLE001 - not a tensor; nothing to test
        return
    with contextlib.suppress(InvalidModelError):
        to_array(tensor)


def test_a_parked_array_is_mapped_without_a_copy() -> None:
    scratch = Scratch()
    tensor = from_array(np.ones((200, 200), np.float32), "w", scratch)
    one, other = to_array(tensor), to_array(tensor)
    assert np.shares_memory(one, other)


def test_small_arrays_stay_in_the_model() -> None:
    scratch = Scratch()
    assert from_array(np.ones(100, np.float32), "w", scratch).HasField("raw_data")


def test_bfloat16_needs_no_conversion() -> None:
    tensor = TensorProto(data_type=TensorProto.BFLOAT16, dims=[1], raw_data=b"\x80\x3f")
    assert to_array(tensor).dtype == ml_dtypes.bfloat16
    assert float(to_array(tensor)[0]) == 1.0


def test_the_scratch_file_is_made_on_use_aligned_and_removed() -> None:
    scratch = Scratch()
    first = scratch.add(np.arange(3, dtype=np.int8))
    second = scratch.add(np.arange(5, dtype=np.int64))
    assert (first.offset, first.length, second.offset, second.length) == (0, 3, 64, 40)
    assert second.map().view(np.int64).tolist() == [0, 1, 2, 3, 4]
    path = scratch.path
    assert str(path) == first.path
    assert path.exists()
    del scratch
    gc.collect()
    assert not path.exists()


def test_a_mapping_outlives_the_scratch_file() -> None:
    scratch = Scratch()
    array = to_array(from_array(np.full(100_000, 7.0), "w", scratch))
    del scratch
    gc.collect()
    assert array.sum() == 700_000


def test_every_tensor_is_visited_and_initializers_alone_on_request() -> None:
    model = everywhere()
    assert sum(1 for _ in tensors(model)) == str(model).count("raw_data")
    names = [tensor.name for tensor in tensors(model, initializers=True)]
    assert sorted(set(names)) == ["a", "deep", "i", "w"]


def test_nesting_costs_no_recursion() -> None:
    model = ModelProto()
    graph = model.graph
    for _ in range(20):
        graph = graph.node.add().attribute.add().g
    graph.initializer.add(name="w")
    assert [tensor.name for tensor in tensors(model)] == ["w"]
