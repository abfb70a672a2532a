from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.einsum_lowering import EinsumLowering


def einsum(equation: str, shapes: str, out: str, dtype: str = "float") -> str:
    out = f"[{out}]" if out else ""
    inputs = ", ".join(f"{dtype}[{s}] x{i}" for i, s in enumerate(shapes.split(";")))
    names = ", ".join(f"x{i}" for i, _ in enumerate(shapes.split(";")))
    return f'g ({inputs}) => ({dtype}{out} y) {{ y = Einsum<equation = "{equation}">({names}) }}'


@pytest.mark.parametrize("dtype", ["float", "float16"])
@pytest.mark.parametrize(
    ("equation", "shapes", "out", "after"),
    [
        ("ijk->kij", "A,B,3", "3,A,B", "y = Transpose<perm=[2,0,1]>(x0)"),
        ("ijk -> ik", "A,B,3", "A,3", "y = ReduceSum<keepdims=0>(x0, *)"),
        ("ij->", "A,B", "", "y = ReduceSum<keepdims=0>(x0, *)"),
        ("ij,ij->ij", "A,B;A,B", "A,B", "y = Mul(x0, x1)"),
        ("ij,jk->ik", "A,B;B,3", "A,3", "y = MatMul(x0, x1)"),
        ("bij,bjk->bik", "N,A,B;N,B,3", "N,A,3", "y = MatMul(x0, x1)"),
        ("bij,jk->bik", "N,A,B;B,3", "N,A,3", "y = MatMul(x0, x1)"),
        ("jk,bij->bik", "B,3;N,A,B", "N,A,3", "y = MatMul(x1, x0)"),
    ],
)
def test_what_is_one_operator(equation: str, shapes: str, out: str, after: str, dtype: str) -> None:
    check(EinsumLowering(), before=einsum(equation, shapes, out, dtype), after=after)


@pytest.mark.parametrize(
    ("equation", "shapes", "out"),
    [
        ("ii->i", "3,3", "3"),
        ("ijk->ki", "A,B,3", "3,A"),  # a sum and a transpose
        ("bij,bkj->bik", "N,A,B;N,3,B", "N,A,3"),  # another transpose
        ("i,i->", "A;A", ""),
        ("i,j->ij", "A;B", "A,B"),
        ("ij,jk,kl->il", "A,B;B,3;3,4", "A,4"),
        ("...i->...", "A,B", "A"),
        ("ij,jk->ik", "2,1;3,4", "2,4"),  # broadcast, which MatMul does not
    ],
)
def test_what_is_not(equation: str, shapes: str, out: str) -> None:
    check(EinsumLowering(), before=einsum(equation, shapes, out))


def test_in_opset_12_axes_are_an_attribute() -> None:
    check(
        EinsumLowering(),
        before=einsum("ij->i", "A,B", "A"),
        opset=12,
        after="y = ReduceSum<axes=[1], keepdims=0>(x0)",
    )
