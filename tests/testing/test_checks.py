"""The test kit tells what is wrong."""

import pytest

from onnxforge import RewritePass
from onnxforge.testing import check


class SquareAsProduct(RewritePass):
    """Write the square of a value as a product."""

    def pattern(self, op, x):
        return op.Pow(x, 2.0)

    def rewrite(self, op, x):
        return op.Mul(x, x)


def test_what_comes_out_is_shown_beside_what_was_expected():
    with pytest.raises(AssertionError) as caught:
        check(
            SquareAsProduct(),
            before="g (float[N] x) => (float[N] y) <float two = {2.0}> { y = Pow(x, two) }",
            after="y = Add(x, x)",
        )
    assert "- y = Add(x, x)" in str(caught.value)
    assert "+ y = Mul(x, x)" in str(caught.value)
