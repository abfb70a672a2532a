"""From training to the phone: a digit network, and a Sudoku reader built on it.

Each module that has a `main` is one step of docs/tutorial: run it from the root of the repository,
as in `python -m examples.digits.train`.  What a step makes goes to `build/digits`.
"""

from pathlib import Path

FOLDER = Path("build/digits")
"""Where the steps leave their files for the next ones."""
