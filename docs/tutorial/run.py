"""Follow the tutorial: run what its pages say, and write into them what that prints and draws.

    python docs/tutorial/run.py [PAGE...]

In a block of `console`, each line after a `$` is a command, and the rest is what it printed.  A block
of `python` is a script; a block of `text` right after it is what it printed.  Between a comment with a
command and the comment `end` stands what the command printed, as Markdown.  Blocks of `sh` are for the
reader alone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PAGES = sorted(HERE.glob("[0-9]*.md"), key=lambda page: int(page.stem.split("-")[0]))
PICTURES = Path("build/digits/pictures")
BLOCK = re.compile(
    r"^```console\n(?P<console>.*?)^```$|"
    r"^<!-- \$ (?P<shown>.*?) -->\n.*?^<!-- end -->$|"
    r"^```python\n(?P<python>.*?)^```$(?P<printed>\n\n^```text\n.*?^```$)?",
    re.MULTILINE | re.DOTALL,
)


class StepError(Exception):
    """A command on a page failed."""


def follow(page: Path, folder: Path, **environment: str) -> str:
    """The text of *page* with what its blocks print, run in *folder*.

    Raises:
        StepError: One of them failed.

    """

    def block(match: re.Match[str]) -> str:
        if match["python"] is not None:
            printed = run([sys.executable, "-"], folder, environment, match["python"])
            text = f"\n\n```text\n{printed}```" if match["printed"] else ""
            return f"```python\n{match['python']}```{text}"
        if match["shown"] is not None:
            printed = run(["bash", "-c", match["shown"]], folder, environment)
            return f"<!-- $ {match['shown']} -->\n\n{printed}\n<!-- end -->"
        commands = [line for line in match["console"].splitlines() if line.startswith("$ ")]
        parts = [
            f"{line}\n{run(['bash', '-c', line[2:]], folder, environment)}" for line in commands
        ]
        return f"```console\n{''.join(parts)}```"

    return BLOCK.sub(block, page.read_text())


def run(command: list[str], folder: Path, environment: dict[str, str], script: str = "") -> str:
    """What *command* prints, with a line break at its end if it is anything."""
    scripts = Path(sys.executable).parent
    path = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PATH": path, "MAKEFLAGS": "-s", "PYTHONPATH": "."} | environment,
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StepError(f"{command[-1]}\n{script}\n{done.stdout}{done.stderr}")
    printed = re.sub(r"[ \t]+$", "", done.stdout, flags=re.MULTILINE).strip("\n")
    return f"{printed}\n" if printed else ""


def workshop(folder: Path) -> Path:
    """*folder*, made to look like a fresh clone as far as the tutorial goes, its tools fetched."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("examples", "android-demo", "lanes"):
        models = shutil.ignore_patterns("__pycache__", "models")
        shutil.copytree(ROOT / name, folder / name, ignore=models, dirs_exist_ok=True)
    shutil.copy(ROOT / "Makefile", folder)
    for asked in ("pyproject.toml", "constraints.txt"):
        (folder / asked).touch()
        os.utime(folder / asked, (0, 0))  # so that make finds the environment up to date
    (folder / ".venv").mkdir(exist_ok=True)
    (folder / ".venv" / ".examples").touch()
    tools = ROOT / "build" / "android" / "tools"
    tools.mkdir(parents=True, exist_ok=True)
    (folder / "build" / "android").mkdir(parents=True, exist_ok=True)
    links = {"build/android/tools": tools}
    # Not the environment as a whole: what make notes in it is another environment's business.
    links |= {f".venv/{name}": Path(sys.prefix) / name for name in ("bin", "lib", "pyvenv.cfg")}
    for link, target in links.items():
        if not (folder / link).is_symlink():
            (folder / link).symlink_to(target)
    return folder


def main() -> None:
    pages = [Path(name).resolve() for name in sys.argv[1:]] or PAGES
    for page in pages:
        print(page.relative_to(ROOT), flush=True)
        text = follow(page, ROOT)
        page.write_text(text)
        for name in re.findall(r"\]\(pictures/([\w.-]+)\)", text):
            shutil.copy(ROOT / PICTURES / name, HERE / "pictures" / name)


if __name__ == "__main__":
    main()
