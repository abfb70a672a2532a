"""`onnxforge inspect MODEL`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from onnxforge import lint, targets
from onnxforge.cli.text import columns, printable, size
from onnxforge.inspection import Inspection
from onnxforge.inspection import inspect as inspect_model
from onnxforge.ir import Model

_SHOWN = 20


def inspect(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The model to look at.")],
    target: Annotated[
        str | None,
        typer.Option(
            metavar="NAME | FILE.json", help="Also say how the model falls apart on this target."
        ),
    ] = None,
    ort_version: Annotated[
        str | None,
        typer.Option(
            metavar="1.31",
            help="The version of ONNX Runtime to know the mistakes of; of a target it runs, the "
            "installed one.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and all of it.")] = False,
) -> None:
    """Say what is in a model: interface, operators, weights, and what blocks constant folding.

    With a target, or a version of ONNX Runtime, also what it is known to miscompile.
    """
    subject = Model.load(model)
    found = inspect_model(subject)
    data, lines = found.to_dict(), list(_text(found))
    place = targets.load(target) if target is not None else None
    if place is not None:
        data["placement"] = placed = _placement(subject, place)
        lines += _placement_text(placed)
    runtime = place.runtime if place is not None else None
    if runtime is not None or ort_version is not None:
        data["miscompiled"] = mistakes = _mistakes(subject, runtime or "onnxruntime", ort_version)
        lines += _mistakes_text(mistakes)
    print(json.dumps(data, indent=2) if as_json else "\n".join(lines))


def _placement(model: Model, target: targets.Target) -> dict[str, Any]:
    """What a target takes of the main graph, as plain data."""
    split = targets.partitions(model.graph, target)
    return {
        "target": target.title,
        "source": target.source,
        "partitions": [len(group) for group in split.groups],
        "refused": [
            {"node": node.name or repr(node), "op_type": node.op_type, "reason": reason}
            for node, reason in split.refused.items()
        ],
    }


def _placement_text(placed: dict[str, Any]) -> Iterator[str]:
    sizes = placed["partitions"]
    yield ""
    yield f"on {placed['target']}:"
    pieces = "1 partition" if len(sizes) == 1 else f"{len(sizes)} partitions"
    yield f"  {pieces} of {sum(sizes):,} nodes; {len(placed['refused']):,} on the CPU"
    reasons = Counter(each["reason"] for each in placed["refused"])
    yield from columns([(f"{n:,}", reason) for reason, n in reasons.most_common(_SHOWN)], "  ")
    yield f"  (according to {placed['source']})"


def _mistakes(model: Model, runtime: str, version: str | None) -> dict[str, Any]:
    """What a runtime is known to miscompile in a model, as plain data."""
    version = version or lint.installed(runtime)
    found = [
        {
            "rule": each.known.name,
            "node": each.node,
            "what": each.known.what,
            "level": each.known.level,
            "advice": each.known.advice,
            "source": each.known.source,
        }
        for each in lint.lint(model, version, runtime)
    ]
    return {"runtime": runtime, "version": version, "found": found}


def _mistakes_text(mistakes: dict[str, Any]) -> Iterator[str]:
    yield ""
    runtime = f"{mistakes['runtime']} {mistakes['version']}"
    if not mistakes["found"]:
        yield printable(f"nothing in it is known to be miscompiled by {runtime}")
        return
    yield printable(f"known to be miscompiled by {runtime}:")
    by_rule: dict[str, list[dict[str, str]]] = {}
    for each in mistakes["found"]:
        by_rule.setdefault(each["rule"], []).append(each)
    for rule, places in by_rule.items():
        first = places[0]
        yield f"  {rule}: {first['what']}, from level {first['level']} on"
        yield from (f"    {printable(each['node'])}" for each in places[:_SHOWN])
        if len(places) > _SHOWN:
            yield f"    and {len(places) - _SHOWN:,} more: see --json"
        yield f"    {first['advice']}"


def _text(found: Inspection) -> Iterator[str]:
    opsets = ", ".join(f"{domain} {version}" for domain, version in found.opset_imports.items())
    yield from columns(
        [
            ("IR version", str(found.ir_version)),
            ("opset", opsets or "none"),
            ("producer", found.producer or "unknown"),
            ("nodes", f"{found.nodes:,}"),
            *([("functions", f"{found.functions:,}")] if found.functions else []),
            ("parameters", f"{found.parameters:,}"),
            ("weights", _weights(found)),
        ]
    )
    yield from _section("inputs", found.inputs.items())
    yield from _section("outputs", found.outputs.items())
    yield from _section(
        "initializers that callers may override", [(name, "") for name in found.overridable]
    )
    counts = [(f"{count:,}", name) for name, count in found.operators.items()]
    yield from _section("operators", counts)
    largest = [(size(each.nbytes), each.type, each.name) for each in found.largest]
    yield from _section("largest tensors", largest)
    yield from _section(
        "external data",
        [
            (
                file.location,
                "cannot be read"
                if file.size is None
                else f"{size(file.used)} of {size(file.size)}",
            )
            for file in found.external_files
        ],
    )
    yield from _section("metadata", found.metadata.items())
    yield from _folding(found)
    yield from _section("problems", [(problem,) for problem in found.problems])


def _weights(found: Inspection) -> str:
    parts = ", ".join(f"{name} {size(nbytes)}" for name, nbytes in found.bytes_by_type.items())
    return parts or "none"


def _folding(found: Inspection) -> Iterator[str]:
    folding = found.folding
    rows = []
    if folding.constant:
        rows.append((f"{folding.constant:,}", "nodes are constant: constant-folding takes them"))
    if folding.waiting_nodes:
        rows.append((f"{folding.waiting_nodes:,}", "nodes would be constant, but depend on"))
        rows += [(f"  {count:,}", what) for what, count in folding.waiting.items()]
    yield from _section("constant folding", rows)


def _section(title: str, rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    listed = list(rows)
    if not listed:
        return
    yield ""
    yield f"{title}:"
    yield from columns(listed[:_SHOWN], "  ")
    if len(listed) > _SHOWN:
        yield f"  and {len(listed) - _SHOWN:,} more: see --json"
