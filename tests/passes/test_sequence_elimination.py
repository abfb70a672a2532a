from __future__ import annotations

import pytest

from onnxforge import Model, PassManager
from onnxforge.testing import check, model
from onnxforge_passes.sequence_elimination import SequenceElimination

NUMBERS = (
    "<int64 zero = {0}, int64 one = {1}, int64 two = {2}, int64 last = {-1}, int64[2] pair = {3,1}>"
)


@pytest.mark.parametrize("split", ["two", "pair"])
def test_a_sequence_of_pieces_that_are_read_one_by_one_is_a_split(split: str) -> None:
    check(
        SequenceElimination(),
        before=f"""
        g (float[N,4] x) => (float[?,?] y, float[?,?] z) {NUMBERS} {{
            s = SplitToSequence<axis = -1>(x, {split})
            a = SequenceAt(s, zero)
            b = SequenceAt(s, last)
            y = Neg(a)
            z = Exp(b)
        }}
        """,
        after="""
        a, b = Split<axis=1>(x, *)
        y = Neg(a)
        z = Exp(b)
        """,
    )


def test_pieces_may_be_uneven_and_of_half_precision() -> None:
    check(
        SequenceElimination(),
        before=f"""
        g (float16[5] x) => (float16[?] y) {NUMBERS} {{
            s = SplitToSequence(x, two)
            a = SequenceAt(s, two)
            y = Neg(a)
        }}
        """,
        after="""
        t1, t2, a = Split<axis=0>(x, *)
        y = Neg(a)
        """,
    )


def test_without_lengths_the_axis_goes_if_it_is_not_kept() -> None:
    check(
        SequenceElimination(),
        before=f"""
        g (float[2,N] x) => (float[?] y) {NUMBERS} {{
            s = SplitToSequence<keepdims = 0>(x)
            a = SequenceAt(s, one)
            y = Neg(a)
        }}
        """,
        after="""
        t1, t2 = Split<axis=0>(x, *)
        a = Squeeze(t2, *)
        y = Neg(a)
        """,
    )


def test_in_opset_11_the_lengths_are_an_attribute() -> None:
    check(
        SequenceElimination(),
        opset=11,
        before=f"""
        g (float[2,N] x) => (float[?] y) {NUMBERS} {{
            s = SplitToSequence<keepdims = 0>(x)
            a = SequenceAt(s, one)
            y = Neg(a)
        }}
        """,
        after="""
        t1, t2 = Split<axis=0, split=[1,1]>(x)
        a = Squeeze<axes=[0]>(t2)
        y = Neg(a)
        """,
    )


@pytest.mark.parametrize(
    "reads",
    [
        "a = SequenceAt(s, i)",  # any of them
        "a = SequenceAt(s, zero) t = SequenceInsert(s, x)",  # as a whole
    ],
)
def test_pieces_that_are_asked_for_otherwise_stay_a_sequence(reads: str) -> None:
    returned = ", seq(float[?]) t" if "t =" in reads else ""
    check(
        SequenceElimination(),
        before=f"""
        g (float[4] x, int64 i) => (float[?] y{returned}) {NUMBERS} {{
            s = SplitToSequence(x, two) {reads} y = Neg(a)
        }}
        """,
    )


def test_pieces_of_unknown_number_stay_a_sequence() -> None:
    check(
        SequenceElimination(),
        before=f"""
        g (float[N] x) => (float[?] y) {NUMBERS} {{
            s = SplitToSequence(x, two) a = SequenceAt(s, zero) y = Neg(a)
        }}
        """,
    )


@pytest.mark.parametrize(
    ("makes", "at"),
    [
        ("s = SequenceConstruct(x, u)", {"zero": "x", "last": "u", "one": "u"}),
        (
            "e = SequenceEmpty() f = SequenceInsert(e, x) s = SequenceInsert(f, u)",
            {"zero": "x", "last": "u"},
        ),
        (
            "e = SequenceConstruct(x, x) s = SequenceInsert(e, u, last)",
            {"one": "u", "two": "x"},
        ),
        (
            "e = SequenceConstruct(u, x, u) f = SequenceErase(e, zero) s = SequenceErase(f)",
            {"zero": "x"},
        ),
    ],
)
def test_an_element_of_a_known_sequence_is_the_tensor_itself(
    makes: str, at: dict[str, str]
) -> None:
    for position, name in at.items():
        check(
            SequenceElimination(),
            before=f"""
            g (float[N] x, float[N] u) => (float[N] y) {NUMBERS} {{
                {makes} a = SequenceAt(s, {position}) y = Neg(a)
            }}
            """,
            after=f"y = Neg({name})",
        )


def test_a_position_out_of_bounds_fails_as_before() -> None:
    text = f"""
    g (float[N] x) => (float[N] y) {NUMBERS} {{
        s = SequenceConstruct(x, x) a = SequenceAt(s, two) y = Exp(a)
    }}
    """
    assert PassManager([SequenceElimination()]).run(Model(model(text))).changes == 0


def test_a_sequence_that_is_concatenated_is_a_concat_and_its_length_a_constant() -> None:
    check(
        SequenceElimination(),
        before="""
        g (float[N] x, float[M] u) => (float[?] y, int64 n) {
            s = SequenceConstruct(x, u)
            c = ConcatFromSequence<axis = -1>(s)
            y = Neg(c)
            l = SequenceLength(s)
            n = Neg(l)
        }
        """,
        after="""
        c = Concat<axis=-1>(x, u)
        y = Neg(c)
        n = Neg(*)
        """,
    )


def test_a_sequence_that_is_stacked_stays() -> None:
    check(
        SequenceElimination(),
        before="""
        g (float[N] x, float[N] u) => (float[?,?] y) {
            s = SequenceConstruct(x, u)
            c = ConcatFromSequence<axis = 0, new_axis = 1>(s)
            y = Neg(c)
        }
        """,
        declined="new axis",
    )


def test_a_graph_returns_a_value_of_its_own() -> None:
    check(
        SequenceElimination(),
        before=f"""
        g (float[N] x) => (float[N] y) {NUMBERS} {{
            s = SequenceConstruct(x) y = SequenceAt(s, zero)
        }}
        """,
        after="y = Identity(x)",
    )


def test_sequences_in_a_body() -> None:
    check(
        SequenceElimination(),
        before="""
        g (float[N] x, bool c) => (float[N] y) {
            y = If (c) <
                then_branch = t () => (float[N] p) {
                    zero = Constant<value_int = 0>()
                    s = SequenceConstruct(x)
                    a = SequenceAt(s, zero)
                    p = Exp(a)
                },
                else_branch = e () => (float[N] q) { q = Neg(x) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            p = Exp(x)
          else_branch:
            q = Neg(x)
        """,
    )


def test_a_length_that_is_returned_leaves_no_sequence_beside_a_split() -> None:
    check(
        SequenceElimination(),
        before=f"""
        g (float[2,3] x) => (float[1,3] y, int64 n) {NUMBERS} {{
            s = SplitToSequence<axis = 0>(x)
            a = SequenceAt(s, zero)
            y = Neg(a)
            n = SequenceLength(s)
        }}
        """,
        after="""
        a, t1 = Split<axis=0>(x, *)
        y = Neg(a)
        n = Identity(*)
        """,
    )


def test_pieces_that_are_also_stacked_are_not_split_twice() -> None:
    check(
        SequenceElimination(),
        before=f"""
        g (float[2,3] x) => (float[1,3] y, float[2,1,3] z) {NUMBERS} {{
            s = SplitToSequence<axis = 0>(x)
            a = SequenceAt(s, zero)
            y = Neg(a)
            z = ConcatFromSequence<axis = 0, new_axis = 1>(s)
        }}
        """,
    )


def test_pieces_that_would_be_squeezed_and_concatenated_stay() -> None:
    check(
        SequenceElimination(),
        before="""
        g (float[2,3] x) => (float[6] y) {
            s = SplitToSequence<axis = 0, keepdims = 0>(x)
            a = ConcatFromSequence<axis = 0>(s)
            y = Neg(a)
        }
        """,
    )


def test_pieces_of_a_length_whose_axis_is_dropped_by_some_runtimes_stay() -> None:
    check(
        SequenceElimination(),
        before=f"""
        g (float[3,2] x) => (float y) {NUMBERS} {{
            s = SplitToSequence<axis = 1, keepdims = 0>(x, one)
            a = SequenceAt(s, zero)
            y = ReduceSum<keepdims = 0>(a)
        }}
        """,
    )
