from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import onnxforge
from onnxforge import api
from onnxforge.errors import NotEquivalentError
from onnxforge.report import Comparison
from onnxforge.testing import model

Cli = Callable[..., Any]


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def fails(done: Any, *parts: str, status: int = 2) -> None:
    """Assert that a command said in one line what is wrong."""
    assert done.exit_code == status, done.output
    assert done.stderr.startswith("onnxforge: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.output
    for part in parts:
        assert part in done.stderr


def test_a_model_is_optimized_compared_and_reported(cli: Cli, source: Path, tmp_path: Path) -> None:
    target, report = tmp_path / "out.onnx", tmp_path / "report.json"
    done = cli("optimize", source, "-o", target, "-p", "identity-elimination", "--report", report)
    assert done.exit_code == 0, done.output
    assert "Identity" not in operators(target)
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["pass", "changes", "nodes", "time", "checked", "error"]
    assert lines[1].split()[:3] == ["identity-elimination", "1", "5"]
    assert "whole model: error 0.0e+00" in done.stdout
    assert lines[-1].startswith(f"{target}: 6 -> 5 nodes, 0.")
    written = json.loads(report.read_text())
    assert written["passes"][0]["changes"] == 1
    assert written["model"]["is_equivalent"] is True


def ran(folder: Path) -> list[str]:
    return [each["name"] for each in json.loads((folder / "ran.json").read_text())["passes"]]


def test_without_a_pass_it_is_standard(cli: Cli, source: Path, tmp_path: Path) -> None:
    done = cli("optimize", source, "-o", tmp_path / "out.onnx", "--report", tmp_path / "ran.json")
    assert done.exit_code == 0, done.output
    assert "conv-batch-norm-fusion" in ran(tmp_path)
    assert "passes found nothing to do" in done.stdout


def test_output_that_is_not_to_a_terminal_has_no_colour(
    cli: Cli, source: Path, tmp_path: Path
) -> None:
    for command in (("optimize", source, "-o", tmp_path / "out.onnx"), ("inspect", source)):
        assert "\x1b" not in cli(*command).output


def test_a_terminal_gets_the_same_words(
    cli: Cli, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = cli("optimize", source, "-o", tmp_path / "a.onnx", "--no-verify").stdout
    monkeypatch.setattr("onnxforge.cli.text.is_terminal", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    rich = cli("optimize", source, "-o", tmp_path / "b.onnx", "--no-verify").stdout
    assert "\x1b[" in rich
    for word in ("changes", "identity-elimination", "UNCHECKED"):
        assert word in plain
        assert word in rich


def test_passes_and_options_are_taken_in_order(cli: Cli, source: Path, tmp_path: Path) -> None:
    passes = ("-p", "dead-node-elimination", "-p", "identity-elimination")
    told = ("--no-verify", "--report", tmp_path / "ran.json")
    cli("optimize", source, "-o", tmp_path / "out.onnx", *passes, *told)
    assert ran(tmp_path) == ["dead-node-elimination", "identity-elimination"]


def test_the_output_may_be_the_input(cli: Cli, source: Path) -> None:
    done = cli("optimize", source, "-o", source, "-p", "identity-elimination")
    assert done.exit_code == 0, done.output
    assert "Identity" not in operators(source)
    assert [path.name for path in source.parent.iterdir()] == [source.name]


def test_a_model_with_nothing_to_do_is_copied_byte_for_byte(
    cli: Cli, source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.onnx"
    done = cli("optimize", source, "-o", target, "-p", "conv-batch-norm-fusion")
    assert done.exit_code == 0, done.output
    assert target.read_bytes() == source.read_bytes()


def test_every_edit_can_be_checked(cli: Cli, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.onnx"
    done = cli("optimize", source, "-o", target, "-p", "identity-elimination", "--verify", "edits")
    assert done.exit_code == 0, done.output
    assert "1/1" in done.stdout


def test_one_can_compare_on_inputs_of_ones_own(cli: Cli, source: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((7, 3, 4), np.float32))
    given = ("--input", f"x={tmp_path / 'x.npy'}")
    assert cli("optimize", source, "-o", tmp_path / "out.onnx", *given).exit_code == 0
    wrong = ("--input", f"nothing={tmp_path / 'x.npy'}")
    fails(cli("optimize", source, "-o", tmp_path / "no.onnx", *wrong), "nothing")
    missing = ("--input", "x=missing.npy")
    fails(cli("optimize", source, "-o", tmp_path / "no.onnx", *missing), "missing.npy")
    assert not (tmp_path / "no.onnx").exists()


def test_weights_go_to_a_file_of_their_own_if_asked(cli: Cli, tmp_path: Path) -> None:
    source, target = tmp_path / "in.onnx", tmp_path / "out.onnx"
    text = "g (float[512] x) => (float[512] y) <float[512] w> { a = Identity(x)  y = Mul(a, w) }"
    onnx.save(model(text), source)
    done = cli("optimize", source, "-o", target, "--external-data")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out.onnx.data").stat().st_size >= 2048
    sizes = done.stdout.splitlines()[-1].rsplit(",", 1)[1].split()
    assert float(sizes[2]) > 2, "the data counts as part of the model"
    back = tmp_path / "back.onnx"
    assert cli("optimize", target, "-o", back, "--no-external-data").exit_code == 0
    assert not onnx.load(back, load_external_data=False).graph.initializer[0].external_data


def test_freezing_makes_overridable_initializers_constants(cli: Cli, tmp_path: Path) -> None:
    source, target = tmp_path / "in.onnx", tmp_path / "out.onnx"
    proto = model("g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> { y = Mul(x, w) }")
    proto.graph.input.append(onnx.helper.make_tensor_value_info("w", 1, [2]))
    onnx.save(proto, source)
    assert cli("optimize", source, "-o", target, "--freeze").exit_code == 0
    assert [info.name for info in onnx.load(target).graph.input] == ["x"]


# A check that fails


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A comparison that always finds a difference."""

    def differ(*_: object) -> Comparison:
        return Comparison(0.5, 1e-4, {"y": 0.5}, "a stub")

    monkeypatch.setattr("onnxforge.verify.Baseline.compare", differ)


@pytest.mark.usefixtures("broken")
def test_a_difference_is_status_1_and_leaves_no_output(
    cli: Cli, source: Path, tmp_path: Path
) -> None:
    target, report = tmp_path / "out.onnx", tmp_path / "report.json"
    done = cli("optimize", source, "-o", target, "--report", report)
    fails(done, "NOT EQUIVALENT", "nothing was written", status=1)
    assert not target.exists()
    assert "identity-elimination" in done.stdout
    assert json.loads(report.read_text())["model"]["is_equivalent"] is False


@pytest.mark.usefixtures("broken")
def test_a_difference_leaves_an_existing_output_alone(
    cli: Cli, source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.onnx"
    target.write_text("precious")
    assert cli("optimize", source, "-o", target).exit_code == 1
    assert target.read_text() == "precious"


def test_an_infinite_difference_is_valid_json(
    cli: Cli, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    infinite = Comparison(float("inf"), 0.0, {"y": float("inf")}, "a stub")
    monkeypatch.setattr("onnxforge.verify.Baseline.compare", lambda *_: infinite)
    report = tmp_path / "report.json"
    assert cli("optimize", source, "-o", tmp_path / "o.onnx", "--report", report).exit_code == 1
    assert json.loads(report.read_text(), parse_constant=pytest.fail)["model"]["error"] is None


# Bad input, bad usage


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def dangling() -> bytes:
    proto = model("g (float[2] x) => (float[2] y) { y = Relu(x) }")
    proto.graph.node[0].input[0] = "nowhere"
    return bytes(proto.SerializeToString())


def cyclic() -> bytes:
    proto = model("g (float[2] x) => (float[2] y) { a = Add(x, x)  b = Relu(a)  y = Relu(b) }")
    proto.graph.node[0].input[1] = "b"
    return bytes(proto.SerializeToString())


def twice() -> bytes:
    proto = model("g (float[2] x) => (float[2] y) { a = Relu(x)  y = Relu(a) }")
    proto.graph.node[1].output.insert(0, "a")
    return bytes(proto.SerializeToString())


def outside() -> bytes:
    proto = model("g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> { y = Mul(x, w) }")
    proto.graph.initializer[0].raw_data = b""
    onnx.external_data_helper.set_external_data(proto.graph.initializer[0], "../../etc/passwd")
    return bytes(proto.SerializeToString())


BAD = {
    "empty": (lambda: b"", "empty"),
    "text": (lambda: b"hello, world\n" * 50, "not an ONNX model"),
    "zip": (lambda: b"PK\x03\x04" + bytes(100), "zip"),
    "noise": (lambda: bytes(np.random.default_rng(0).integers(0, 256, 9999, np.uint8)), "ONNX"),
    "truncated": (lambda: model(LONG).SerializeToString()[:-40], "truncated.onnx"),
    "dangling": (dangling, "'nowhere'"),
    "cyclic": (cyclic, "is cyclic"),
    "twice": (twice, "'a'"),
    "outside": (outside, "'w'"),
}
LONG = "g (float[99] x) => (float[99] y) <float[99] w> { y = Mul(x, w) }"


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_model_is_told_in_one_line(cli: Cli, tmp_path: Path, kind: str) -> None:
    make, part = BAD[kind]
    source, target = write(tmp_path / f"{kind}.onnx", make()), tmp_path / "out.onnx"
    fails(cli("optimize", source, "-o", target, "-p", "identity-elimination"), part)
    assert not target.exists()


def test_a_file_that_is_missing_or_a_folder_is_named(cli: Cli, tmp_path: Path) -> None:
    target = tmp_path / "out.onnx"
    missing = tmp_path / "missing.onnx"
    fails(cli("optimize", missing, "-o", target), str(missing))
    fails(cli("optimize", tmp_path, "-o", target), str(tmp_path))
    assert not target.exists()


@pytest.mark.parametrize("option", ["-o", "--report"])
def test_an_output_that_cannot_be_written_is_told_before_the_work(
    cli: Cli, source: Path, tmp_path: Path, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "optimize", lambda *_, **__: pytest.fail("the work was done"))
    output = () if option == "-o" else ("-o", tmp_path / "out.onnx")
    fails(cli("optimize", source, *output, option, tmp_path / "no" / "x"), "no such folder")
    fails(cli("optimize", source, *output, option, tmp_path), "a folder")


@pytest.mark.parametrize("other", ["model.onnx", "out.onnx"])
def test_a_report_is_not_written_over_a_model(
    cli: Cli, source: Path, tmp_path: Path, other: str
) -> None:
    before, link = source.read_bytes(), tmp_path / "link"
    link.symlink_to(other)
    done = cli("optimize", source, "-o", tmp_path / "out.onnx", "--report", link)
    fails(done, f"would be written over {tmp_path / other}")
    assert source.read_bytes() == before


def test_what_is_found_wrong_needs_a_folder(cli: Cli, source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for command, option in (
        (("optimize", source, "-o", tmp_path / "out.onnx"), "--keep-failure"),
        (("bisect", source), "--keep"),
    ):
        fails(cli(*command, option, tmp_path / "file"), "no folder; name one")


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("-p", "nonsense"), "no pass called 'nonsense'; `onnxforge passes` lists them"),
        (("-p", "identity-elimination(speed=3)"), "no option 'speed'"),
        (("-p", "identity-elimination(speed"), "cannot read"),
        (("--frobnicate",), "--frobnicate"),
        (("--max-rounds", "0"), "--max-rounds"),
        (("--max-rounds", "many"), "--max-rounds"),
        (("--verify", "sometimes"), "--verify"),
        (("--input", "x"), "x"),
        (("--dim", "batch=1", "--dim", "batch=2"), "'batch' is given twice"),
        (("--dim", "batch=" + "9" * 5000), "write a name, =, and numbers"),
        (("--verify", "edits", "--no-verify"), "one of the two"),
    ],
)
def test_bad_usage_is_told_in_one_line(
    cli: Cli, source: Path, tmp_path: Path, options: tuple[str, ...], part: str
) -> None:
    target = tmp_path / "out.onnx"
    fails(cli("optimize", source, "-o", target, *options), part)
    assert not target.exists()


def test_a_check_that_is_no_command_is_told(cli: Cli, source: Path) -> None:
    fails(cli("bisect", source, "--check", "test '"), "No closing quotation")
    fails(cli("bisect", source, "--check", ""), "--check needs a command")


def test_what_is_left_out_is_named(cli: Cli, source: Path) -> None:
    fails(cli("optimize", source), "-o")
    fails(cli("optimize"), "IN")
    fails(cli("optimise"), "optimise")


@pytest.mark.parametrize(
    ("error", "status", "part"),
    [
        (MemoryError(), 2, "out of memory"),
        (PermissionError(13, "Permission denied", "x"), 2, "x: Permission denied"),
        (ZeroDivisionError("a\nb"), 2, "unexpected ZeroDivisionError: a b"),
        (NotEquivalentError("wrong"), 1, "wrong"),
    ],
)
def test_whatever_goes_wrong_is_one_line(
    cli: Cli,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    part: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(api, "optimize", fail)
    fails(cli("optimize", source, "-o", tmp_path / "out.onnx"), part, status=status)


def test_an_interruption_is_status_130(
    cli: Cli, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "optimize", interrupt)
    done = cli("optimize", source, "-o", tmp_path / "out.onnx")
    assert done.exit_code == 130
    assert done.stderr == "onnxforge: interrupted\n"


# Whole processes


def process(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "onnxforge", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_the_module_is_the_command(source: Path, tmp_path: Path) -> None:
    done = process("optimize", source, "-o", tmp_path / "out.onnx", "-p", "identity-elimination")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Identity" not in operators(tmp_path / "out.onnx")
    done = process("optimize", tmp_path / "missing.onnx", "-o", tmp_path / "no.onnx")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="no such file here")
def test_a_model_written_to_a_pipe_is_not_followed_by_words(source: Path) -> None:
    command = [sys.executable, "-m", "onnxforge", "optimize", str(source), "-o", "/dev/stdout"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert "Identity" not in {
        node.op_type for node in onnx.load_from_string(done.stdout).graph.node
    }
    assert b"/dev/stdout: 6 -> " in done.stderr


def test_the_traceback_is_there_for_those_who_ask(tmp_path: Path) -> None:
    arguments = ("optimize", tmp_path / "missing.onnx", "-o", tmp_path / "no.onnx")
    assert "Traceback" in process(*arguments, "--debug").stderr
    environment = os.environ | {"ONNXFORGE_DEBUG": "1"}
    done = process(*arguments, env=environment)
    assert "Traceback" in done.stderr
    assert done.returncode == 2


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = f"{sys.executable} -m onnxforge passes | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.strip() in ("0", "141")


def test_the_version_is_the_librarys(cli: Cli) -> None:
    assert cli("--version").stdout == f"onnxforge {onnxforge.__version__}\n"


def test_no_arguments_are_a_question(cli: Cli) -> None:
    done = cli()
    assert done.exit_code == 0
    for name in ("optimize", "passes", "inspect", "verify"):
        assert name in done.stdout


def test_the_opset_is_raised_on_request(cli: Cli, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    done = cli("optimize", source, "-o", out, "--opset", 21)
    assert done.exit_code == 0, done.stderr
    assert onnxforge.load(out).opset_imports == {"": 21}
    assert cli("verify", source, out).exit_code == 0


@pytest.mark.parametrize(("opset", "why"), [(13, "not lowered"), (99, "not known")])
def test_an_opset_that_cannot_be_is_told_of(cli: Cli, source: Path, opset, why, tmp_path: Path):
    done = cli("optimize", source, "-o", tmp_path / "out.onnx", "--opset", opset)
    assert done.exit_code == 2
    assert why in done.stderr
    assert not (tmp_path / "out.onnx").exists()
