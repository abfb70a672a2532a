"""The examples in the README and the documentation run as they stand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    scripts = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    options = {"cwd": folder, "env": environment, "capture_output": True, "text": True}
    return subprocess.run(command, check=False, **options)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_on_a_page_run(page: Path, tmp_path: Path) -> None:
    """Python first, top to bottom as one script; then each line of a console that calls us."""
    shutil.copy(ROOT / "examples" / "digits.onnx", tmp_path / "model.onnx")
    if python := blocks(page, "python"):
        script = tmp_path / "example.py"
        script.write_text("\n".join(python))
        done = run([sys.executable, script.name], tmp_path)
        assert done.returncode == 0, done.stderr
        assert "NeverFired" not in done.stderr, done.stderr
    for line in re.findall(
        r"^\$ (onnxforge .*)$", "\n".join(blocks(page, "console")), re.MULTILINE
    ):
        done = run(["bash", "-c", line], tmp_path)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def test_the_readme_shows_what_the_demo_prints(tmp_path: Path) -> None:
    demo = ["examples/digits.onnx", "-o", str(tmp_path / "digits.opt.onnx")]
    printed = run(["onnxforge", "optimize", *demo], ROOT).stdout.replace(str(tmp_path), "build")
    shown = blocks(ROOT / "README.md", "text")[0]
    # Times differ from run to run, and errors from one processor to another.
    told, meant = (re.sub(r"\d+\.\d ms|\d\.\de-\d\d", "*", text) for text in (printed, shown))
    assert told.split() == meant.split()
