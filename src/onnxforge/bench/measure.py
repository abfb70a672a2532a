"""Measuring: models in processes of their own, taking turns so that what slows one slows all."""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from onnxforge import storage
from onnxforge.bench import conditions, inputs, profile, providers, statistics
from onnxforge.bench.configuration import Configuration, Settings
from onnxforge.bench.process import Worker
from onnxforge.errors import BenchmarkError
from onnxforge.ir import Model

_WARM_SECONDS = 0.1

Feeds = Mapping[str, Any]


def measure(
    models: Sequence[Path],
    configuration: Configuration,
    settings: Settings,
    sizes: Mapping[str, int] | None = None,
    given: Feeds | None = None,
) -> list[dict[str, Any]]:
    """One row of plain data for each of *models*, which are measured together, in turns.

    The inputs are made up for the first, and all get the same.  A row has either the figures, in
    seconds and bytes, each estimate as [value, low, high]; or `error`, which says why there are
    none.  All but the first also have `ratio`: how many times as long as this one the first takes.
    """
    rows = [describe(model, configuration) for model in models]
    try:
        choice = providers.parse(configuration.ep)
        providers.expect(choice, onnxruntime.get_available_providers(), onnxruntime.__version__)
        with tempfile.TemporaryDirectory(prefix="onnxforge-") as folder:
            feeds, wants = Path(folder, "feeds.npz"), _request(choice, configuration, settings)
            if len(models) > 1 and configuration.threads > 1:
                # Threads of the one whose turn is over must not burn the other's time.
                wants["entries"]["session.force_spinning_stop"] = "1"
            _choose_feeds(models[0], configuration, feeds, wants, sizes, given)
            wants["feeds"] = str(feeds)
            able = [pair for pair in zip(rows, models, strict=True) if _opens(*pair, wants)]
            start = conditions.Conditions.now()
            _fill(able, wants, settings)
            for row, model in able:
                row |= _profiled(model, wants, settings, Path(folder))
                row["warnings"] = conditions.during(start, conditions.Conditions.now())
    except BenchmarkError as error:
        for row in rows:
            row.setdefault("error", str(error))
    return rows


def _opens(row: dict[str, Any], model: Path, wants: Mapping[str, Any]) -> bool:
    """Whether the model runs; what is wrong with it goes into its row, and the others go on."""
    with Worker() as worker:
        try:
            worker.ask("open", model=str(model), **wants)
        except BenchmarkError as error:
            row["error"] = str(error)
    return "error" not in row


def describe(model: Path, configuration: Configuration) -> dict[str, Any]:
    """What a row is about; two with the same `sha256` are of the same model and weights."""
    files, digest = files_of(model), hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return {
        "model": model.stem,
        "file": model.name,
        "sha256": digest.hexdigest(),
        "bytes": sum(path.stat().st_size for path in files),
        **asdict(configuration),
    }


def files_of(path: Path) -> list[Path]:
    """A model's file, and those with its external data."""
    model = Model.load(path)
    external = filter(storage.is_external, storage.tensors(model.proto))
    spans = (storage.Span.of(tensor, model.folder) for tensor in external)
    return list(dict.fromkeys([path.absolute(), *(Path(span.path) for span in spans if span)]))


def _request(
    choice: providers.Choice, configuration: Configuration, settings: Settings
) -> dict[str, Any]:
    return {
        "providers": choice.chain(configuration.threads),
        "threads": configuration.threads,
        "level": configuration.level,
        "entries": {**choice.entries, **dict(settings.entries)},
        "cpus": list(settings.cpus),
    }


def _choose_feeds(
    path: Path,
    configuration: Configuration,
    file: Path,
    wants: dict[str, Any],
    sizes: Mapping[str, int] | None,
    given: Feeds | None,
) -> None:
    """Write the first inputs that the model accepts to *file*."""
    refusal: BenchmarkError | None = None
    for feeds in inputs.candidates(Model.load(path), configuration.batch, sizes, given):
        np.savez(file, *feeds.values())  # by number: a name might be one of savez's own parameters
        wants["names"] = list(feeds)
        with Worker() as worker:
            try:
                worker.ask("open", model=str(path), feeds=str(file), **wants)
            except BenchmarkError as error:
                refusal = refusal or error
            else:
                return
    raise BenchmarkError(f"{path.name}: {refusal}; if it is the sizes, give --dim or --input")


def _fill(
    able: Sequence[tuple[dict[str, Any], Path]], wants: Mapping[str, Any], settings: Settings
) -> None:
    """The figures of all but the profile."""
    rows, models = [row for row, _ in able], [model for _, model in able]
    generations = [_generation(models, wants, settings) for _ in range(settings.processes)]
    seconds = [
        [generation[index].turns for generation in generations] for index in range(len(rows))
    ]
    for index, row in enumerate(rows):
        own = [generation[index] for generation in generations]
        for name in ("session_seconds", "first_run_seconds"):
            values = [process.opened[name] for process in own]
            row[name] = [float(np.median(values)), min(values), max(values)]
        row["providers"] = own[0].opened["providers"]
        for name, estimate in zip(
            ("median", "p90", "p95"),
            statistics.percentiles(seconds[index], (50, 90, 95)),
            strict=True,
        ):
            row[name] = _plain(estimate)
        runs = [[run for turn in process.turns for run in turn] for process in own]
        row["runs"] = sum(map(len, runs))
        row["process_medians"] = [float(f"{np.median(each):.6g}") for each in runs]
        row["throughput"] = (row["batch"] or 1) / row["median"][0]
        row["peak_bytes"] = max(process.peak_bytes for process in own)
        if index:
            row["ratio"] = _plain(statistics.ratio(seconds[0], seconds[index]))


@dataclass(slots=True)
class _Process:
    """What came of one process: how it started, and seconds by turn and run."""

    opened: dict[str, Any]
    turns: list[list[float]] = field(default_factory=list)
    peak_bytes: int = 0


def _generation(
    models: Sequence[Path], wants: Mapping[str, Any], settings: Settings
) -> list[_Process]:
    """A process for each model, all loaded before they take their turns."""
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker()) for _ in models]
        processes = [
            _Process(worker.ask("open", model=str(model), **wants))
            for worker, model in zip(workers, models, strict=True)
        ]
        _take_turns(workers, processes, settings)
        for worker, process in zip(workers, processes, strict=True):
            process.peak_bytes = worker.ask("close")["peak_bytes"]
    return processes


def _take_turns(
    workers: Sequence[Worker], processes: Sequence[_Process], settings: Settings
) -> None:
    lengths = [_length(worker, settings) for worker in workers]
    spent = max((length + 1) * median for length, median in lengths)
    wanted = math.ceil(settings.seconds / settings.processes / spent)
    order = list(range(len(workers)))
    for _ in range(min(max(settings.min_turns, wanted), settings.max_turns)):
        for index in order:
            # The first run of a turn finds the caches full of another model's data.
            seconds = _run(workers[index], lengths[index][0] + 1)
            processes[index].turns.append(seconds[1:])
        order.reverse()  # AB, BA: what drifts favours neither


def _run(worker: Worker, times: int) -> list[float]:
    seconds: list[float] = worker.ask("run", times=times)["seconds"]
    return seconds


def _length(worker: Worker, settings: Settings) -> tuple[int, float]:
    """How many runs make a turn, and how long one takes, found while warming up."""
    seconds: list[float] = []
    while len(seconds) < 3 or sum(seconds) < _WARM_SECONDS:
        seconds += _run(worker, max(1, len(seconds)))
    median = float(np.median(seconds))
    length = math.ceil(settings.turn_seconds / median)
    return min(max(1, length), settings.max_runs), median


def _profiled(
    model: Path, wants: Mapping[str, Any], settings: Settings, folder: Path
) -> dict[str, Any]:
    """Placement and operators, from a process of their own: profiling takes time itself."""
    with Worker() as worker:
        worker.ask("open", model=str(model), profile=str(folder / "profile"), **wants)
        worker.ask("run", times=settings.profiled_runs)
        return profile.read(Path(worker.ask("close")["profile"]))


def _plain(estimate: statistics.Estimate) -> list[float]:
    return [estimate.value, estimate.low, estimate.high]
