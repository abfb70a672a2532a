from __future__ import annotations

import math
import tracemalloc

import ml_dtypes
import numpy as np
import pytest

from onnxforge.verify import relative_error, tolerance


def f32(*numbers: float) -> np.ndarray:
    return np.array(numbers, np.float32)


def test_the_error_is_relative_to_the_largest_magnitude_expected():
    assert relative_error(f32(1, -200), f32(1, -200.5)) == pytest.approx(0.5 / 200)
    assert relative_error(f32(1, -200), f32(1.5, -200)) == pytest.approx(0.5 / 200)


def test_tiny_outputs_do_not_pass_for_being_tiny():
    assert relative_error(f32(1e-6), f32(2e-6)) == pytest.approx(1)
    assert relative_error(f32(1e-30), f32(2e-30)) == pytest.approx(1)


def test_where_zeros_are_expected_one_unit_of_precision_is_just_allowed():
    epsilon = float(np.finfo(np.float32).eps)
    assert relative_error(f32(0, 0), f32(0, epsilon)) == pytest.approx(tolerance(np.float32))
    assert relative_error(f32(0, 0), f32(0, 1e-5)) > tolerance(np.float32)


@pytest.mark.parametrize(("mask", "count"), [(-3.4e38, 50), (-1e9, 50), (-3.4e38, 1), (-1e4, 4)])
def test_the_huge_values_of_a_mask_do_not_hide_the_others(mask, count):
    expected = np.array([mask] * count + [0.5, 1, 2], np.float32)
    actual = expected.copy()
    actual[-1] = 2.2
    assert relative_error(expected, actual) == pytest.approx(0.1)
    actual = expected.copy()
    actual[0] *= 0.5
    assert relative_error(expected, actual) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("expected", "actual", "error"),
    [
        (f32(np.nan, 1), f32(np.nan, 1), 0),
        (f32(np.nan, 1), f32(0, 1), math.inf),
        (f32(0, 1), f32(np.nan, 1), math.inf),
        (f32(np.inf, 1), f32(np.inf, 1), 0),
        (f32(np.inf, 1), f32(-np.inf, 1), math.inf),
        (f32(np.inf, 1), f32(3e38, 1), math.inf),
        (f32(1, 1), f32(np.inf, 1), math.inf),
        (f32(np.inf, 1), f32(np.nan, 1), math.inf),
        (f32(np.inf), f32(1), math.inf),
        (f32(np.inf, 0, 0), f32(np.inf, 0, 1), 839),
        (f32(0.0), f32(-0.0), 0),
        (f32(), f32(), 0),
        (f32(1), np.array([1.0]), math.inf),
        (f32(1), np.float32(1), math.inf),
        (f32(), np.zeros((0, 2), np.float32), math.inf),
        (np.array([1, 2]), np.array([1, 2]), 0),
        (np.array([1, 2**62]), np.array([1, 2**62 + 1]), math.inf),
        (np.array([True]), np.array([False]), math.inf),
        (np.array(["a", "é"], object), np.array(["a", "é"]), 0),
        (np.array(["a"], object), np.array(["b"], object), math.inf),
        (np.array([3 + 4j], np.complex64), np.array([3 + 4j], np.complex64), 0),
        ([f32(1), None], [f32(1), None], 0),
        ([f32(1)], [f32(1), f32(1)], math.inf),
        ([f32(1)], f32(1), math.inf),
        (f32(1), [f32(1)], math.inf),
        (None, f32(1), math.inf),
        (f32(1), None, math.inf),
        ([{"a": 1.0}], [{"a": 1.0}], 0),
        ([{"a": 1.0}], [{"b": 1.0}], math.inf),
        ({1: 1.0}, {1: 1.5}, 0.5),
        (np.array([1, 3], ml_dtypes.int4), np.array([1, 3], ml_dtypes.int4), 0),
        (np.array([1, 3], ml_dtypes.int4), np.array([1, 2], ml_dtypes.int4), math.inf),
        (np.array([1, 2], ml_dtypes.bfloat16), np.array([1, 2.5], ml_dtypes.bfloat16), 0.25),
        (np.array([1, 2], ml_dtypes.float8_e4m3fn), np.array([1, 3], ml_dtypes.float8_e4m3fn), 0.5),
        (np.array([np.nan], ml_dtypes.bfloat16), np.array([np.nan], ml_dtypes.bfloat16), 0),
    ],
)
def test_errors(expected, actual, error):
    assert relative_error(expected, actual) == pytest.approx(error, rel=1e-3)


def test_complex_differences_are_measured_as_magnitudes():
    assert relative_error(np.array([3 + 4j]), np.array([3 + 3j])) == pytest.approx(0.2)


@pytest.mark.parametrize(
    "dtype",
    ["float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float4_e2m1fn"],
)
def test_a_step_of_the_type_is_allowed_and_the_loss_of_half_is_not(dtype):
    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    assert float(ml_dtypes.finfo(kind).eps) <= tolerance(kind) <= 1


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_, object, ml_dtypes.int4])
def test_all_but_floats_are_exact(dtype):
    assert tolerance(dtype) == 0


def test_large_arrays_are_compared_piece_by_piece():
    expected = np.ones(1 << 24, np.float32)
    actual = expected.copy()
    actual[-1] = 1.5
    tracemalloc.start()
    try:
        assert relative_error(expected, actual) == pytest.approx(0.5)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < expected.nbytes
