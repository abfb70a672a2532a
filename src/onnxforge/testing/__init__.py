"""What the tests of a pass are written with, ours and yours alike.

def test_identities_go():
    check(
        IdentityElimination(),
        before="g (float[N] x) => (float[N] y) { a = Identity(x)  y = Relu(a) }",
        after="y = Relu(x)",
    )
"""

from onnxforge.testing.checks import assert_consistent, check
from onnxforge.testing.texts import calls, model, names_of

__all__ = ["assert_consistent", "calls", "check", "model", "names_of"]
