"""Arm64 processes on this machine: what setup.sh made, to run things in."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from onnxforge.bench import profile, providers

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LANE = Path(os.environ.get("LANE", ROOT / "build" / "arm64"))

CPU = "cortex-a76"
"""Of a Raspberry Pi 5, and the oldest that Debian's ONNX Runtime with XNNPACK starts on."""

_NOT_OURS = ("PYTHON", "VIRTUAL_ENV", "LD_")


def python(root: str, *arguments: str | Path, cpu: str = CPU, **env: str) -> list[str]:
    """The command line for the Python of a root, "wheel" or "xnnpack", on a kind of CPU."""
    given = {"CPU": cpu, **env}
    if root == "wheel":
        given.setdefault(
            "PYTHONPATH",
            os.pathsep.join(map(str, (ROOT / "src", ROOT / "passes", LANE / "packages"))),
        )
    interpreter = LANE / root / "usr/bin/python3"
    pairs = [f"{name}={value}" for name, value in given.items()]
    return ["env", *pairs, str(interpreter), *map(str, arguments)]


def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command line of `python`, in the repository and without this Python's own settings."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(_NOT_OURS)}
    return subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=ROOT, env=clean, **options
    )


def count(
    variants: Mapping[str, Path], feeds: Mapping[str, Any], ep: str, cpu: str = CPU
) -> dict[str, dict[str, Any]]:
    """Instructions of one run of each model, one thread, and where its nodes ran, by variant.

    *ep* is "cpu", in the current ONNX Runtime, or "xnnpack", in Debian's.  What a runtime refuses
    has an `error` instead.
    """
    root = "wheel" if ep == "cpu" else "xnnpack"
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder, "feeds.npz"), *feeds.values())
        request = {
            "variants": {name: str(path.absolute()) for name, path in variants.items()},
            "common": {
                "feeds": f"{folder}/feeds.npz",
                "names": list(feeds),
                "providers": providers.parse(ep).chain(threads=1),
                "entries": {"session.intra_op.allow_spinning": "0"},
            },
            "profiles": folder,
        }
        counts = Path(folder, "counts")
        done = run(
            python(
                root, "-P", HERE / "guest.py", json.dumps(request), cpu=cpu, COUNT=f"out={counts}"
            )
        )
        if done.returncode:
            # One that takes the process down takes the counts of the others with it.
            problem = f"{ep} on {cpu} ended with {done.returncode}: {done.stderr[-500:]}"
            return {name: {"error": problem} for name in variants}
        answers: dict[str, dict[str, Any]] = json.loads(done.stdout.strip().splitlines()[-1])
        counted: dict[int, list[int]] = {}
        for line in counts.read_text().splitlines():
            number, instructions = map(int, line.split())
            counted.setdefault(number, []).append(instructions)
        for number, name in enumerate(variants, 1):
            answer = answers[name]
            if "error" not in answer:
                placed = profile.read(Path(answer.pop("profile")))
                answers[name] = {
                    "instructions": min(counted[number]),
                    "nodes": placed["nodes"],
                    "partitions": placed["partitions"],
                }
    return answers
