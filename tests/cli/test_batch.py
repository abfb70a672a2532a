from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import onnx
import pytest

from onnxforge import batch
from onnxforge.batch import Job, Outcome, plan, run
from onnxforge.errors import OnnxForgeError
from onnxforge.testing import model

OPTIONS = {"passes": ["identity-elimination"], "verify": False}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    (folder / "inner").mkdir(parents=True)
    text = "g (float[2] x) => (float[2] y) { h = Identity(x)  y = Relu(h) }"
    for name in ("a.onnx", "inner/b.onnx"):
        onnx.save(model(text), folder / name)
    (folder / "bad.onnx").write_bytes(b"no model")
    return folder


def test_a_bad_model_does_not_stop_the_rest(cli, models, tmp_path):
    out = tmp_path / "out"
    given = ["batch", models, "-o", out, "-p", "identity-elimination", "--jobs", "2"]
    done = cli(*given)
    assert done.exit_code == 1, done.output
    assert "2 optimized, 0 kept, 1 failed" in done.stdout
    assert "bad.onnx" in done.stdout
    assert "FAILED" in done.stdout
    assert "Traceback" not in done.output
    for name in ("a.onnx", "inner/b.onnx"):
        assert [node.op_type for node in onnx.load(out / name).graph.node] == ["Relu"]
    record = json.loads((out / batch.RECORD).read_text())
    assert len(record["models"]) == 3

    (models / "bad.onnx").unlink()
    again = cli(*given)
    assert again.exit_code == 0
    assert "0 optimized, 2 kept, 0 failed" in again.stdout


def settled(jobs: list[Job], folder: Path, options: dict = OPTIONS) -> dict[str, Outcome]:
    """The outcomes by name, computed here: processes are what the test above is for."""
    outcomes = run(jobs, folder, options, optimizer=batch.optimize)
    return {Path(each.source).name: each for each in outcomes}


def test_what_was_made_stands_until_something_changes(models, tmp_path):
    out = tmp_path / "out"
    jobs = plan([models / "a.onnx", models / "inner"], out)
    assert not any(each.is_kept for each in settled(jobs, out).values())
    assert all(each.is_kept for each in settled(jobs, out).values())
    os.utime(models / "a.onnx", ns=(1, 1))
    (out / "b.onnx").write_bytes(b"spoiled")
    assert not any(each.is_kept for each in settled(jobs, out).values())
    other = {**OPTIONS, "max_rounds": 1}
    assert not any(each.is_kept for each in settled(jobs, out, other).values())


def test_a_process_that_dies_is_one_failure(models, tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "_work", dies)
    jobs = plan([models / "a.onnx", models / "inner"], tmp_path)
    outcomes = list(run(jobs, tmp_path, OPTIONS))
    assert len(outcomes) == 2, "another process takes over"
    assert all("its process died" in each.problem for each in outcomes)


def dies(*_):
    os.abort()


def test_an_interruption_has_models_left_as_they_are(models, tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "_work", waits)
    outcomes = run([Job(models / name, tmp_path / name) for name in "ab"], tmp_path, OPTIONS)
    assert Path(next(outcomes).source).name == "a"
    while not (tmp_path / "b").exists():
        time.sleep(0.01)
    outcomes.close()
    assert (tmp_path / "b").read_text() == "left"


def waits(job: Job, options: dict) -> Outcome:
    """As `_work`, of which optimizing `b` takes a minute."""

    def optimize(*_):
        if job.source.name == "b":
            job.target.touch()
            try:
                time.sleep(60)
            except KeyboardInterrupt:
                job.target.write_text("left")
                raise
        return Outcome(str(job.source), str(job.target))

    batch.optimize = optimize
    return batch._work(job, options)


def test_results_keep_their_places_and_never_replace_originals(models, tmp_path):
    targets = [str(job.target.relative_to(tmp_path)) for job in plan([models], tmp_path)]
    assert targets == ["a.onnx", "bad.onnx", "inner/b.onnx"]
    with pytest.raises(OnnxForgeError, match="would be overwritten"):
        plan([models], models)
    shutil.copy(models / "a.onnx", models / "inner" / "a.onnx")
    with pytest.raises(OnnxForgeError, match="would both become"):
        plan([models / "a.onnx", models / "inner" / "a.onnx"], tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(OnnxForgeError, match=r"no \.onnx file"):
        plan([empty], tmp_path)
