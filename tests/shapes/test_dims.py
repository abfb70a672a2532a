from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxforge.shapes import (
    Dim,
    at_least,
    dim,
    exact_quotient,
    known_different,
    known_equal,
    maximum,
    minimum,
    shape_of,
    tensor_type,
)
from onnxforge.shapes.dims import (
    MAX_BROADCAST,
    MAX_DEPTH,
    TooComplexError,
    broadcast,
    ceil_div,
    lower_bound,
    unnamed,
)

N, M = dim("N"), dim("M")
# Random expressions take as long as they take; a busy machine is no defect.
untimed = settings(deadline=None)
SIZES = [{"N": n, "M": m} for n in (0, 1, 2, 3, 7, 12) for m in (0, 1, 4, 5)]


def _value(size, sizes):
    return size.subs(sizes) if isinstance(size, Dim) else size


@st.composite
def expressions(draw, depth=4):
    """A size, and a function that computes it from numbers without this library."""
    kind = draw(st.sampled_from("nmc+-*/%xi" if depth else "nmc"))
    if kind in "nm":
        name = kind.upper()
        return dim(name), lambda s: s[name]
    if kind == "c":
        number = draw(st.integers(-5, 9))
        return number, lambda _: number
    left, f = draw(expressions(depth - 1))
    if kind in "/%":
        divisor = draw(st.integers(1, 6) | st.integers(-4, -1))
        if kind == "/":
            return left // divisor, lambda s: f(s) // divisor
        return left % divisor, lambda s: f(s) % divisor
    right, g = draw(expressions(depth - 1))
    return {
        "+": (lambda: left + right, lambda s: f(s) + g(s)),
        "-": (lambda: left - right, lambda s: f(s) - g(s)),
        "*": (lambda: left * right, lambda s: f(s) * g(s)),
        "x": (lambda: maximum((left, right)), lambda s: max(f(s), g(s))),
        "i": (lambda: minimum((left, right)), lambda s: min(f(s), g(s))),
    }[kind][0](), {
        "+": lambda s: f(s) + g(s),
        "-": lambda s: f(s) - g(s),
        "*": lambda s: f(s) * g(s),
        "x": lambda s: max(f(s), g(s)),
        "i": lambda s: min(f(s), g(s)),
    }[kind]


@untimed
@given(expressions())
def test_an_expression_is_worth_what_its_arithmetic_gives(expression):
    size, compute = expression
    for sizes in SIZES:
        assert _value(size, sizes) == compute(sizes)


@untimed
@given(expressions())
def test_the_text_of_an_expression_is_python_of_the_same_value(expression):
    size, compute = expression
    for sizes in SIZES:
        assert eval(str(size), {"max": max, "min": min, **sizes}) == compute(sizes)


@untimed
@given(expressions())
def test_no_size_of_the_symbols_falls_below_the_bound(expression):
    size, compute = expression
    low = lower_bound(size)
    if low is not None:
        assert all(compute(sizes) >= low for sizes in SIZES)


@untimed
@given(expressions(), expressions())
def test_what_is_known_of_two_expressions_holds_for_every_size(left, right):
    for sizes in SIZES:
        a, b = left[1](sizes), right[1](sizes)
        assert not known_equal(left[0], right[0]) or a == b
        assert not known_different(left[0], right[0]) or a != b
        assert not at_least(left[0] - right[0], 0) or a >= b


@untimed
@given(expressions(depth=2), expressions(depth=2), expressions(depth=1))
def test_sizes_that_broadcast_come_to_the_one_that_is_not_1(a, b, c):
    try:
        together = broadcast([broadcast([a[0], b[0]]), c[0]])
    except ArithmeticError:
        return  # two numbers that never do
    for sizes in SIZES:
        values = {f(sizes) for _, f in (a, b, c)}
        others = values - {1}
        if len(others) <= 1 and min(values) >= 0:
            assert _value(together, sizes) == next(iter(others), 1)


@untimed
@given(expressions(depth=3), expressions(depth=3))
def test_an_exact_quotient_times_the_divisor_is_the_dividend(left, right):
    quotient = exact_quotient(left[0], right[0])
    if quotient is not None:
        assert quotient * right[0] == left[0]
    if right[0] != 0 and isinstance(left[0], Dim) and isinstance(right[0], Dim):
        assert exact_quotient(left[0] * right[0], right[0]) == left[0]


@untimed
@given(expressions(), expressions(), expressions())
def test_sums_and_products_obey_the_laws_of_a_ring(a, b, c):
    (a, _), (b, _), (c, _) = a, b, c
    assert a + b == b + a
    with suppress(TooComplexError):
        assert a * b == b * a
    assert (a + b) + c == a + (b + c)
    assert a - a == 0
    assert hash(a + b) == hash(b + a)


@untimed
@given(expressions(), expressions())
def test_replacing_a_symbol_by_an_expression_composes(outer, inner):
    size, replacement = outer[0], maximum([inner[0], 0])
    if isinstance(size, Dim):
        replaced = size.subs({"N": replacement})
        for sizes in SIZES:
            assert _value(replaced, sizes) == outer[1]({**sizes, "N": max(inner[1](sizes), 0)})


@untimed
@given(st.lists(expressions().map(lambda e: e[0]) | st.none(), max_size=3))
def test_a_type_gives_the_very_expressions_back(shape):
    shape = [s if s is None or isinstance(s, Dim) or s >= 0 else 0 for s in shape]
    assert shape_of(tensor_type(1, shape)) == tuple(shape)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (N, "N"),
        (2 * N + 1, "2*N + 1"),
        (N // 2, "N//2"),
        (2 * (N // 2), "2*(N//2)"),
        (maximum([N - 1, 0]), "max(N, 1) - 1"),
        (minimum([N, 3]), "min(N, 3)"),
        (ceil_div(N, 2), "N - N//2"),
        (-(N // 2), "-(N//2)"),
    ],
)
def test_expressions_read_as_one_would_write_them(size, text):
    assert eval(str(size), {"max": max, "min": min, "N": 9}) == size.subs({"N": 9})
    assert len(str(size)) <= len(text) + 4


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (maximum([N, 0]), N),
        (maximum([N + 1, 4]), maximum([N, 3]) + 1),
        (maximum([N, maximum([M, 3])]), maximum([M, N, 3])),
        ((N // 2) // 3, N // 6),
        ((N // 2 + 1) // 2, (N + 2) // 4),
        ((3 * N + 5) // 2, N + 2 + (N + 1) // 2),
        (N * M // N, M),
        ((N * M + N) // (M + 1), N),
        (2 * (N // 2) + N % 2, N),
        (-minimum([N, M]), maximum([-N, -M])),
        (N - (N - 1), 1),
    ],
)
def test_different_ways_to_write_a_size_are_one(left, right):
    assert left == right
    assert known_equal(left, right)


def test_two_unknown_sizes_are_not_known_to_be_equal():
    assert not known_equal(None, None)
    assert not known_different(None, 3)
    assert not known_equal(N, M)
    assert not known_different(N, M)


def test_a_symbol_may_be_zero_unless_it_is_said_not_to_be():
    assert not at_least(N, 1)
    assert at_least(dim("N", minimum=1) - 1, 0)
    assert maximum([dim("N", minimum=1), 1]) == dim("N", minimum=1)


def test_a_remainder_is_not_negative():
    assert at_least(N % 3, 0)
    assert at_least(N - minimum([N, M]), 0)


def test_nesting_is_given_up_beyond_a_depth():
    def nested(depth):
        size = N
        for index in range(depth):
            size = maximum([size, dim(f"s{index}")]) // 2
        return size

    assert nested(MAX_DEPTH // 2).depth == MAX_DEPTH
    with pytest.raises(TooComplexError):
        nested(MAX_DEPTH)


def test_long_chains_of_strides_cost_no_depth():
    size = N
    for _ in range(20):
        size = (size - 1) // 2 + 1
    assert size.subs({"N": 2**20}) == 1


def test_division_by_a_size_that_is_zero_says_so():
    with pytest.raises(ZeroDivisionError):
        (N // M).subs({"N": 3, "M": 0})


@pytest.mark.parametrize(
    ("sizes", "result"),
    [
        # The one that cannot be 1 alone: a table of 512 positions, cut to as many as are asked for.
        ([N, minimum([N, 512])], N),
        ([minimum([N + M, 512]), N + M, N + M], N + M),
        ([minimum([N, 512]), 1], minimum([N, 512])),
        # What is one element short of as many as there are, and of at least one.
        ([(N + 4) // 5 - 1, maximum([(N + 4) // 5, 1]) - 1], (N + 4) // 5 - 1),
        ([N + 2, M], N + 2),
        ([N, M], broadcast([M, N])),
        ([N, broadcast([M, N])], broadcast([M, N])),
    ],
)
def test_sizes_that_broadcast_are_told_from_each_other(sizes, result):
    assert broadcast(sizes) == broadcast(sizes[::-1]) == result


def test_a_broadcast_of_many_sizes_is_given_up():
    with pytest.raises(TooComplexError):
        broadcast(dim(f"D{i}") for i in range(MAX_BROADCAST + 1))


def test_sizes_that_do_not_broadcast_say_so():
    with pytest.raises(ArithmeticError, match="do not broadcast"):
        broadcast([N, M]).subs({"N": 3, "M": 4})


def test_a_size_without_a_name_is_its_own_and_reads_as_unknown():
    first, second = unnamed(1), unnamed(2)
    assert first == unnamed(1) != second
    assert not first.is_named
    assert not (N * first).is_named
    assert N.is_named
    assert str(first + N) == "?1 + N"
    assert shape_of(tensor_type(1, (first, N, N + first))) == (None, N, None)
