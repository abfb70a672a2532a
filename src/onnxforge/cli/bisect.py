"""`onnxforge bisect IN --check CMD`."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from onnxforge import registry
from onnxforge.cli.optimize import Inputs, expect_folder, feeds_of
from onnxforge.cli.text import one_line
from onnxforge.ir import Model


def bisect(
    model: Annotated[Path, typer.Argument(metavar="IN", help="The model before any pass.")],
    passes: Annotated[
        list[str],
        typer.Option("--pass", "-p", metavar="PASS", help="The passes to search.  Repeatable."),
    ] = ["standard"],  # noqa: B006 - typer's way to write a default, which it copies
    check: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help="Says by its status 0 that a model is good; {} in it is the model's file.",
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(metavar="OUT.npz", help="The right outputs, by name, for the --input given."),
    ] = None,
    inputs: Inputs = [],  # noqa: B006
    keep: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where to put the models before and after the edit."),
    ] = None,
) -> None:
    """Find the edit after which a model is no longer good, among those a pipeline makes.

    Good is what --check says, or having the --reference outputs, or else computing what IN does.
    The status is 1 if an edit is at fault, 0 if the result is good.
    """
    from onnxforge.bisect import bisect as search

    expect_folder(keep)
    if check is not None and (inputs or reference is not None):
        raise typer.BadParameter("--check decides alone: leave out --input and --reference")
    original = Model.load(model)
    is_good = _by_command(check) if check is not None else _by_outputs(original, inputs, reference)
    chosen = registry.resolve(passes)
    try:
        fault = search(original, chosen, is_good)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if fault is None:
        print("no edit is at fault: the result is good")
        return
    print(one_line(str(fault)))
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        fault.before.save(keep / "before.onnx")
        fault.after.save(keep / "after.onnx")
        print(f"the models before and after it are in {one_line(str(keep))}")
    raise typer.Exit(1)


def _by_command(command: str) -> Callable[[Model], bool]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise typer.BadParameter(f"--check {command!r}: {error}") from error
    if not words:
        raise typer.BadParameter("--check needs a command")
    if not any("{}" in word for word in words):
        words.append("{}")

    def is_good(model: Model) -> bool:
        with tempfile.TemporaryDirectory(prefix="onnxforge-") as folder:
            path = Path(folder, "model.onnx")
            model.save(path)
            asked = [word.replace("{}", str(path)) for word in words]
            return subprocess.run(asked, check=False, stdin=subprocess.DEVNULL).returncode == 0

    return is_good


def _by_outputs(model: Model, inputs: list[str], reference: Path | None) -> Callable[[Model], bool]:
    from onnxforge.verify import Baseline, load_feeds

    baseline = Baseline(model, feeds_of(inputs))
    if baseline.unchecked:
        raise typer.BadParameter(f"nothing to compare with: {baseline.unchecked}")
    if reference is not None:
        baseline.expect(load_feeds([str(reference)]))
    return lambda trial: baseline.compare(trial).is_equivalent
