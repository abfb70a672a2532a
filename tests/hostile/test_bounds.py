"""Models that ask for more than there is: the memory of a process of its own is the bound."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import ModelProto, TensorProto, helper

from hostile.ordeal import FLOAT, INT64, make

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
}  # fmt: skip

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
