"""A hook of mkdocs: a page with the latencies in benchmarks/results, machine by machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File

from onnxforge.bench import plot, report, results

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"

PAGE = """# Latency, machine by machine

What `make bench-arm64` found on the machines that it was run on: how much time a model of the suite takes
as onnxforge makes it, relative to the same model as it came and as other optimizers make it.
A dot left of 1 means less time; the lines are intervals of 95 % confidence, and one that crosses 1 says that
there is no difference to be seen.
[Benchmarks on Arm64](arm64.md) has how it is measured, and how to add a machine of yours.
"""


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Write the page, and for each machine the picture and the report it shows and links."""
    render = report.page()
    parts = [PAGE]
    for path in sorted(RESULTS.glob("*.json")):
        if json.loads(path.read_text()).get("format") != results.FORMAT:
            continue
        found = results.read(path)
        name = path.stem
        made = {
            f"latency/{name}.svg": plot.ratios(results.figures(found["rows"])),
            f"latency/{name}.html": render(found),
        }
        for file, content in made.items():
            files.append(File.generated(config, file, content=content))
        parts.append(section(name, found))
    files.append(File.generated(config, "latency.md", content="\n".join(parts)))


def section(name: str, found: dict[str, Any]) -> str:
    machine = found["machine"]
    cores = ", ".join(
        f"{each['count']} x {each['name'] or 'unnamed core'}" for each in machine["cores"]
    )
    warnings = [f"!!! warning\n    {each}\n" for each in found["warnings"]]
    title = machine["product"] or machine["name"]
    return "\n".join(
        [
            f"## {title}",
            "",
            f"{cores}; {machine['system']}, ONNX Runtime {machine['onnxruntime']}.",
            f"[All figures](latency/{name}.html), latencies, memory and placement among them.",
            "",
            *warnings,
            f"![Time relative to others]({f'latency/{name}.svg'})",
            "",
        ]
    )
