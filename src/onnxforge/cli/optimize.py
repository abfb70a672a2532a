"""`onnxforge optimize IN -o OUT`."""

from __future__ import annotations

import errno
import json
import math
import os
import sys
from contextlib import nullcontext, redirect_stdout
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from onnxforge import api, registry, storage
from onnxforge.cli.text import one_line, print_report
from onnxforge.errors import NotEquivalentError
from onnxforge.ir import Model

if TYPE_CHECKING:
    from onnxforge.report import Report


class Verify(StrEnum):
    """What is compared."""

    MODEL = "model"
    EDITS = "edits"
    NONE = "none"


COMPARED: dict[Verify, Literal["model", "edits", False]] = {
    Verify.MODEL: "model",
    Verify.EDITS: "edits",
    Verify.NONE: False,
}

Inputs = Annotated[
    list[str],
    typer.Option(
        "--input",
        metavar="NAME=FILE.npy | FILE.npz",
        help="Compare on these inputs in place of made-up ones.  Repeatable.",
    ),
]


def optimize(
    model: Annotated[Path, typer.Argument(metavar="IN", help="The model to optimize.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="The file to write; may be IN.")
    ],
    passes: Annotated[
        list[str],
        typer.Option(
            "--pass",
            "-p",
            metavar="PASS[(OPTION=VALUE,...)]",
            help="Passes in place of the target's; `onnxforge passes` lists them.  Repeatable.",
        ),
    ] = [],  # noqa: B006 - typer's way to write a default, which it copies
    target: Annotated[
        str,
        typer.Option(
            metavar="NAME | FILE.json", help="Where the model is to run, if not anywhere."
        ),
    ] = "onnx",
    verify: Annotated[
        Verify,
        typer.Option(help="Compare the whole model, also every edit as it is made, or nothing."),
    ] = Verify.MODEL,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="As --verify none.")] = False,
    inputs: Inputs = [],  # noqa: B006
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Write the report as JSON, too.")
    ] = None,
    freeze: Annotated[
        bool, typer.Option("--freeze", help="Make initializers that callers may override fixed.")
    ] = False,
    dim: Annotated[
        list[str],
        typer.Option(metavar="NAME=SIZE", help="Fix a symbolic dimension.  Repeatable."),
    ] = [],  # noqa: B006
    input_shape: Annotated[
        list[str],
        typer.Option(metavar="INPUT=SIZE,SIZE,...", help="Fix an input's shape.  Repeatable."),
    ] = [],  # noqa: B006
    opset: Annotated[
        int | None,
        typer.Option(metavar="N", help="Raise the model's opset first, for fusions that need it."),
    ] = None,
    external_data: Annotated[
        bool | None,
        typer.Option(
            "--external-data/--no-external-data",
            help="Weights in OUT.data, or in OUT; by default, where they were.",
        ),
    ] = None,
    keep_failure: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep what is found wrong, to debug.")
    ] = None,
    max_rounds: Annotated[int, typer.Option(min=1, help="How often to run the passes.")] = 10,
    provenance: Annotated[
        bool, typer.Option("--provenance", help="Note in new nodes which pass made them.")
    ] = False,
) -> None:
    """Optimize a model, compare the result with the original, and say what was done.

    Nothing is written, and the status is 1, if the two are not equivalent.
    """
    chosen = registry.resolve(passes) if passes else None
    if no_verify and verify is Verify.EDITS:
        raise typer.BadParameter("--verify edits and --no-verify: one of the two")
    for path in (output, report):
        expect_writable(path)
    expect_distinct(report, model, output)
    expect_folder(keep_failure)
    before = _size(model)
    try:
        result = api.optimize(
            model,
            chosen,
            target=target,
            verify=COMPARED[Verify.NONE if no_verify else verify],
            freeze=freeze,
            dims={name: sizes[0] for name, sizes in sizes_of(dim, "--dim", 1).items()},
            input_shapes=sizes_of(input_shape, "--input-shape"),
            opset=opset,
            feeds=feeds_of(inputs),
            max_rounds=max_rounds,
            provenance=provenance,
            keep_failure=keep_failure,
        )
    except NotEquivalentError as error:
        if error.report is not None:
            _show(error.report, report)
        raise
    assert result.report is not None
    result.save(output, external_data=external_data)
    # What is written to our own output must not be followed by words.
    with redirect_stdout(sys.stderr) if _is_stdout(output, report) else nullcontext():
        _show(result.report, report)
        after = _size(output)
        factor, unit = (1e3, "kB") if max(before, after) < 1e6 else (1e6, "MB")
        sizes = f", {before / factor:.2f} -> {after / factor:.2f} {unit}" if after else ""
        nodes = f"{result.report.nodes_before} -> {result.report.nodes} nodes"
        print(f"{one_line(str(output))}: {nodes}{sizes}")


def sizes_of(specs: list[str], option: str, count: int | None = None) -> dict[str, list[int]]:
    """The sizes of `NAME=SIZE,SIZE,...`, by name."""
    found = {}
    for spec in specs:
        name, _, text = spec.rpartition("=")
        sizes = [part.strip() for part in text.split(",")]
        fits = all(map(is_number, sizes)) and len(sizes) == (count or len(sizes))
        if not (name and fits):
            raise typer.BadParameter(f"{option} {spec!r}: write a name, =, and numbers")
        if name in found:
            raise typer.BadParameter(f"{option} {spec!r}: {name!r} is given twice")
        found[name] = [int(size) for size in sizes]
    return found


def is_number(text: str) -> bool:
    """Whether *text* is a number, and none that Python itself refuses to read for its length."""
    return text.isdecimal() and len(text) < 20


def feeds_of(inputs: list[str]) -> dict[str, Any] | None:
    """What `--input` names, by input; None for nothing."""
    if not inputs:
        return None
    from onnxforge.verify import load_feeds

    return load_feeds(inputs)


def expect_writable(path: Path | None) -> None:
    """Find out now, not after minutes of work, that *path* cannot be written."""
    if path is None:
        return
    folder = path.absolute().parent
    if not folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder to write to", str(folder))
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "a folder; name the file to write in it", str(path))
    if not os.access(folder, os.W_OK) and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, "this folder cannot be written to", str(folder))


def expect_distinct(path: Path | None, *others: Path) -> None:
    """Find out now that to write *path* would be to write over one of *others*."""
    if path is None or (path.exists() and not path.is_file()):
        return
    for other in others:
        if os.path.realpath(path) == os.path.realpath(other):
            raise typer.BadParameter(f"{path} would be written over {other}: name another file")


def expect_folder(path: Path | None) -> None:
    """Find out now that *path*, which is made if need be, cannot be a folder."""
    if path is not None and path.exists() and not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "no folder; name one to write into", str(path))


def _is_stdout(*paths: Path | None) -> bool:
    """Whether one of *paths* is the pipe that we print to, such as /dev/stdout."""
    pipes = [path for path in paths if path is not None and path.is_fifo()]
    return any(os.path.samestat(pipe.stat(), os.fstat(sys.stdout.fileno())) for pipe in pipes)


def _size(path: Path) -> int:
    """The bytes of a model and of the data it has in other files."""
    if not path.is_file():
        return 0
    model = Model.load(path)
    spans = (
        storage.Span.of(tensor, model.folder)
        for tensor in storage.tensors(model.proto)
        if storage.is_external(tensor)
    )
    return path.stat().st_size + sum(span.length for span in dict.fromkeys(spans) if span)


def _show(report: Report, path: Path | None) -> None:
    print_report(report)
    if path is not None:
        text = json.dumps(finite(report.to_dict()), indent=2, allow_nan=False)
        storage.write(path, f"{text}\n".encode())


def finite(data: Any) -> Any:
    """*data* without the infinities and NaN that JSON lacks."""
    if isinstance(data, dict):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
