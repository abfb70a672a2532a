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
    levels: Annotated[
        bool, typer.Option("--levels", help="Also run both at each of ONNX Runtime's own levels.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run two models on the same inputs and compare what they answer.

    The status is 0 if they are equivalent, 1 if they differ or nothing could be compared.
    """
    from onnxforge.verify import compare_levels, compare_models

    models, feeds = (Model.load(first), Model.load(second)), feeds_of(inputs)
    comparison = compare_models(*models, feeds)
    holds = comparison.is_equivalent and not comparison.unchecked
    own = compare_levels(*models, feeds) if levels and holds else []
    if as_json:
        data = asdict(comparison) | {"is_equivalent": holds, "levels": [asdict(r) for r in own]}
        print(json.dumps(finite(data), indent=2))
    else:
        print(one_line(str(comparison)))
        for name, error in comparison.outputs.items():
            print(f"  {one_line(name)}: error {error:.1e}")
        for result in own:
            print(result)
    if not holds:
        raise typer.Exit(1)
