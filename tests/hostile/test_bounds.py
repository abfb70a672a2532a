"""Models that ask for more than there is: the memory of a process of its own is the bound."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

import onnxforge
from hostile.ordeal import FLOAT, INT64, command, make
from onnxforge import runtime
from onnxforge.verify import EditChecker

node = helper.make_node
HUGE, LARGE = 2**62, 2**20


def ints(name: str, *values: int) -> TensorProto:
    return helper.make_tensor(name, INT64, [len(values)], values)


def scalar(name: str, value: int) -> TensorProto:
    return helper.make_tensor(name, INT64, [], [value])


ONE = helper.make_tensor("k", FLOAT, [1], [1.0])

CASES: dict[str, Callable[[], ModelProto]] = {
    f"{name} of {sizes}": lambda op=op, sizes=sizes, inputs=inputs: make(
        [node(op, inputs, ["t"]), node("Add", ["x", "t"], ["y"])], weights=[ONE, ints("s", *sizes)]
    )
    for sizes in ((HUGE,), (HUGE, HUGE), (LARGE, LARGE), (-5, LARGE), (0, HUGE), (2**31, 4))
    for name, op, inputs in (
        ("ConstantOfShape", "ConstantOfShape", ["s"]),
        ("Expand", "Expand", ["k", "s"]),
        ("RandomNormalLike", "RandomNormalLike", ["s"]),
        ("Reshape", "Reshape", ["k", "s"]),
    )
} | {
    "Tile": lambda: make(
        [node("Tile", ["k", "s"], ["t"]), node("Add", ["x", "t"], ["y"])],
        weights=[ONE, ints("s", HUGE)],
    ),
    "Tile that is small at first": lambda: make(
        [node("Tile", ["k", "s"], ["t0"]),
         *(node("Concat", [f"t{i}"] * 16, [f"t{i + 1}"], axis=0) for i in range(16)),
         node("Add", ["x", "t16"], ["y"])],
        weights=[ONE, ints("s", 16)],
    ),
    "Range": lambda: make(
        [node("Range", ["a", "b", "c"], ["t"]), node("Cast", ["t"], ["y"], to=1)],
        weights=[scalar("a", 0), scalar("b", HUGE), scalar("c", 1)],
    ),
    "Range by nothing": lambda: make(
        [node("Range", ["a", "b", "c"], ["t"]), node("Cast", ["t"], ["y"], to=1)],
        weights=[scalar("a", 0), scalar("b", HUGE), scalar("c", 0)],
    ),
    "Pad": lambda: make(
        [node("Pad", ["k", "s"], ["t"]), node("Add", ["x", "t"], ["y"])],
        weights=[ONE, ints("s", HUGE, HUGE)],
    ),
    "Pad by less than nothing": lambda: make(
        [node("Pad", ["k", "s"], ["t"]), node("Add", ["x", "t"], ["y"])],
        weights=[ONE, ints("s", -HUGE, -HUGE)],
    ),
    "Resize": lambda: make(
        [node("Resize", ["k", "", "", "s"], ["t"]), node("Add", ["x", "t"], ["y"])],
        weights=[ONE, ints("s", HUGE)],
    ),
    "OneHot": lambda: make(
        [node("OneHot", ["i", "d", "v"], ["t"]), node("Cast", ["t"], ["y"], to=1)],
        weights=[ints("i", 1), scalar("d", HUGE), ints("v", 0, 1)],
    ),
    "shapes multiplied beyond 64 bits": lambda: make(
        [node("Mul", ["s", "s"], ["a"]), node("Mul", ["a", "a"], ["b"]),
         node("Pow", ["b", "b"], ["c"]), node("ConstantOfShape", ["c"], ["t"]),
         node("Add", ["x", "t"], ["y"])],
        weights=[ints("s", HUGE, 3, -1)],
    ),
    "shapes divided by nothing": lambda: make(
        [node("Shape", ["x"], ["s"]), node("Sub", ["s", "s"], ["z"]), node("Div", ["s", "z"], ["a"]),
         node("Mod", ["s", "z"], ["b"]), node("Concat", ["a", "b"], ["c"], axis=0),
         node("ConstantOfShape", ["c"], ["y"])],
    ),
    "an initializer of absurd size": lambda: make(
        [node("Relu", ["w"], ["y"])],
        weights=[TensorProto(name="w", data_type=FLOAT, dims=[HUGE, HUGE], raw_data=b"abcd")],
    ),
    "an initializer of overflowing size": lambda: make(
        [node("Relu", ["w"], ["y"])],
        weights=[TensorProto(name="w", data_type=FLOAT, dims=[2**32, 2**32], raw_data=b"")],
    ),
    "inputs of absurd size": lambda: make(
        [node("Identity", ["x"], ["t"]), node("Relu", ["t"], ["y"])], inputs={"x": [HUGE, HUGE]}
    ),
    "inputs of negative size": lambda: make(
        [node("Identity", ["x"], ["t"]), node("Relu", ["t"], ["y"])], inputs={"x": [-3, 0]}
    ),
    "an input of large size": lambda: make(
        [node("Identity", ["x"], ["t"]), node("Relu", ["t"], ["y"])], inputs={"x": [LARGE, LARGE]}
    ),
    "an outer product": lambda: make(
        [node("Transpose", ["e"], ["f"], perm=[1, 0]), node("MatMul", ["f", "e"], ["t"]),
         node("Add", ["x", "t"], ["y"])],
        weights=[TensorProto(name="e", data_type=FLOAT, dims=[1, LARGE], raw_data=bytes(4 * LARGE))],
    ),
    "a loop without end": lambda: make(
        [node("Loop", ["", "c"], ["y"], body=helper.make_graph(
            [node("Identity", ["go"], ["again"]), node("Identity", ["x"], ["r"])], "b",
            [helper.make_tensor_value_info("i", INT64, []),
             helper.make_tensor_value_info("go", TensorProto.BOOL, [])],
            [helper.make_tensor_value_info("again", TensorProto.BOOL, []),
             helper.make_tensor_value_info("r", FLOAT, [2])]))],
        weights=[TensorProto(name="c", data_type=TensorProto.BOOL, raw_data=b"\1")],
    ),
    "a loop without end of constants": lambda: make(
        [node("Loop", ["n", "c"], ["t"], body=helper.make_graph(
            [node("Identity", ["go"], ["again"]), node("Identity", ["k"], ["r"])], "b",
            [helper.make_tensor_value_info("i", INT64, []),
             helper.make_tensor_value_info("go", TensorProto.BOOL, [])],
            [helper.make_tensor_value_info("again", TensorProto.BOOL, []),
             helper.make_tensor_value_info("r", FLOAT, [1])])),
         node("Add", ["x", "t"], ["y"])],
        weights=[TensorProto(name="c", data_type=TensorProto.BOOL, raw_data=b"\1"), ONE,
                 scalar("n", HUGE)],
    ),
    "a loop of 2**62 rounds": lambda: endless(),
    "a loop of 2**62 rounds that keeps all it computes": lambda: endless(kept=True),
    "a loop of a million rounds in a loop of a million": lambda: endless(2**20, inner=2**20),
}  # fmt: skip


def endless(trips: int = HUGE, *, inner: int = 0, kept: bool = False) -> ModelProto:
    """A loop over constants of known shape: nothing but its length keeps it from being folded."""

    def loop(count: str, state: str, result: str, body: list[onnx.NodeProto]) -> onnx.NodeProto:
        info = helper.make_tensor_value_info
        inside, after = f"{result}_in", f"{result}_out"
        graph = helper.make_graph(
            [node("Identity", ["go"], ["again"]), *body, node("Identity", [after], ["each"])],
            "b",
            [info("i", INT64, []), info("go", TensorProto.BOOL, []), info(inside, FLOAT, [1])],
            [info("again", TensorProto.BOOL, []), info(after, FLOAT, [1])]
            + [info("each", FLOAT, [1])] * kept,
        )
        return node("Loop", [count, "", state], [result, *["all"] * kept], body=graph)

    add = node("Add", ["r_in", "k"], ["r_out"])
    if inner:
        add = loop("m", "r_in", "r_out", [node("Add", ["r_out_in", "k"], ["r_out_out"])])
    return make(
        [loop("n", "k", "r", [add]), node("Add", ["x", "r"], ["y"])],
        weights=[ONE, scalar("n", trips), scalar("m", inner)],
    )


@pytest.mark.parametrize("verify", ["model", "edits"])
def test_what_does_not_end_is_stopped_and_said_to_be_unchecked(verify, monkeypatch):
    monkeypatch.setattr(runtime, "ABSURD_SECONDS", 0.2)
    result = onnxforge.optimize(endless(), verify=verify)
    assert "a loop of the model may not end" in result.report.comparison.unchecked


def test_the_verify_command_fails_on_what_does_not_end(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(runtime, "ABSURD_SECONDS", 0.2)
    path = tmp_path / "m.onnx"
    path.write_bytes(endless().SerializeToString())
    assert command(capsys, "verify", path, path) == 1


def test_a_loop_is_not_waited_for_to_check_an_edit_before_it():
    checker = EditChecker()
    subject = onnxforge.Model(endless())
    loop = next(node for node in subject.graph if node.op_type == "Loop")
    assert checker(loop.output, subject.graph.add_node("Identity", [loop.output]).output)
    assert list(checker.take().unchecked) == ["a loop of the region runs more often than any could"]


# One process for all: a start of Python for each would take longer than the cases themselves.
ORDEAL = """
import resource, sys
from pathlib import Path
import hostile.ordeal, onnxruntime
used = 1024 * int(Path("/proc/self/statm").read_text().split()[0]) * 4
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), used + (1 << 30)))
for path in sorted(Path(sys.argv[1]).glob("*.onnx")):
    print(path.stem, flush=True)
    hostile.ordeal.endure(path)
print("done", flush=True)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is bounded on Linux")
def test_absurd_sizes_take_neither_memory_nor_time(tmp_path: Path):
    names = {f"{index:02}": name for index, name in enumerate(CASES)}
    for stem, name in names.items():
        (tmp_path / f"{stem}.onnx").write_bytes(CASES[name]().SerializeToString())
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", ORDEAL, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    reached = done.stdout.split() or ["none"]
    assert reached[-1] == "done", f"{names.get(reached[-1])}: {done.stderr[-3000:]}"
    assert len(reached) == len(CASES) + 1
