"""The command line: `onnxforge optimize`, `batch`, `passes`, `inspect`, `verify` and `bisect`.

Status 0 is success, 1 a check that failed, 2 bad usage or bad input, and as in a shell 130 an
interruption and 141 a reader of our output that has left.  Whatever goes wrong is told in one line:
users of a tool should not have to read the insides of it.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import onnxforge
from onnxforge.cli.batch import batch
from onnxforge.cli.bench import app as bench
from onnxforge.cli.bisect import bisect
from onnxforge.cli.inspect import inspect
from onnxforge.cli.optimize import optimize
from onnxforge.cli.passes import passes
from onnxforge.cli.text import one_line
from onnxforge.cli.verify import verify
from onnxforge.errors import InterfaceError, NotEquivalentError, OnnxForgeError

# The common base of typer's usage errors: click's own class, or in newer versions a copy of it.
_UsageError = typer.BadParameter.__mro__[2]
_DEBUG = "ONNXFORGE_DEBUG"
_INTERRUPTED = 130


class _Commands(TyperGroup):
    """Commands whose errors are one line and a status."""

    def main(self, args: Any = None, **options: Any) -> Any:  # type: ignore[override]  # typer's own differs between its versions
        """Run the command that *args* name, and exit."""
        given = list(sys.argv[1:] if args is None else args)
        debug = "--debug" in given or os.environ.get(_DEBUG, "0") not in ("", "0")
        given = [each for each in given if each != "--debug"] or ["--help"]
        try:
            status = super().main(args=given, **{**options, "standalone_mode": False})
            sys.stdout.flush()
            if status == _INTERRUPTED:  # which newer versions of typer answer themselves
                raise KeyboardInterrupt
        except BaseException as error:  # noqa: BLE001 - whatever it is, it ends here
            if debug:
                traceback.print_exc()
            status = _tell(error)
        sys.exit(status or 0)


def _tell(error: BaseException) -> int:
    """Say on stderr what happened; the status to exit with."""
    status = 2
    if isinstance(error, SystemExit) and error.__context__ is not None:
        error = error.__context__  # typer exits, with the status of a failed check, on broken pipes
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        status, text = _INTERRUPTED, "interrupted"
    elif isinstance(error, BrokenPipeError):
        # Whoever read our output has left, as `head` does: there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    elif isinstance(error, NotEquivalentError | InterfaceError):
        status, text = 1, f"{error}; nothing was written"
    elif isinstance(error, OnnxForgeError):
        text = str(error)
    elif isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename is not None else ""
        text = f"{name}{error.strerror or error}"
    elif isinstance(error, MemoryError):
        text = "out of memory"
    elif isinstance(error, _UsageError):
        text = error.format_message()  # type: ignore[attr-defined]  # of every class in the tree
    else:
        text = (
            f"unexpected {type(error).__name__}: {error}; this is a defect of onnxforge or of a "
            f"pass, and {_DEBUG}=1 shows where"
        )
    print(f"onnxforge: {one_line(text)}", file=sys.stderr)
    return status


app = typer.Typer(
    name="onnxforge",
    cls=_Commands,
    add_completion=False,
    help="Make ONNX models smaller and faster, and never wrong.",
)
for command in (optimize, batch, passes, inspect, verify, bisect):
    app.command()(command)
app.add_typer(bench, name="bench")


def _version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"onnxforge {onnxforge.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help=f"Show tracebacks, as {_DEBUG}=1 does.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command that the process was started with, and exit."""
    for stream in (sys.stdout, sys.stderr):
        # Names in models are anyone's, and need not fit the terminal's encoding.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a TextIOWrapper
    app(prog_name="onnxforge")
