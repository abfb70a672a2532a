"""What an import costs: nothing that is not used."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("onnxruntime", "torch", "rich", "typer", "onnx_ir", "onnx_graphsurgeon", "onnxscript")


def loaded_by(code: str) -> list[str]:
    """The top-level packages that are loaded once *code* has run in a fresh process."""
    code += "\nimport sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].split()


@pytest.mark.parametrize("name", [*HEAVY, "onnxforge_passes"])
def test_the_import_leaves_alone(name: str) -> None:
    assert name not in loaded_by("import onnxforge")


def test_every_public_name_is_there() -> None:
    loaded_by("import onnxforge; [getattr(onnxforge, name) for name in onnxforge.__all__]")


def test_a_run_without_verification_starts_no_runtime() -> None:
    code = (
        "import onnxforge; from onnxforge.testing import model\n"
        "text = 'g (float[2] x) => (float[2] y) { a = Identity(x)  y = Relu(a) }'\n"
        "onnxforge.optimize(model(text), 'identity-elimination', verify=False)"
    )
    assert not {"onnxruntime", "torch", "rich", "typer"} & set(loaded_by(code))


def test_help_needs_neither_a_runtime_nor_the_passes() -> None:
    code = "import sys; sys.argv = ['onnxforge', '--help']\nfrom onnxforge.cli import main\n"
    loaded = loaded_by(f"{code}try: main()\nexcept SystemExit: pass")
    assert not {"onnxruntime", "torch", "onnxforge_passes"} & set(loaded)
