from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx

from onnxforge.ir import Model
from onnxforge.verify import EditChecker, Failure

HEADER = '<ir_version: 10, opset_import: ["" : 20]>\n'


def failure(text: str, old: str, new: str) -> Failure:
    subject = Model(onnx.parser.parse_model(HEADER + text))
    checker = EditChecker()
    assert not checker(subject.graph.values[old], subject.graph.values[new])
    return checker.failures[0]


def reproduce(folder: Path) -> str:
    """Run the reproducers as their readers would, without this project's settings."""
    options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, "--import-mode=importlib"]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir", str(folder), str(folder)],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )
    return result.stdout + result.stderr


EDITS = [
    ("g (float[N,4] file) => (float[N,4] y) { a = Relu(file) y = Neg(a) }", "a", "file"),
    ("g (bfloat16[N] x) => (bfloat16[N] y) { a = Abs(x) b = Neg(x) y = Neg(a) }", "a", "b"),
    ("g (string[N] x) => (string[N] y) { a = StringConcat(x, x) y = Identity(a) }", "a", "x"),
    (
        """g (seq(float[N]) s, float[3] x) => (seq(float[N]) y)
        { t = SequenceInsert(s, x) y = Identity(t) }""",
        "t",
        "s",
    ),
    ("g (float[4] x) => (int64[1] y) <int64[1] c = {5}> { a = Shape(x) y = Neg(a) }", "a", "c"),
    (
        """g (float[N,4] x) => (float[N,4] y) <int64[2] s = {-1, 3}>
        { a = Relu(x) b = Reshape(x, s) y = Neg(a) }""",
        "a",
        "b",
    ),
]


def test_reproducers_fail_on_their_own_until_the_two_agree(tmp_path):
    for index, edit in enumerate(EDITS):
        test = failure(*edit).write(tmp_path / str(index))
        assert test.name == "test_reproducer.py"
        assert f"replacing '{edit[1]}'" in test.read_text()
        assert "onnxforge" not in test.read_text()
        assert "it needs onnx" in test.read_text()
    assert f"{len(EDITS)} failed in" in (output := reproduce(tmp_path)), output
    for folder in tmp_path.iterdir():
        (folder / "after.onnx").write_bytes((folder / "before.onnx").read_bytes())
    assert f"{len(EDITS)} passed in" in (output := reproduce(tmp_path)), output


def test_the_models_of_a_failure_are_the_region_and_no_more():
    chain = " ".join(f"a{i} = Exp(a{i - 1})" for i in range(1, 20))
    text = f"g (float[N] a0) => (float[N] y) {{ {chain} b = Relu(a19) y = Neg(b) }}"
    found = failure(text.replace("Exp", "Sin"), "b", "a19")
    assert [node.op_type for node in found.after.graph.node if node.op_type != "Identity"] in (
        [],
        ["Sin"] * 19,
    )
    onnx.checker.check_model(found.before)
    onnx.checker.check_model(found.after)
    assert found.error > found.tolerance == 1e-4
    assert found.before_result.dtype == np.float32
