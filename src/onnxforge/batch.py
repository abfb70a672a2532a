"""Many models, each optimized in a process of its own kind: a bad one does not stop the rest."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
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
            if os.path.realpath(job.target) == os.path.realpath(source):
                raise OnnxForgeError(f"{source} would be overwritten: name another folder")
            known = jobs.setdefault(job.target, job)
            if os.path.realpath(known.source) != os.path.realpath(source):
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
    with ExitStack() as stack:
        own = None
        if optimizer is None:
            optimizer = own = _Processes(processes)
            stack.callback(own.close)
        threads = stack.enter_context(ThreadPoolExecutor(processes, initializer=_block_interrupts))
        futures = [
            threads.submit(_settle, job, options, earlier.get(str(job.target)), optimizer)
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
            if own is not None and not all(future.done() for future in futures):
                own.interrupt()


def _settle(
    job: Job,
    options: Mapping[str, Any],
    earlier: Outcome | None,
    optimizer: Callable[[Job, dict[str, Any]], Outcome],
) -> Outcome:
    """What comes of one job, or came of it earlier."""
    if earlier is not None and not earlier.problem and _stands(job, earlier):
        return Outcome(**{**asdict(earlier), "is_kept": True})
    return optimizer(job, dict(options))


class _Processes:
    """Optimizes in so many processes, each one model after the other; one that dies is replaced."""

    def __init__(self, count: int) -> None:
        # Here and not in the threads that use them: the first one also starts a process of
        # multiprocessing's own, and with it makes interrupts reach the thread that does.
        self._idle: SimpleQueue[ProcessPoolExecutor] = SimpleQueue()
        for _ in range(count):
            self._idle.put(_process())
        self._busy: set[int] = set()
        self._is_interrupted = False

    def __call__(self, job: Job, options: dict[str, Any]) -> Outcome:
        process = self._idle.get()
        pid = 0
        try:
            pid = process.submit(os.getpid).result()
            self._busy.add(pid)
            if self._is_interrupted:
                return _failed(job, "interrupted")
            return process.submit(_work, job, options).result()
        except BrokenProcessPool:
            process.shutdown()
            process = _process()
            return _failed(job, "its process died: out of memory, or a runtime crashed on it")
        finally:
            self._busy.discard(pid)
            self._idle.put(process)

    def interrupt(self) -> None:
        """Leave all models as they are."""
        self._is_interrupted = True
        for pid in tuple(self._busy):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)

    def close(self) -> None:
        """End the processes, none of which may be at work."""
        while not self._idle.empty():
            self._idle.get().shutdown()


def _process() -> ProcessPoolExecutor:
    # A fresh interpreter: a forked one would share locks and threads that runtimes hold.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=context, initializer=_ignore_interrupts)


# Ctrl-C reaches every process of a terminal.  Those of ours take it while they are at a model,
# which they leave as it was; at any other time Python would only show a traceback.


def _block_interrupts() -> None:
    """Have this thread, and the processes that it starts, get no interrupts."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _interrupt_once(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a handler's
    _ignore_interrupts()
    raise KeyboardInterrupt


def _work(job: Job, options: dict[str, Any]) -> Outcome:
    signal.signal(signal.SIGINT, _interrupt_once)
    try:
        return optimize(job, options)
    finally:
        _ignore_interrupts()


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
