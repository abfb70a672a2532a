"""A batch on the workers of a Dask scheduler: models are sent there, results come back here.

Workers need this library, in this version, and the passes.  What a worker that goes away was at is done
by another; a model on which several have died is given up.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnxforge
from onnxforge import batch, storage
from onnxforge.batch import Job, Outcome
from onnxforge.errors import OnnxForgeError

if TYPE_CHECKING:
    import distributed

_RETRIES = 2

Contents = dict[str, bytes]
"""Files, by their place beside the model."""


def optimizer(
    client: distributed.Client, resource: str | None = None
) -> Callable[[Job, dict[str, Any]], Outcome]:
    """What `batch.run` optimizes with, on the workers that have *resource*, or on any."""

    def optimize(job: Job, options: dict[str, Any]) -> Outcome:
        try:
            sent = _read(job.source.absolute().parent, batch.files_of(job.source.absolute()))
            future = client.submit(
                _optimize,
                *(onnxforge.__version__, job.source.name, job.target.name, sent, options),
                resources={resource: 1} if resource else None,
                retries=_RETRIES,
                pure=False,
            )
            outcome, made = future.result()
            outcome = replace(outcome, source=str(job.source), target=str(job.target))
            if outcome.problem:
                return outcome
            _write(job.target, made)
            return replace(
                outcome, made_from=batch.files_of(job.source), made=batch.files_of(job.target)
            )
        except Exception as error:  # noqa: BLE001 - the other models go on, whatever it is
            problem = str(error) or type(error).__name__
            return Outcome(str(job.source), str(job.target), problem)

    return optimize


def _optimize(
    version: str, source: str, target: str, sent: Contents, options: dict[str, Any]
) -> tuple[Outcome, Contents]:
    """One model, at a worker: what came of it, and the files made."""
    if onnxforge.__version__ != version:
        raise OnnxForgeError(f"a worker has onnxforge {onnxforge.__version__}, not {version}")
    with tempfile.TemporaryDirectory(prefix="onnxforge-") as scratch:
        before, after = Path(scratch, "before"), Path(scratch, "after")
        for name, content in sent.items():
            (before / name).parent.mkdir(parents=True, exist_ok=True)
            (before / name).write_bytes(content)
        outcome = batch.optimize(Job(before / source, after / target), dict(options))
        made = _read(after, (file for file in after.rglob("*") if file.is_file()))
    return replace(outcome, made_from={}, made={}), made


def _read(folder: Path, files: Iterable[str | Path]) -> Contents:
    return {str(Path(f).relative_to(folder)): Path(f).read_bytes() for f in files}


def _write(target: Path, made: Mapping[str, bytes]) -> None:
    """The model last: until it is there, what else was written is not looked at."""
    for name in sorted(made, key=lambda name: name == target.name):
        path = target.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        storage.write(path, made[name])
