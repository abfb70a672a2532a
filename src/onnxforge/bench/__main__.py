"""The other end of `remote`: reads jobs as JSON from stdin, and prints an answer a line."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from onnxforge.bench.configuration import Settings
from onnxforge.bench.jobs import answers, unpacked
from onnxforge.errors import OnnxForgeError


def main() -> None:
    """Measure what stdin asks for."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not get between the answers
    request = json.loads(sys.stdin.readline())
    try:
        todo = [unpacked(job, Path(job["folder"])) for job in request["jobs"]]
        settings = Settings(**request["settings"])
        for answer in answers(todo, settings):
            print(json.dumps(answer), file=out, flush=True)
    except (OnnxForgeError, OSError) as error:
        print(json.dumps({"error": str(error)}), file=out, flush=True)


if __name__ == "__main__":
    main()
