"""Many models, each optimized in a process of its own kind: a bad one does not stop the rest."""

from __future__ import annotations

import json
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import onnxforge
from onnxforge import api, storage
from onnxforge.errors import OnnxForgeError
from onnxforge.ir import Model

RECORD = "onnxforge-batch.json"
"""The file in the folder of the results that says what was made of what."""

Files = dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class Job:
    """A model to optimize, and the file to write."""

    source: Path
    target: Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one model.

    `problem` is why nothing was written, empty if something was; `error` is the largest relative
    difference found in the comparison with the original, None if there was none.  `is_kept` says
    that the result of an earlier run still stands.  `nbytes` count external data; `made_from` and
    `made` are sizes and times, in nanoseconds, of the files read and written.
    """

    source: str
    target: str
    problem: str = ""
    nodes_before: int = 0
    nodes: int = 0
    nbytes_before: int = 0
    nbytes: int = 0
    seconds: float = 0.0
    error: float | None = None
    is_kept: bool = False
    made_from: Files = field(default_factory=dict)
    made: Files = field(default_factory=dict)


def plan(paths: Iterable[Path], folder: Path) -> list[Job]:
    """What to do with the models among and in *paths*; results keep their places in *folder*.

    Raises `OnnxForgeError` if there is no model, if two would be written to one file, or one over
    its original.
    """
    jobs: dict[Path, Job] = {}
    for path in paths:
        found = sorted(path.rglob("*.onnx")) if path.is_dir() else [path]
        for source in found:
            place = source.relative_to(path) if path.is_dir() else Path(source.name)
            job = Job(source, folder / place)
            if job.target.resolve() == source.resolve():
                raise OnnxForgeError(f"{source} would be overwritten: name another folder")
            known = jobs.setdefault(job.target, job)
            if known.source.resolve() != source.resolve():
                raise OnnxForgeError(f"{known.source} and {source} would both become {job.target}")
    if not jobs:
        raise OnnxForgeError("there is no .onnx file in what was named")
    return list(jobs.values())


def run(
    jobs: Iterable[Job],
    folder: Path,
    options: Mapping[str, Any],
    processes: int = 1,
    optimizer: Callable[[Job, dict[str, Any]], Outcome] | None = None,
) -> Iterator[Outcome]:
    """Optimize each model with *options*, those of `onnxforge.optimize`, as they get done.

    So many *processes* of this machine work at a time; or so many calls of *optimizer*, which has a
    model optimized elsewhere.

    What stands in *folder* from an earlier run is kept if it was made from the same files, by the
    same version, with the same options.  The record there is brought up to date after every model,
    so that a run which was interrupted goes on where it was.
    """
    how = {"version": onnxforge.__version__, "options": json.loads(json.dumps(options))}
    earlier = _recorded(folder, how)
    done: dict[str, Outcome] = {}
    local = threading.local()
    with ThreadPoolExecutor(processes) as threads:
        futures = [
            threads.submit(_settle, job, options, earlier.get(str(job.target)), local, optimizer)
            for job in jobs
        ]
        try:
            for future in as_completed(futures):
                outcome = future.result()
                done[outcome.target] = outcome
                _record(folder, how, earlier | done)
                yield outcome
        finally:
            for future in futures:
                future.cancel()


def _settle(
    job: Job,
    options: Mapping[str, Any],
    earlier: Outcome | None,
    local: threading.local,
    optimizer: Callable[[Job, dict[str, Any]], Outcome] | None = None,
) -> Outcome:
    """What comes of one job, in the process that this thread has work for it."""
    if earlier is not None and not earlier.problem and _stands(job, earlier):
        return Outcome(**{**asdict(earlier), "is_kept": True})
    if optimizer is not None:
        return optimizer(job, dict(options))
    if getattr(local, "pool", None) is None:
        # A fresh interpreter: a forked one would share locks and threads that runtimes hold.
        context = multiprocessing.get_context("spawn")
        local.pool = ProcessPoolExecutor(1, mp_context=context)
    try:
        outcome: Outcome = local.pool.submit(optimize, job, dict(options)).result()
    except BrokenProcessPool:
        local.pool = None
        return _failed(job, "its process died: out of memory, or a runtime crashed on it")
    return outcome


def optimize(job: Job, options: dict[str, Any]) -> Outcome:
    """Optimize one model here and write it; what goes wrong is told in the outcome."""
    start = time.perf_counter()
    try:
        made_from = files_of(job.source)
        external_data = options.pop("external_data", None)
        model = api.optimize(job.source, **options)
        job.target.parent.mkdir(parents=True, exist_ok=True)
        model.save(job.target, external_data=external_data)
        made = files_of(job.target)
    except Exception as error:  # noqa: BLE001 - the other models go on, whatever it is
        return _failed(job, str(error) or type(error).__name__)
    report = model.report
    assert report is not None
    compared = report.comparison
    return Outcome(
        str(job.source),
        str(job.target),
        nodes_before=report.nodes_before,
        nodes=report.nodes,
        nbytes_before=sum(size for size, _ in made_from.values()),
        nbytes=sum(size for size, _ in made.values()),
        seconds=time.perf_counter() - start,
        error=compared.error if compared is not None and not compared.unchecked else None,
        made_from=made_from,
        made=made,
    )


def _failed(job: Job, problem: str) -> Outcome:
    return Outcome(str(job.source), str(job.target), problem)


def _stands(job: Job, earlier: Outcome) -> bool:
    """Whether a result is what was written, and its original what was read."""
    try:
        return earlier.made_from == files_of(job.source) and earlier.made == files_of(job.target)
    except (OSError, OnnxForgeError):
        return False


def files_of(path: Path) -> Files:
    """The files of a model, each with its size and when it was written."""
    model = Model.load(path)
    files = {str(path): None}
    for tensor in storage.tensors(model.proto):
        if storage.is_external(tensor) and (span := storage.Span.of(tensor, model.folder)):
            files[span.path] = None
    states = {file: Path(file).stat() for file in files}
    return {file: [state.st_size, state.st_mtime_ns] for file, state in states.items()}


def _recorded(folder: Path, how: dict[str, Any]) -> dict[str, Outcome]:
    """The outcomes of an earlier run that did the same, by the files written."""
    try:
        record = json.loads((folder / RECORD).read_text())
        if {key: record[key] for key in how} != how:
            return {}
        return {each["target"]: Outcome(**each) for each in record["models"]}
    except (OSError, ValueError, KeyError, TypeError):  # there is none, or it is none of ours
        return {}


def _record(folder: Path, how: dict[str, Any], outcomes: Mapping[str, Outcome]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    models = [asdict(outcomes[target]) for target in sorted(outcomes)]
    storage.write(folder / RECORD, json.dumps({**how, "models": models}, indent=1).encode())
