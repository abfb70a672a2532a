"""Attention as exporters spell it: the texts that tests of its fusions start from."""

from __future__ import annotations

SCALED = "s = MatMul(qt, kt) w = Mul(s, half)"
WEIGHTS = "p = Softmax <axis = -1> (w)"
MASKED = "a = Add(w, mask) p = Softmax <axis = -1> (a)"
GUARDED = "a = Add(w, mask) r = Softmax <axis = -1> (a) n = IsNaN(r) p = Where(n, zero, r)"

LOWEST = "-3.4028234663852886e38"
"""The lowest float32."""


def attention(
    scores: str = SCALED,
    weights: str = WEIGHTS,
    *,
    inputs: str = "",
    keys: str = "kt = Transpose <perm = [0, 2, 3, 1]> (kr)",
    rows: str = "B,S",
    columns: str = "B,L",
    dtype: str = "float",
) -> str:
    """A graph that takes two heads of four numbers apart, attends, and puts them together."""
    constants = {"half": "0.5", "two": "2", "zero": "0", "lost": "-inf", "lowest": LOWEST}
    declared = ", ".join(
        f"{dtype} {name}" + (f" = {{{number}}}" if dtype == "float" else "")
        for name, number in constants.items()
    )
    return f"""
    g ({dtype}[{rows},8] q, {dtype}[{columns},8] k, {dtype}[{columns},8] v{inputs})
    => ({dtype}[{rows},8] y)
    <int64[4] apart = {{0, 0, 2, 4}}, int64[3] together = {{0, 0, 8}},
     {declared}, {dtype}[2] pair>
    {{
        qr = Reshape(q, apart)
        kr = Reshape(k, apart)
        vr = Reshape(v, apart)
        qt = Transpose <perm = [0, 2, 1, 3]> (qr)
        vt = Transpose <perm = [0, 2, 1, 3]> (vr)
        {keys}
        {scores}
        {weights}
        o = MatMul(p, vt)
        t = Transpose <perm = [0, 2, 1, 3]> (o)
        y = Reshape(t, together)
    }}
    """
