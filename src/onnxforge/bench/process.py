"""The other end of `worker.py`: a fresh process for each model, asked a line at a time."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from onnxforge.errors import BenchmarkError

_WORKER = Path(__file__).with_name("worker.py")


class Worker:
    """A process that measures one model; ends with the `with` block.

    `ask` raises `BenchmarkError` with what the process answers, or what it died of.
    """

    def __init__(self) -> None:
        self._errors = tempfile.TemporaryFile(prefix="onnxforge-")  # noqa: SIM115 - closed at exit
        # -P: the modules beside the worker's file are not the ones Python's own library means.
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def ask(self, action: str, **request: Any) -> dict[str, Any]:
        """What the process answers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(json.dumps({"do": action, **request}), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise BenchmarkError(f"the measuring process died: {self._death()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BenchmarkError(answer["error"])
        return answer

    def _death(self) -> str:
        status = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").split("\n")
        name = signal.Signals(-status).name if status < 0 else f"status {status}"
        return f"{name}: {' '.join(said[-3:]).strip()}" if any(said) else name
