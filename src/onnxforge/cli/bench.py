"""`onnxforge bench MODEL...`, and `bench suite`, `compare`, `providers` and `machine`."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from typer.core import TyperGroup

from onnxforge import storage
from onnxforge.cli.optimize import (
    Inputs,
    expect_distinct,
    expect_writable,
    feeds_of,
    is_number,
    sizes_of,
)
from onnxforge.cli.text import columns, printable
from onnxforge.errors import BenchmarkError
from onnxforge.runtime import Level

if TYPE_CHECKING:
    from onnxforge.bench.configuration import Configuration, Settings
    from onnxforge.bench.jobs import Answer, Job

_RUN = "run"


class _Bench(TyperGroup):
    """Commands of which the first word need not name one: then it is a model to run."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """*args*, with the command that is meant if none is named."""
        named = bool(args) and args[0] in self.commands
        return super().parse_args(ctx, args if named else [_RUN, *args])


app = typer.Typer(
    cls=_Bench,
    help="Measure models: latency, memory, session creation, and where nodes run.  "
    "`onnxforge bench MODEL...` is short for `bench run MODEL...`.",
)


Ep = Annotated[
    str,
    typer.Option(
        metavar="EP[+VARIANT...],...",
        help="Providers with variants, as cpu+bf16; `onnxforge bench providers` lists them.",
    ),
]
Threads = Annotated[str, typer.Option(metavar="N,...", help="Threads within an operator.")]
Levels = Annotated[
    str, typer.Option("--level", metavar="LEVEL,...", help="all, extended, basic, disable.")
]
Batch = Annotated[
    str, typer.Option(metavar="N,...", help="Sizes of the batch dimension, if it is symbolic.")
]
Json = Annotated[
    Path | None,
    typer.Option("--json", metavar="OUT", help="Store the results; continue those it holds."),
]
Html = Annotated[
    Path | None, typer.Option("--html", metavar="OUT", help="Write the results as a page.")
]
Seconds = Annotated[
    float, typer.Option(min=0.01, help="How long to run each model, besides warming up.")
]
Affinity = Annotated[str, typer.Option(metavar="CPU,...", help="Run on these CPUs only.")]
Option = Annotated[
    list[str],
    typer.Option(
        "--option", metavar="KEY=VALUE", help="A session configuration entry.  Repeatable."
    ),
]
On = Annotated[
    str | None,
    typer.Option("--on", metavar="USER@HOST[:PORT]", help="Measure on this machine, by ssh."),
]
Python = Annotated[
    str | None,
    typer.Option(
        "--python",
        metavar="PATH",
        help="With --on: a Python there that has onnxruntime, so that nothing is installed.",
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(metavar="tcp://HOST:PORT", help="Measure on the workers of this Dask scheduler."),
]
Resource = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="With --scheduler: the workers' resource, a kind of machine."
    ),
]


@app.command(_RUN)
def run(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL...", help="What to measure.")],
    against: Annotated[
        list[Path],
        typer.Option(metavar="OTHER", help="What to compare with, in turns.  Repeatable."),
    ] = [],  # noqa: B006 - typer's way to write a default, which it copies
    ep: Ep = "cpu",
    threads: Threads = "1",
    level: Levels = "all",
    batch: Batch = "",
    dim: Annotated[
        list[str],
        typer.Option(metavar="NAME=SIZE", help="The size of a symbolic dimension.  Repeatable."),
    ] = [],  # noqa: B006
    inputs: Inputs = [],  # noqa: B006
    json_file: Json = None,
    html_file: Html = None,
    seconds: Seconds = 3.0,
    affinity: Affinity = "",
    option: Option = [],  # noqa: B006
    on: On = None,
    python: Python = None,
    scheduler: Scheduler = None,
    resource: Resource = None,
) -> None:
    """Measure models, alone or against others, and say how sure the figures are.

    The status is 1 if something could not be measured.
    """
    from onnxforge.bench import jobs

    todo = jobs.jobs(
        models,
        against,
        _grid(ep, threads, level, batch),
        {name: sizes[0] for name, sizes in sizes_of(dim, "--dim", 1).items()},
        feeds_of(inputs),
    )
    place = _Place(on, python, scheduler, resource)
    _measure(todo, _settings(seconds, affinity, option), place, json_file, html_file)


@app.command()
def suite(
    folder: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The folder of `make bundle`.")],
    ep: Ep = "cpu",
    threads: Threads = "1",
    level: Levels = "all",
    json_file: Json = None,
    html_file: Html = None,
    seconds: Seconds = 3.0,
    affinity: Affinity = "",
    option: Option = [],  # noqa: B006
    on: On = None,
    python: Python = None,
    scheduler: Scheduler = None,
    resource: Resource = None,
) -> None:
    """Measure a bundle of models: of each, all variants against the first, in turns."""
    from onnxforge.bench import jobs

    todo = jobs.suite(folder, _grid(ep, threads, level, ""))
    place = _Place(on, python, scheduler, resource)
    _measure(todo, _settings(seconds, affinity, option), place, json_file, html_file)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="A.json", help="Results.")],
    second: Annotated[Path, typer.Argument(metavar="B.json", help="Others.")],
) -> None:
    """Compare two result files: how many times as long the second took, model by model."""
    from onnxforge.bench import compare as comparing
    from onnxforge.bench import report, results

    a, b = results.read(first), results.read(second)
    for name, here, there in comparing.differences(a, b):
        print(printable(f"{name}: {here or 'unknown'} | {there or 'unknown'}"))
    found = comparing.pairs(a, b)
    if not found:
        raise BenchmarkError("the two have no model and configuration in common")
    rows = [("model", "configuration", first.stem, second.stem, "second against first")]
    for pair in found:
        model, ep, threads, level, batch = pair.key
        note = "" if pair.is_same_model else " (another file of this name)"
        rows.append(
            (
                model,
                f"{ep}, {threads} thread(s), {level}" + (f", batch {batch}" if batch else ""),
                *(report.milliseconds(row["median"]) for row in (pair.first, pair.second)),
                report.verdict([pair.ratio.value, pair.ratio.low, pair.ratio.high]) + note,
            )
        )
    print("\n".join(columns(rows)))
    print(f"geometric mean of the ratios: {comparing.mean(found):.3f}")


@app.command()
def providers() -> None:
    """List execution providers: which the installed ONNX Runtime has, and where to get the others."""
    import onnxruntime

    from onnxforge.bench.providers import PROVIDERS, VARIANTS

    available = onnxruntime.get_available_providers()
    print(f"ONNX Runtime {onnxruntime.__version__}")
    rows = [
        (name, provider.name, "here" if provider.name in available else f"in {provider.builds}")
        for name, provider in PROVIDERS.items()
    ]
    print("\n".join(columns(rows, "  ")))
    print("variants, after a plus sign:")
    entries = [(n, ", ".join(f"{k}={v}" for k, v in e.items())) for n, e in VARIANTS.items()]
    print("\n".join(columns(entries, "  ")))


@app.command()
def machine(
    name: Annotated[
        bool, typer.Option("--name", help="Only the name, which its results go by.")
    ] = False,
) -> None:
    """Print what results would say of this machine, as JSON."""
    from onnxforge.bench import machine as describing

    found = describing.describe()
    print(found["name"] if name else json.dumps(found, indent=2))


def _grid(ep: str, threads: str, level: str, batch: str) -> list[Configuration]:
    from onnxforge.bench.configuration import grid
    from onnxforge.bench.providers import parse

    eps = _words(ep, "--ep")
    for each in eps:
        parse(each)
    levels = {name: name for name in get_args(Level)}
    if wrong := [word for word in _words(level, "--level") if word not in levels]:
        raise typer.BadParameter(f"--level {wrong[0]!r}: there are {', '.join(levels)}")
    return list(
        grid(
            eps,
            _numbers(threads, "--threads"),
            [levels[word] for word in _words(level, "--level")],
            _numbers(batch, "--batch") if batch else [None],
        )
    )


def _settings(seconds: float, affinity: str, option: list[str]) -> Settings:
    from onnxforge.bench.configuration import Settings

    entries = [spec.partition("=") for spec in option]
    if wrong := [
        spec for spec, (key, sign, _) in zip(option, entries, strict=True) if not (key and sign)
    ]:
        raise typer.BadParameter(f"--option {wrong[0]!r}: write KEY=VALUE")
    cpus = tuple(_numbers(affinity, "--affinity", lowest=0)) if affinity else ()
    return Settings(seconds, cpus=cpus, entries=tuple((key, value) for key, _, value in entries))


def _measure(
    todo: list[Job],
    settings: Settings,
    place: _Place,
    json_file: Path | None,
    html_file: Path | None,
) -> None:
    """Run jobs where they are to run, and show and store what comes of them, as it comes."""
    from onnxforge.bench import report, results

    models = list(dict.fromkeys(model for job in todo for model in job.models))
    for path in (json_file, html_file):
        expect_writable(path)
        expect_distinct(path, *models)
    if json_file is not None:
        expect_distinct(html_file, json_file)
    for model in models:
        if not model.is_file():
            raise FileNotFoundError(errno.ENOENT, "no such model", str(model))
    found = results.new(settings)
    if json_file is not None and json_file.exists():
        found = results.read(json_file) | {"settings": found["settings"]}
    page = report.page() if html_file is not None else None
    left = results.left(todo, found)
    if len(left) < len(todo):
        print(f"{len(todo) - len(left)} of {len(todo)} are measured already")
    failed = False
    for rows in results.collect(place.answers(left, settings), found):
        print("\n".join(map(printable, report.lines(rows))), flush=True)
        failed = failed or any("error" in row for row in rows)
        if json_file is not None:
            results.write(json_file, found)
    for warning in found.get("warnings", ()):
        print(printable(f"warning: {warning}"), file=sys.stderr)
    if page is not None and html_file is not None:
        storage.write(html_file, page(found).encode())
    if failed:
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Place:
    """Where to measure: here, at the other end of ssh, or on the workers of a scheduler."""

    on: str | None
    python: str | None
    scheduler: str | None
    resource: str | None

    def answers(self, todo: list[Job], settings: Settings) -> Iterator[Answer]:
        from onnxforge.bench import fleet, jobs, remote

        if not todo:
            return iter(())
        if self.on is not None and self.scheduler is not None:
            raise typer.BadParameter("--on and --scheduler: one of the two")
        if self.on is not None:
            return remote.answers(self.on, todo, settings, self.python)
        if self.scheduler is not None:
            if self.resource is None:
                raise typer.BadParameter("--scheduler needs --resource, the kind of machine")
            return fleet.answers(self.scheduler, self.resource, todo, settings)
        return jobs.answers(todo, settings)


def _words(text: str, option: str) -> list[str]:
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise typer.BadParameter(f"{option} {text!r}: write words with commas between them")
    return list(dict.fromkeys(words))


def _numbers(text: str, option: str, lowest: int = 1) -> list[int]:
    words = _words(text, option)
    if not all(is_number(word) and int(word) >= lowest for word in words):
        raise typer.BadParameter(f"{option} {text!r}: write numbers with commas between them")
    return [int(word) for word in words]
