import pytest

from onnxforge.testing import check
from onnxforge_passes.zero_state_elimination import ZeroStateElimination

LSTM = """
g (float[S,N,3] x) => (float[S,1,N,2] y, float[1,N,2] h)
<float[1,8,3] W, float[1,8,2] R, float[1,16] B{given}>
{{
    {state}
    y, h = LSTM<hidden_size = 2>(x, W, R, B, , h0, c0)
}}
"""
ZEROS = """
s = Shape(x)
one = Constant<value = int64[1] {1}>()
n = Gather(s, one)
two = Constant<value = int64[1] {2}>()
shape = Concat<axis = 0>(one, n, two)
h0 = ConstantOfShape(shape)
c0 = Identity(h0)
"""


def test_states_of_zeros_go_and_what_made_them():
    check(
        ZeroStateElimination(),
        before=LSTM.format(given="", state=ZEROS),
        after="y, h = LSTM<hidden_size=2>(x, *, *, *)",
    )


def test_a_state_that_is_not_zero_stays():
    check(
        ZeroStateElimination(),
        before=LSTM.format(given=", float[1,1,2] h0, float[1,1,2] c0", state="").replace(
            "float[S,N,3] x", "float[S,1,3] x"
        ),
    )


def test_only_the_zero_one_of_two_goes():
    text = LSTM.format(given=", float[1,1,2] h0, float[1,1,2] c0 = {0, 0}", state="")
    check(
        ZeroStateElimination(),
        before=text.replace("float[S,N,3] x", "float[S,1,3] x"),
        after="y, h = LSTM<hidden_size=2>(x, *, *, *, _, *)",
    )


@pytest.mark.parametrize(("op_type", "gates"), [("GRU", 3), ("RNN", 1)])
def test_the_other_recurrent_operators_too(op_type, gates):
    check(
        ZeroStateElimination(),
        before=f"""
        g (float[S,1,3] x) => (float[S,1,1,2] y, float[1,1,2] h)
        <float[1,{2 * gates},3] W, float[1,{2 * gates},2] R, float[1,1,2] h0 = {{0, 0}}>
        {{ y, h = {op_type}<hidden_size = 2>(x, W, R, , , h0) }}
        """,
        after=f"y, h = {op_type}<hidden_size=2>(x, *, *)",
    )


def test_a_state_that_a_caller_may_override_stays():
    check(
        ZeroStateElimination(),
        before="""
        g (float[S,1,3] x, float[1,1,2] h0) => (float[S,1,1,2] y)
        <float[1,2,3] W, float[1,2,2] R, float[1,1,2] h0 = {0, 0}>
        { y = RNN<hidden_size = 2>(x, W, R, , , h0) }
        """,
    )


def test_a_quantized_lstm_starts_from_zeros_as_well():
    check(
        ZeroStateElimination(),
        before="""
        <ir_version: 10, opset_import: ["" : 17, "com.microsoft" : 1]>
        g (float[S,2,3] x) => (float[S,1,2,2] y)
        <int8[1,3,8] W, int8[1,2,8] R, float[1,16] B, float[1,2,2] h0 = {0, 0, 0, 0},
         float[1] scale = {0.1}, int8[1] point = {0}>
        {
            y = com.microsoft.DynamicQuantizeLSTM<hidden_size = 2>
                (x, W, R, B, , h0, h0, , scale, point, scale, point)
        }
        """,
        after="y = com.microsoft.DynamicQuantizeLSTM<hidden_size=2>(x, *, *, *, _, _, _, _, *, *, *, *)",
    )
