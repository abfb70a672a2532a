"""Result files: JSON that says what was measured, where, and under which conditions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from onnxforge import storage
from onnxforge.bench.configuration import Settings
from onnxforge.bench.jobs import Answer, Job
from onnxforge.bench.measure import describe
from onnxforge.errors import BenchmarkError

FORMAT = "onnxforge-bench/1"

Row = Mapping[str, Any]
_SAME = ("name", "architecture", "cores", "onnxruntime")


def new(settings: Settings) -> dict[str, Any]:
    """Results of nothing yet; the machine is that of the first answer."""
    return {"format": FORMAT, "settings": asdict(settings), "rows": []}


def read(path: Path) -> dict[str, Any]:
    """The results in a file.  Raises `BenchmarkError` if it holds none."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise BenchmarkError(f"{path}: no results: {error}") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise BenchmarkError(f"{path}: not what `onnxforge bench --json` writes, or an older form")
    return found


def write(path: Path, found: Mapping[str, Any]) -> None:
    """Store results, whole or not at all."""
    storage.write(path, f"{json.dumps(found, indent=1)}\n".encode())


def collect(answers: Iterable[Answer], found: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """Put answers into the results *found* as they come; the rows of each.

    Raises `BenchmarkError` if they come from another kind of machine than what *found* has.
    """
    for answer in answers:
        if "machine" in answer:
            _expect_same(found.get("machine"), answer["machine"])
            found |= answer
        else:
            fresh = {key(row) for row in answer["rows"]}
            kept = [row for row in found["rows"] if key(row) not in fresh]
            found["rows"] = kept + answer["rows"]
            yield answer["rows"]


def left(todo: Iterable[Job], found: Mapping[str, Any]) -> list[Job]:
    """The jobs of which results do not have all figures, of the very same files."""
    known = {(*key(row), row["sha256"]) for row in figures(found["rows"])}

    def is_known(path: Path, job: Job) -> bool:
        row = describe(path, job.configuration)
        return (*key(row), row["sha256"]) in known

    return [job for job in todo if not all(is_known(path, job) for path in job.models)]


def key(row: Row) -> tuple[Any, ...]:
    """What a row is a measurement of: the same on all machines."""
    return (row["model"], row["ep"], row["threads"], row["level"], row["batch"])


def figures(rows: Iterable[Row]) -> list[Row]:
    """The rows that have been measured."""
    return [row for row in rows if "error" not in row]


def _expect_same(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> None:
    for name in _SAME if before is not None else ():
        assert before is not None
        if before[name] != now[name]:
            raise BenchmarkError(
                f"the results to continue are of another machine: {name} was {before[name]}, "
                f"is {now[name]}; name another file by --json"
            )
