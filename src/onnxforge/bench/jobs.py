"""What is to be measured, job by job, and the stream of answers that every place gives.

Wherever jobs run, the answers are plain data: first `{"machine": ..., "warnings": ...}`, then
`{"rows": [...]}` for each job as it is done.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from onnxforge.bench import conditions, machine
from onnxforge.bench.configuration import Configuration, Settings
from onnxforge.bench.measure import files_of, measure
from onnxforge.errors import BenchmarkError

Answer: TypeAlias = dict[str, Any]

SUITE = "suite.json"
_FEEDS = "feeds.npz"


@dataclass(frozen=True, slots=True)
class Job:
    """Models that are measured together under one configuration, and what they are fed."""

    models: tuple[Path, ...]
    configuration: Configuration
    sizes: Mapping[str, int] = field(default_factory=dict)
    feeds: Mapping[str, Any] | None = None

    def run(self, settings: Settings) -> list[dict[str, Any]]:
        """A row for each model, as `measure` gives it."""
        return measure(self.models, self.configuration, settings, self.sizes, self.feeds)

    def packed(self) -> dict[str, Any]:
        """The job without its files, as JSON can carry it to where `unpacked` finds them."""
        return {
            "models": [f"{index}/{model.name}" for index, model in enumerate(self.models)],
            "configuration": asdict(self.configuration),
            "sizes": dict(self.sizes),
            "feeds": [] if self.feeds is None else list(self.feeds),
        }

    def files(self) -> Iterator[tuple[str, Path]]:
        """The files to take along: where `packed` says they are, and where they are here."""
        for index, model in enumerate(self.models):
            for path in files_of(model):
                yield f"{index}/{path.relative_to(model.absolute().parent)}", path

    def write_feeds(self, folder: Path) -> list[tuple[str, Path]]:
        """The feeds written to *folder*, to be taken along with the files."""
        if self.feeds is None:
            return []
        np.savez(folder / _FEEDS, *self.feeds.values())
        return [(_FEEDS, folder / _FEEDS)]


def unpacked(data: Mapping[str, Any], folder: Path) -> Job:
    """The job that `packed` gave *data* of, with its files in *folder*."""
    feeds = None
    if data["feeds"]:
        with np.load(folder / _FEEDS) as arrays:
            feeds = {name: arrays[f"arr_{i}"] for i, name in enumerate(data["feeds"])}
    return Job(
        tuple(folder / name for name in data["models"]),
        Configuration(**data["configuration"]),
        data["sizes"],
        feeds,
    )


def jobs(
    models: Sequence[Path],
    against: Sequence[Path],
    configurations: Iterable[Configuration],
    sizes: Mapping[str, int],
    feeds: Mapping[str, Any] | None,
) -> list[Job]:
    """Each model with those it is compared with.

    One model is compared with all *against*; several with as many, in order.  Raises
    `BenchmarkError` for other numbers.
    """
    if against and len(models) not in (1, len(against)):
        raise BenchmarkError(
            f"{len(models)} models and {len(against)} --against: give one model, or as many"
        )
    groups: list[tuple[Path, ...]] = [(model,) for model in models]
    if against and len(models) == 1:
        groups = [(models[0], *against)]
    elif against:
        groups = list(zip(models, against, strict=True))
    return [Job(group, each, sizes, feeds) for each in configurations for group in groups]


def suite(folder: Path, configurations: Iterable[Configuration]) -> list[Job]:
    """The jobs of a bundle of models: for each model its variants, together.

    Where the bundle has what was made for the provider of a configuration, that comes first.

    Raises `BenchmarkError` if *folder* is none.
    """
    from onnxforge.verify import load_feeds

    try:
        entries = json.loads((folder / SUITE).read_text("utf-8"))["models"]
        groups = [
            (
                tuple(folder / name for name in entry["variants"].values()),
                {ep: folder / name for ep, name in entry.get("targets", {}).items()},
                load_feeds([str(folder / entry["feeds"])]),
            )
            for entry in entries
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(f"{folder}: no bundle of models: {error}") from error
    return [
        Job(
            (made[ep], *models) if (ep := each.ep.partition("+")[0]) in made else models,
            each,
            {},
            feeds,
        )
        for each in configurations
        for models, made, feeds in groups
    ]


def introduction() -> Answer:
    """The first answer: which machine this is, and what speaks against measuring now."""
    here = machine.describe()
    state = conditions.Conditions.now()
    return {"machine": here, "warnings": conditions.before(state, here["usable_cpus"])}


def answers(todo: Iterable[Job], settings: Settings) -> Iterator[Answer]:
    """Run the jobs here."""
    yield introduction()
    for job in todo:
        yield {"rows": job.run(settings)}
