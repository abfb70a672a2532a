"""Workers and a scheduler as processes of their own, on loopback."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import onnx
import pytest
from quick import QUICK
from typer.testing import CliRunner

from onnxforge.bench import Configuration, fleet
from onnxforge.bench.jobs import Job
from onnxforge.cli import app
from onnxforge.errors import BenchmarkError
from onnxforge.testing import model

pytest.importorskip("distributed", reason="the extra `remote` is not installed")


def started(stack: ExitStack, *arguments: str, says: str) -> tuple[subprocess.Popen[str], str]:
    """A process of Dask's, once it has said so, and what it said."""
    process = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]],
        stderr=subprocess.PIPE,
        text=True,
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(says, line):
            return process, found[0]
    raise AssertionError(f"{arguments[0]} has ended")


def worker(stack: ExitStack, scheduler: str, resource: str, folder: Path) -> subprocess.Popen[str]:
    return started(
        stack,
        *("dask_worker", scheduler, "--no-dashboard", "--no-nanny", "--nthreads", "1"),
        *("--resources", f"{resource}=1", "--local-directory", str(folder)),
        says="Registered to:.*",
    )[0]


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    with ExitStack() as stack:
        options = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        yield started(stack, "dask_scheduler", *options, says=r"tcp://127.0.0.1:\d+")[1]


def test_jobs_are_done_by_workers_of_the_kind_asked_for(
    scheduler: str, convolution: Path, tmp_path: Path
) -> None:
    jobs = [Job((convolution,), Configuration(level=level)) for level in ("all", "disable")]
    with ExitStack() as stack:
        worker(stack, scheduler, "rpi5", tmp_path / "a")
        worker(stack, scheduler, "graviton", tmp_path / "b")
        first, *rest = fleet.answers(scheduler, "rpi5", jobs, QUICK)
    assert first["machine"]["onnxruntime"]
    rows = [row for answer in rest for row in answer["rows"]]
    assert {row["level"] for row in rows} == {"all", "disable"}
    assert all("median" in row for row in rows)
    assert len({row["worker"] for row in rows}) == 1


def test_a_kind_of_which_there_is_no_worker_is_an_error_and_no_wait_for_ever(
    scheduler: str, convolution: Path, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        worker(stack, scheduler, "rpi5", tmp_path)
        with pytest.raises(BenchmarkError, match="no worker has the resource 'rpi4', only rpi5"):
            list(fleet.answers(scheduler, "rpi4", [Job((convolution,), Configuration())], QUICK))


def test_what_a_worker_that_dies_was_at_is_done_by_another(
    scheduler: str, convolution: Path, tmp_path: Path
) -> None:
    jobs = [Job((convolution,), Configuration(batch=size)) for size in range(1, 5)]
    with ExitStack() as stack:
        victim = worker(stack, scheduler, "board", tmp_path / "a")
        worker(stack, scheduler, "board", tmp_path / "b")
        answers = fleet.answers(scheduler, "board", jobs, QUICK)
        next(answers)
        victim.send_signal(signal.SIGKILL)
        rows = [row for answer in answers for row in answer["rows"]]
    assert sorted(row["batch"] for row in rows) == [1, 2, 3, 4]
    assert all("median" in row for row in rows)


def test_a_batch_is_optimized_by_workers_and_comes_back(scheduler: str, tmp_path: Path) -> None:
    models, made = tmp_path / "models", tmp_path / "made"
    models.mkdir()
    source = model("g (float[4] x) => (float[4] y) { a = Identity(x) y = Relu(a) }")
    for name in ("one", "two"):
        onnx.save(source, models / f"{name}.onnx")
    (models / "bad.onnx").write_bytes(b"no model")
    arguments = ("batch", models, "-o", made, "-j", "3", "--scheduler", scheduler)
    with ExitStack() as stack:
        worker(stack, scheduler, "farm", tmp_path / "a")
        first, again = (
            CliRunner().invoke(app, [*map(str, arguments), "--resource", "farm"]) for _ in range(2)
        )
    assert "2 optimized, 0 kept, 1 failed" in first.stdout, first.output
    assert "0 optimized, 2 kept, 1 failed" in again.stdout, again.output
    assert [node.op_type for node in onnx.load(made / "one.onnx").graph.node] == ["Relu"]


def test_a_scheduler_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "_PATIENCE", 0.5)
    with pytest.raises(BenchmarkError, match=r"tcp://127.0.0.1:1: no scheduler answers"):
        list(fleet.answers("tcp://127.0.0.1:1", "board", [], QUICK))
