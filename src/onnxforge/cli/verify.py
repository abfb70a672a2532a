"""`onnxforge verify A B`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from onnxforge.cli.optimize import Inputs, feeds_of, finite
from onnxforge.cli.text import one_line
from onnxforge.ir import Model


def verify(
    first: Annotated[Path, typer.Argument(metavar="A", help="A model.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="One that should do the same.")],
    inputs: Inputs = [],  # noqa: B006 - typer's way to write a default, which it copies
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run two models on the same inputs and compare what they answer.

    The status is 0 if they are equivalent, 1 if they differ or nothing could be compared.
    """
    from onnxforge.verify import compare_models

    comparison = compare_models(Model.load(first), Model.load(second), feeds_of(inputs))
    holds = comparison.is_equivalent and not comparison.unchecked
    if as_json:
        print(json.dumps(finite(asdict(comparison) | {"is_equivalent": holds}), indent=2))
    else:
        print(one_line(str(comparison)))
        for name, error in comparison.outputs.items():
            print(f"  {one_line(name)}: error {error:.1e}")
    if not holds:
        raise typer.Exit(1)
