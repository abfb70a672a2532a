"""Runs in the emulated root: each model a few times between marks that the counting plugin sees.

Needs numpy and ONNX Runtime only, as `onnxforge bench`'s own worker, which it borrows.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

WORKER = Path(__file__).parents[2] / "src" / "onnxforge" / "bench" / "worker.py"
ROUNDS = 2
"""Times that each model is loaded: early ones of a process count some thousand more, whichever."""
COUNTED = 2


def mark(number: int) -> None:
    with contextlib.suppress(OSError):
        os.close(0x7EADBE00 | number)


def run(worker: Any, number: int, file: str, common: dict[str, Any]) -> None:
    """Run a model between marks, once it has warmed up."""
    subject = worker.Subject(file, **common)
    subject.run(1)
    for _ in range(COUNTED):
        mark(0)
        subject.run(1)
        mark(number)
    subject.close()


def main() -> None:
    spec = importlib.util.spec_from_file_location("worker", WORKER)
    assert spec is not None
    assert spec.loader is not None
    worker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(worker)
    request = json.loads(sys.argv[1])
    common = request["common"]
    variants = list(enumerate(request["variants"].items(), 1))
    answers: dict[str, dict[str, str]] = {}
    for number, (name, file) in ROUNDS * variants:
        try:
            run(worker, number, file, common)
        except Exception as error:  # noqa: BLE001 - ONNX Runtime raises types of its own
            answers[name] = {"error": " ".join(str(error).split())[:300]}
    for number, (name, file) in variants:
        if name not in answers:
            subject = worker.Subject(file, profile=f"{request['profiles']}/{number}", **common)
            answers[name] = {"profile": str(subject.close())}
    print(json.dumps(answers))


main()
