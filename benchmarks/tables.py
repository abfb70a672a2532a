"""Tables of figures: printed, as Markdown for the docs, and as JSON for whoever compares runs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

Table = list[dict[str, Any]]
"""Rows by the titles of their columns, which are those of the first."""


def grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(
        "| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)
    )


def markdown(tables: dict[str, Table]) -> str:
    return "\n".join(f"### {title}\n\n{_table(rows)}\n" for title, rows in tables.items() if rows)


def _table(table: Table) -> str:
    head = list(table[0])
    return grid(head, [[_cell(row.get(key)) for key in head] for row in table])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)


def parser(description: str) -> argparse.ArgumentParser:
    """A command line that says where `publish` is to put what was measured."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    made.add_argument("--json", type=Path, help="where to store the figures")
    made.add_argument("--markdown", type=Path, help="where to write the tables")
    return made


def publish(tables: dict[str, Table], chosen: argparse.Namespace, content: Any = None) -> None:
    """Print *tables* and write them; the JSON is *content*, or the tables themselves."""
    text = markdown(tables)
    print(text)
    for path, written in (
        (chosen.json, json.dumps(tables if content is None else content, indent=1)),
        (chosen.markdown, text),
    ):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(written.rstrip("\n") + "\n")
