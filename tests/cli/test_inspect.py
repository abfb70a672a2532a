from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from onnxforge import Model, inspection
from onnxforge.inspection import type_text
from onnxforge.testing import model

Cli = Callable[..., Any]


def inspect(proto: onnx.ModelProto) -> inspection.Inspection:
    return inspection.inspect(Model(proto))


def test_a_model_is_described(cli: Cli, source: Path) -> None:
    done = cli("inspect", source)
    assert done.exit_code == 0, done.output
    assert [line.split() for line in done.stdout.splitlines()[:2]] == [
        ["IR", "version", "10"],
        ["opset", "ai.onnx", "17"],
    ]
    for line in (
        "  x  float[batch, 3, 4]",
        "  y  float[batch, z]",
        "  1  Gather",
        "  12 B  float[3]  scale",
        "    3  the size 'batch'",
    ):
        assert line in done.stdout.splitlines()


def test_names_in_a_model_cannot_steer_the_terminal(cli: Cli, source: Path) -> None:
    assert "producer    a\\x1b[31mred 1.0" in cli("inspect", source).stdout


def test_the_same_as_json(cli: Cli, source: Path) -> None:
    found = json.loads(cli("inspect", source, "--json").stdout)
    assert found["operators"] == dict.fromkeys(
        ["Concat", "Gather", "Identity", "Relu", "Reshape", "Shape"], 1
    )
    assert found["inputs"] == {"x": "float[batch, 3, 4]"}
    assert found["parameters"] == 8
    assert found["bytes_by_type"] == {"float": 24, "int64": 16}
    assert found["folding"] == {
        "constant": 0,
        "waiting_nodes": 3,
        "waiting": {"the size 'batch'": 3},
    }
    assert found["problems"] == ["graph 'g': 1 node names are used more than once, 'first' for one"]


def test_nodes_of_bodies_and_functions_are_counted() -> None:
    proto = model("""
        <ir_version: 10, opset_import: ["" : 17, "my" : 1]>
        g (bool c, float[2] x) => (float[2] y)
        {
            y = If (c) <
                then_branch = t () => (float[2] a) { a = my.Twice(x) },
                else_branch = e () => (float[2] b) { b = Neg(x) }
            >
        }
        <domain: "my", opset_import: ["" : 17]>
        Twice (p) => (q) { q = Add(p, p) }
    """)
    found = inspect(proto)
    assert found.operators == {"Add": 1, "If": 1, "Neg": 1, "my::Twice": 1}
    assert (found.nodes, found.functions) == (4, 1)


def test_what_blocks_folding_is_traced_to_its_source() -> None:
    proto = model("""
        g (float[n, 4] x, float[4] r) => (int64[1] a, int64[1] b, int64[1] c, float[4] d, float[4] e)
        <float[4] w>
        {
            rows = Shape<start = 0, end = 1>(x)
            width = Shape<start = 1, end = 2>(x)
            a = Add(rows, width)
            b = Add(width, width)
            found = NonZero(x)
            turned = Transpose(found)
            c = Shape<start = 0, end = 1>(turned)
            noise = RandomUniformLike(w)
            d = Mul(noise, w)
            e = Neg(r)
        }
    """)
    folding = inspect(proto).folding
    assert folding.constant == 2, "the width, and twice the width"
    assert folding.waiting == {
        "RandomUniformLike, which may answer anew each time": 2,
        "the size 'n'": 2,
        "a size of what NonZero gives": 1,
    }
    assert folding.waiting_nodes == 5


def test_overridable_initializers_are_listed_and_block_folding() -> None:
    proto = model("g (float[2] x) => (float[2] y) <float[2] w> { a = Neg(w)  y = Add(x, a) }")
    assert inspect(proto).folding.constant == 1
    proto.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [2]))
    found = inspect(proto)
    assert found.overridable == ["w"]
    assert list(found.inputs) == ["x"]
    assert found.folding.waiting == {"initializers that callers may override": 1}


def test_stale_types_are_problems() -> None:
    proto = model("g (float[2] x) => (float[2] y) { a = Relu(x)  y = Relu(a) }")
    record = proto.graph.value_info
    record.append(helper.make_tensor_value_info("a", TensorProto.FLOAT, [3]))
    record.append(helper.make_tensor_value_info("ghost", TensorProto.FLOAT, [3]))
    assert inspect(proto).problems == [
        "'a' is recorded as float[3], and its producer gives float[2]",
        "graph 'g' records types of 1 values that are not there, 'ghost' for one",
    ]


def test_a_sound_model_has_no_problems() -> None:
    assert inspect(model("g (float[2] x) => (float[2] y) { y = Relu(x) }")).problems == []


def test_a_broken_model_is_described_as_far_as_possible() -> None:
    proto = model("g (float[2] x) => (float[2] y) { y = Relu(x) }")
    proto.graph.node[0].input[0] = "nowhere"
    found = inspect(proto)
    assert found.operators == {"Relu": 1}
    assert len(found.problems) == 1
    assert "'nowhere'" in found.problems[0]


def test_data_files_are_listed_and_missed(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    proto = model("g (float[512] x) => (float[512] y) <float[512] w> { y = Mul(x, w) }")
    onnx.save(proto, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    assert "  w.bin  2.0 kB of 2.0 kB" in cli("inspect", path).stdout
    (tmp_path / "w.bin").unlink()
    done = cli("inspect", path)
    assert done.exit_code == 0
    assert "w.bin  cannot be read" in done.stdout
    assert "data of tensor 'w' in 'w.bin': there is no such file" in done.stdout
    (tmp_path / "w.bin").write_bytes(b"short")
    assert "'w.bin': bytes 0 to 2048 are wanted, and it ends at 5" in cli("inspect", path).stdout
    proto.graph.initializer[0].external_data[0].value = "../w.bin"
    path.write_bytes(proto.SerializeToString())
    assert "'../w.bin': it leads out of the model's folder" in cli("inspect", path).stdout


def test_a_model_of_many_gigabytes_is_not_read(cli: Cli, tmp_path: Path) -> None:
    """The data file is sparse: reading it would take 64 GB."""
    length = 1 << 36
    proto = model("g (float[2] x) => (float[2] y) { y = Relu(x) }")
    tensor = proto.graph.initializer.add(name="w", data_type=TensorProto.FLOAT, dims=[length // 4])
    tensor.raw_data = b"kept elsewhere"
    onnx.external_data_helper.set_external_data(tensor, "w.bin", 0, length)
    tensor.ClearField("raw_data")
    onnx.save(proto, tmp_path / "model.onnx")
    with (tmp_path / "w.bin").open("wb") as file:
        os.truncate(file.fileno(), length)
    done = cli("inspect", tmp_path / "model.onnx")
    assert done.exit_code == 0, done.output
    assert "parameters  17,179,869,184" in done.stdout
    assert "68.72 GB" in done.stdout


def test_long_lists_are_cut_in_the_text_alone(cli: Cli, tmp_path: Path) -> None:
    inputs = ", ".join(f"float[1] x{i}" for i in range(50))
    onnx.save(model(f"g ({inputs}) => (float[1] y) {{ y = Neg(x0) }}"), tmp_path / "m.onnx")
    assert "  and 30 more: see --json" in cli("inspect", tmp_path / "m.onnx").stdout
    assert len(json.loads(cli("inspect", tmp_path / "m.onnx", "--json").stdout)["inputs"]) == 50


@pytest.mark.parametrize(
    ("type", "text"),
    [
        (helper.make_tensor_type_proto(TensorProto.FLOAT16, ["N", None, 3]), "float16[N, ?, 3]"),
        (helper.make_tensor_type_proto(TensorProto.STRING, None), "string[...]"),
        (helper.make_tensor_type_proto(TensorProto.INT64, []), "int64[]"),
        (helper.make_sparse_tensor_type_proto(TensorProto.INT8, [2]), "sparse_tensor(int8[2])"),
        (
            helper.make_optional_type_proto(
                helper.make_sequence_type_proto(helper.make_tensor_type_proto(1, [1]))
            ),
            "optional(seq(float[1]))",
        ),
        (
            helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(1, [])),
            "map(int64, float[])",
        ),
        (onnx.TypeProto(), "?"),
        (None, "?"),
    ],
)
def test_types_are_written_as_in_onnx_text(type: onnx.TypeProto | None, text: str) -> None:
    assert type_text(type) == text


def test_bad_input_is_one_line(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(np.random.default_rng(1).bytes(999))
    for name in ("x.onnx", "missing.onnx", ""):
        done = cli("inspect", tmp_path / name)
        assert done.exit_code == 2
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""
