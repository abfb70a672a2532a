from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper

from onnxforge.errors import InvalidModelError
from onnxforge.storage import Span, digest, sample
from onnxforge.storage.digest import WINDOW


def parked(folder, array, offset=0):
    file = folder / "data"
    file.write_bytes(b"x" * offset + array.tobytes())
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=array.shape)
    Span(str(file), offset, array.nbytes).park(tensor)
    return tensor


def test_data_in_a_file_and_in_memory_has_one_digest(tmp_path):
    array = np.arange(WINDOW // 2, dtype=np.float32)  # two windows
    here = numpy_helper.from_array(array)
    there = parked(tmp_path, array, offset=3)
    assert digest(here) == digest(there)
    assert sample(here) == sample(there)


def test_typed_data_and_raw_data_have_one_digest():
    typed = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], float_data=[1, 2])
    assert digest(typed) == digest(numpy_helper.from_array(np.array([1, 2], np.float32)))


def test_one_bit_in_the_second_window_makes_another_digest(tmp_path):
    array = np.arange(WINDOW // 2, dtype=np.float32)
    before = digest(parked(tmp_path, array))
    array[-100] += 1
    assert digest(parked(tmp_path, array)) != before
    assert sample(numpy_helper.from_array(array)) == sample(parked(tmp_path, array))


def test_strings_are_told_apart_by_where_they_end():
    one = numpy_helper.from_array(np.array(["ab", "c"], object))
    two = numpy_helper.from_array(np.array(["a", "bc"], object))
    assert digest(one) != digest(two)


def test_data_that_is_too_short_for_the_shape_is_an_error():
    with pytest.raises(InvalidModelError, match="4 bytes of data instead of 8"):
        digest(TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], raw_data=b"1234"))
