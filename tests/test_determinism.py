"""The same bytes in give the same bytes out, whatever the hash seed."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from onnx import ModelProto
from onnx.parser import parse_model

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


def test_what_comes_of_a_model_does_not_depend_on_whether_it_is_checked() -> None:
    proto = parse_model("""
        <ir_version: 10, opset_import: ["": 18, "mine": 1]>
        g (float[N,4] x, float[2,3] z) => (float[2,3] y) {
           one = Constant <value = int64 {1}> ()
           s = SplitToSequence <axis = 0> (z, one)
           a = ConcatFromSequence <axis = 0> (s)
           b = mine.Gate <k = 0.5> (a)
           too = Constant <value = int64 {1}> ()
           t = SplitToSequence <axis = 0> (b, too)
           y = ConcatFromSequence <axis = 0> (t)
        }
        <domain: "mine", opset_import: ["": 18]> Gate <k> (x) => (y) {
           a = Constant <value_float: float = @k> ()
           s = Mul(x, a)
           g = Sigmoid(s)
           y = Mul(x, g)
        }
        """)
    passes = ["sequence-elimination"]
    one, other = (optimize(proto, passes, verify=verify).to_bytes() for verify in (False, "model"))
    assert one == other
    assert not optimize(ModelProto.FromString(one), passes).report.changes
