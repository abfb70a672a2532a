"""A hook of mkdocs: one page for each pass we register, from what the pass says about itself."""

from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

from onnxforge import registry
from onnxforge.passes import Pass, Pipeline
from onnxforge.rewrite import RewritePass

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files


def on_config(config: MkDocsConfig) -> None:
    """List the pages in the navigation."""
    pages = [{name: f"passes/{name}.md"} for name in ours()]
    next(entry for entry in config.nav or [] if "Passes" in entry)["Passes"] = [
        {"All passes": "passes/index.md"},
        *pages,
    ]


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Write the pages."""
    passes = {name: registry.load(name) for name in ours()}
    pages = {"index": index(passes)} | {name: page(name, each) for name, each in passes.items()}
    for name, text in pages.items():
        files.append(File.generated(config, f"passes/{name}.md", content=text))


def ours() -> list[str]:
    """The names of the passes in this distribution: what else is installed is not our story."""
    points = registry.installed().values()
    return sorted(p.name for p in points if p.dist is not None and p.dist.name == "onnxforge")


def index(passes: dict[str, type[Pass] | Pass]) -> str:
    rows = [f"| [{name}]({name}.md) | {summary(each)} |" for name, each in passes.items()]
    return "\n".join(["# Passes", "", "| name | what it does |", "| --- | --- |", *rows, ""])


def page(name: str, each: type[Pass] | Pass) -> str:
    if isinstance(each, Pipeline):
        return "\n".join([f"# {name}", "", summary(each), "", *map(link, each.leaves()), ""])
    cls = each if isinstance(each, type) else type(each)
    parts = [f"# {name}", inspect.cleandoc(cls.__doc__ or "")]
    if options := cls.options():
        parts += ["## Options", table(options)]
    if issubclass(cls, RewritePass):
        patterns = "\n\n".join(str(pattern).strip() for pattern in cls.patterns())
        parts += ["## What it looks for", f"```text\n{patterns}\n```"]
    parts += [
        "## Use it alone",
        f"```sh\nonnxforge optimize model.onnx -o out.onnx -p {name}\n```",
        f"```python\nfrom {cls.__module__} import {cls.__name__}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def summary(each: type[Pass] | Pass) -> str:
    return each.description if isinstance(each, Pipeline) else each.summary()


def link(each: Pass) -> str:
    return f"1. [{each.name}]({each.name}.md): {each.summary()}"


def table(options: dict[str, object]) -> str:
    rows = [
        f"| `{name}` | {'required' if value is dataclasses.MISSING else f'`{value!r}`'} |"
        for name, value in options.items()
    ]
    return "\n".join(["| option | default |", "| --- | --- |", *rows])
