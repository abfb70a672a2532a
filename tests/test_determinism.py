"""The same bytes in give the same bytes out, whatever the hash seed."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from onnxforge import Model, optimize
from onnxforge.testing import model

DIGITS = Path(__file__).parents[1] / "examples" / "digits.onnx"

BRANCHES = """
g (float[N,4] x, bool c) => (float[N,4] y, float[N,4] z) {
    t = Constant<value = bool {1}>()
    i = If(t) <
        then_branch = a () => (float[N,4] p) { r = Relu(x)  p = Identity(r) },
        else_branch = b () => (float[N,4] q) { q = Neg(x) }
    >
    j = If(c) <
        then_branch = d () => (float[N,4] s) { e = Identity(i)  s = Exp(e) },
        else_branch = f () => (float[N,4] u) { h = Neg(i)  u = Neg(h) }
    >
    k = Add(i, j)
    l = Add(j, i)
    y = Mul(k, l)
    z = Identity(k)
}
"""

OPTIMIZE = """
import hashlib, sys
import onnxforge
data = open(sys.argv[1], "rb").read()
print(hashlib.sha256(onnxforge.optimize(data, verify=False).to_bytes()).hexdigest())
"""


@pytest.fixture(params=["digits", "branches"])
def path(request, tmp_path):
    if request.param == "digits":
        return DIGITS
    Model(model(BRANCHES)).save(tmp_path / "branches.onnx")
    return tmp_path / "branches.onnx"


def test_the_result_does_not_depend_on_the_hash_seed(path):
    digests = set()
    for seed in ("0", "1", "77"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", OPTIMIZE, str(path)]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        digests.add(run.stdout)
    assert len(digests) == 1


def test_optimizing_the_result_again_returns_the_same_bytes(path, tmp_path):
    once = optimize(path)
    once.save(tmp_path / "once.onnx")
    twice = optimize(tmp_path / "once.onnx")
    twice.save(tmp_path / "twice.onnx")
    digests = [
        hashlib.sha256((tmp_path / f"{n}.onnx").read_bytes()).hexdigest() for n in ("once", "twice")
    ]
    assert digests[0] == digests[1]
    assert twice.report.changes == 0
