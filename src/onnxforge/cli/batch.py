"""`onnxforge batch MODELS... -o FOLDER`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from onnxforge import batch as batches
from onnxforge import registry, targets
from onnxforge.batch import Outcome
from onnxforge.cli.optimize import COMPARED, Verify
from onnxforge.cli.text import columns, one_line, size


def batch(
    models: Annotated[
        list[Path], typer.Argument(metavar="MODELS...", help="Models, or folders of them.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="The folder to write to.")
    ],
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="How many at a time.")] = 1,
    passes: Annotated[
        list[str],
        typer.Option("--pass", "-p", metavar="PASS", help="As of optimize.  Repeatable."),
    ] = [],  # noqa: B006 - typer's way to write a default, which it copies
    target: Annotated[
        str, typer.Option(metavar="NAME | FILE.json", help="As of optimize.")
    ] = "onnx",
    verify: Annotated[Verify, typer.Option(help="As of optimize.")] = Verify.MODEL,
    external_data: Annotated[
        bool | None,
        typer.Option("--external-data/--no-external-data", help="As of optimize."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="tcp://HOST:PORT", help="Optimize on this Dask scheduler's workers."),
    ] = None,
    resource: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="With --scheduler: only on workers that have it."),
    ] = None,
) -> None:
    """Optimize many models in processes of their own; a bad one does not stop the rest.

    A result that is there already, made from the same file by the same version with the same
    options, is kept.  FOLDER/onnxforge-batch.json says what came of each.  The status is 1 if
    something could not be optimized.  With --scheduler, --jobs is how many models may be on their
    way at a time.
    """
    if passes:
        registry.resolve(passes)  # to say now what is wrong with them
    targets.load(target)
    options = {
        "passes": passes or None,
        "target": target,
        "verify": COMPARED[verify],
        "external_data": external_data,
    }
    work = batches.plan(models, output)
    with ExitStack() as stack:
        optimizer = None
        if scheduler is not None:
            from onnxforge import farm
            from onnxforge.bench import fleet

            client = stack.enter_context(fleet.connected(scheduler))
            if resource is not None:
                fleet.expect_workers(client, resource)
            optimizer = farm.optimizer(client, resource)
        outcomes = list(_shown(batches.run(work, output, options, jobs, optimizer), len(work)))
    for line in columns(_row(each) for each in sorted(outcomes, key=lambda each: each.source)):
        print(line.rstrip())
    failed = sum(bool(each.problem) for each in outcomes)
    kept = sum(each.is_kept for each in outcomes)
    before, after = (sum(getattr(e, n) for e in outcomes) for n in ("nbytes_before", "nbytes"))
    made = len(outcomes) - failed - kept
    print(f"{made} optimized, {kept} kept, {failed} failed; {size(before)} -> {size(after)}")
    raise typer.Exit(1 if failed else 0)


def _shown(outcomes: Iterator[Outcome], total: int) -> Iterator[Outcome]:
    """The outcomes, with a bar that fills on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    parts = BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}")
    with Progress(*parts, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        for outcome in outcomes:
            progress.update(task, advance=1, description=one_line(Path(outcome.source).name))
            yield outcome


def _row(outcome: Outcome) -> tuple[str, ...]:
    if outcome.problem:
        return outcome.source, "", "", "", f"FAILED: {one_line(outcome.problem)}"
    error = "unchecked" if outcome.error is None else f"error {outcome.error:.1e}"
    return (
        outcome.source,
        f"{outcome.nodes_before} -> {outcome.nodes} nodes",
        f"{size(outcome.nbytes_before)} -> {size(outcome.nbytes)}",
        "kept" if outcome.is_kept else f"{outcome.seconds:.1f} s",
        error,
    )
