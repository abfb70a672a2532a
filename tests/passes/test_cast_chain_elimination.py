from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.cast_chain_elimination import CastChainElimination

FLOAT, INT8, INT32, INT64, BOOL, FLOAT16, DOUBLE = 1, 3, 6, 7, 9, 10, 11
NAMES = {1: "float", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "double"}


def graph(*types: int) -> str:
    source, between, to = types
    return (
        f"g ({NAMES[source]}[N] x) => ({NAMES[to]}[N] y) "
        f"{{ a = Cast<to = {between}>(x)  b = Cast<to = {to}>(a)  y = Identity(b) }}"
    )


@pytest.mark.parametrize(
    "types",
    [(FLOAT16, FLOAT, FLOAT16), (FLOAT, DOUBLE, FLOAT), (INT32, INT64, INT32), (BOOL, FLOAT, BOOL)],
)
def test_there_and_back_is_nothing(types: tuple[int, int, int]) -> None:
    check(CastChainElimination(), graph(*types), after="y = Identity(x)")


@pytest.mark.parametrize(
    "types",
    [
        (FLOAT16, FLOAT, DOUBLE),
        (INT32, DOUBLE, FLOAT),
        (INT8, INT32, FLOAT16),
        (BOOL, INT32, FLOAT),
        (INT32, INT64, INT8),
        (FLOAT16, FLOAT, INT32),
        (INT32, DOUBLE, BOOL),
    ],
)
def test_a_cast_that_keeps_values_goes(types: tuple[int, int, int]) -> None:
    check(
        CastChainElimination(),
        graph(*types),
        after=f"""
        b = Cast<to={types[2]}>(x)
        y = Identity(b)
        """,
    )


@pytest.mark.parametrize(
    "types",
    [
        (FLOAT, FLOAT16, FLOAT),
        (FLOAT, INT32, FLOAT),
        (INT64, INT32, INT64),
        (INT64, FLOAT, INT64),
        (INT32, FLOAT, INT32),
        (INT64, BOOL, INT64),
        (INT32, DOUBLE, INT8),
        (INT32, FLOAT16, FLOAT),
    ],
)
def test_a_cast_that_changes_values_stays(types: tuple[int, int, int]) -> None:
    check(CastChainElimination(), graph(*types))


def test_a_cast_that_others_read_stays_but_there_and_back_is_nothing() -> None:
    check(
        CastChainElimination(),
        before="""
        g (float16[N] x) => (float[N] y, double[N] z, float16[N] w) {
            a = Cast<to = 1>(x)
            y = Neg(a)
            z = Cast<to = 11>(a)
            b = Cast<to = 10>(a)
            w = Neg(b)
        }
        """,
        after="""
        a = Cast<to=1>(x)
        y = Neg(a)
        z = Cast<to=11>(a)
        w = Neg(x)
        """,
    )
