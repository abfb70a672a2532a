from __future__ import annotations

import pytest

from onnxforge import Model, PassManager, Value
from onnxforge.report import Tally
from onnxforge.testing import calls, check, model
from onnxforge_passes.gemm_transpose_fusion import GemmTransposeFusion


@pytest.mark.parametrize("perm", ["", "<perm = [1,0]>"])
@pytest.mark.parametrize("flag", [0, 1])
def test_the_first_operand(flag: int, perm: str) -> None:
    check(
        GemmTransposeFusion(),
        before=f"""
        g (float[{"N,4" if flag else "4,N"}] x) => (float[N,5] y) <float[4,5] W, float[5] B> {{
            t = Transpose {perm} (x)
            y = Gemm <transA = {flag}, alpha = 0.5> (t, W, B)
        }}
        """,
        after=f"y = Gemm<alpha=0.5{'' if flag else ', transA=1'}>(x, *, *)",
    )


@pytest.mark.parametrize("flag", [0, 1])
def test_the_second_operand(flag: int) -> None:
    check(
        GemmTransposeFusion(),
        before=f"""
        g (float[N,4] x, float[{"4,5" if flag else "5,4"}] z) => (float[N,5] y) {{
            t = Transpose(z)
            y = Gemm <transB = {flag}> (x, t)
        }}
        """,
        after=f"y = Gemm{'' if flag else '<transB=1>'}(x, z)",
    )


def test_both_operands_of_a_matmul() -> None:
    check(
        GemmTransposeFusion(),
        before="""
        g (double[4,N] x, double[5,4] z) => (double[N,5] y) {
            s = Transpose(x)
            t = Transpose(z)
            y = MatMul(s, t)
        }
        """,
        after="y = Gemm<transA=1, transB=1>(x, z)",
    )


def test_one_matrix_with_itself() -> None:
    check(
        GemmTransposeFusion(),
        before="""
        g (float[4,N] x) => (float[N,N] y, float[4,4] z) {
            t = Transpose(x)
            y = MatMul(t, x)
            z = MatMul(x, t)
        }
        """,
        after="""
        y = Gemm<transA=1>(x, x)
        z = Gemm<transB=1>(x, x)
        """,
    )


@pytest.mark.parametrize("operator", ["Gemm", "MatMul"])
def test_a_transpose_of_no_effect_is_left_alone(operator: str) -> None:
    check(
        GemmTransposeFusion(),
        before=f"""
        g (float[4,4] x) => (float[4,4] y) <float[4,4] W> {{
            t = Transpose <perm = [0,1]> (x)
            y = {operator}(t, W)
        }}
        """,
        declined="leaves the axes where they are",
    )


def test_higher_ranks_are_left_alone() -> None:
    check(
        GemmTransposeFusion(),
        before="""
        g (float[2,3,4] x) => (float[4,3,5] y) <float[2,5] W> {
            t = Transpose(x)
            y = MatMul(t, W)
        }
        """,
        declined="not known to be one of matrices",
    )


@pytest.mark.parametrize("dtype", ["float16", "int32"])
def test_other_types_are_left_alone(dtype: str) -> None:
    check(
        GemmTransposeFusion(),
        before=f"""
        g ({dtype}[4,N] x) => ({dtype}[N,5] y) <{dtype}[4,5] W> {{
            t = Transpose(x)
            y = MatMul(t, W)
        }}
        """,
        declined="float32 or float64",
    )


def test_before_opset_11_a_gemm_must_have_a_bias() -> None:
    check(
        GemmTransposeFusion(),
        before="""
        g (float[4,N] x) => (float[N,5] y) <float[4,5] W> {
            t = Transpose(x)
            y = MatMul(t, W)
        }
        """,
        opset=10,
        declined="must have a bias",
    )


def test_in_a_body() -> None:
    check(
        GemmTransposeFusion(),
        before="""
        g (float[4,1] x, bool c, float[1,5] z) => (float[1,5] y) <float[4,5] W> {
            y = If (c) <
                then_branch = t () => (float[1,5] p) { m = Transpose(x) p = MatMul(m, W) },
                else_branch = e () => (float[1,5] q) { q = Relu(z) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            p = Gemm<transA=1>(x, *)
          else_branch:
            q = Relu(z)
        """,
    )


def test_the_second_operand_is_turned_where_a_checker_keeps_the_first() -> None:
    class Checker:
        edits = 0

        def __call__(self, old: Value, new: Value) -> bool:
            self.edits += 1
            return self.edits == 2

        def take(self) -> Tally:
            return Tally()

    text = "g (float[4,4] x) => (float[4,4] y) { t = Transpose(x) y = Gemm(t, t) }"
    subject = Model(model(text)).copy()
    PassManager([GemmTransposeFusion()], checker=Checker()).run(subject)
    assert calls(subject.to_proto()) == "t = Transpose(x)\ny = Gemm<transB=1>(t, x)"
