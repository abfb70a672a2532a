"""The Android-free module, on a JVM with the AAR's classes, does what Python does."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from android.reference import MODE, PICTURES, expected
from examples.digits import grid, puzzles
from examples.digits.glyph import glyph, stretched
from examples.digits.infer import grey
from examples.digits.solver import solve
from lane import jvm

MODELS = ["original", "optimized", "int8"]
PUZZLES = range(40, 60 if MODE == "full" else 42)


@dataclass(frozen=True)
class Read:
    """What the module said and wrote."""

    lines: dict[str, list]
    glyphs: np.ndarray
    probabilities: np.ndarray


def read(desktop: Path, command: str, model: Path, picture: np.ndarray, folder: Path) -> Read:
    source, out = folder / "picture.pgm", folder / "out"
    height, width = picture.shape
    source.write_bytes(f"P5 {width} {height} 255\n".encode() + picture.tobytes())
    printed = jvm.harness(desktop, command, model, "CPU", source, out)
    lines = dict(line.split(" ", 1) for line in printed.splitlines())
    written = out.read_bytes()
    count = len(written) // (28 * 28 + 10 * 4)
    return Read(
        {
            name: json.loads(text)
            for name, text in lines.items()
            if name not in ("stages", "median")
        },
        np.frombuffer(written, np.uint8, count * 28 * 28).reshape(-1, 28, 28),
        np.frombuffer(written, ">f4", offset=count * 28 * 28).reshape(-1, 10),
    )


def compare(desktop: Path, model: Path, picture: np.ndarray, folder: Path) -> None:
    found = read(desktop, "read", model, picture, folder)
    quad = grid.corners(picture)
    cells = grid.cells(grid.flat(picture, quad))
    assert found.lines["corners"] == quad.tolist()
    np.testing.assert_array_equal(found.glyphs, cells)  # to the pixel
    answers = expected(model, cells[:, None].astype(np.float32) / 255)
    tolerance = 2e-2 if model.stem == "int8" else 1e-5  # one of 256 levels of a logit
    np.testing.assert_allclose(found.probabilities, answers, atol=tolerance)
    assert found.lines["solution"] == solve(found.lines["board"])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", ["sudoku-0.png", "sudoku-1.png"])
def test_a_bundled_sudoku_is_read_and_solved_as_in_python(
    desktop: Path, models: Path, tmp_path: Path, model: str, name: str
) -> None:
    compare(desktop, models / f"{model}.onnx", grey(PICTURES / name), tmp_path)


@pytest.mark.parametrize("seed", PUZZLES)
def test_other_photographs_are_read_to_the_pixel_and_right(
    desktop: Path, models: Path, tmp_path: Path, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    made = puzzles.photograph(puzzles.puzzle(rng), rng)
    compare(desktop, models / "int8.onnx", made.picture, tmp_path)


@pytest.mark.parametrize("model", MODELS)
def test_the_bundled_digit_is_read(desktop: Path, models: Path, tmp_path: Path, model: str) -> None:
    picture = grey(PICTURES / "digit-7.png")
    found = read(desktop, "digit", models / f"{model}.onnx", picture, tmp_path)
    ink = stretched(picture)
    assert ink is not None
    np.testing.assert_array_equal(found.glyphs[0], glyph(ink))
    assert found.probabilities[0].argmax() == 7


def test_colours_become_the_grey_that_pillow_makes_of_them(desktop: Path) -> None:
    numbers = (np.arange(1000, dtype=np.int64) * 0x1F35D7) & 0xFFFFFF
    colours = np.stack([numbers >> 16 & 255, numbers >> 8 & 255, numbers & 255], 1)
    pillow = np.asarray(Image.fromarray(colours.astype(np.uint8)[None]).convert("L"))[0]
    assert list(map(int, jvm.harness(desktop, "colours").split())) == pillow.tolist()


def test_the_cards_of_the_models_are_understood(desktop: Path, models: Path) -> None:
    told = jvm.harness(desktop, "cards", models / "models.properties").splitlines()
    sizes = [(models / f"{name}.onnx").stat().st_size for name in MODELS]
    for line, name, size in zip(told, MODELS, sizes, strict=True):
        assert line.startswith(f"[{name}, {name}.onnx, ")
        assert line.endswith(f", {size}, 0.5, by a test]")


def test_a_provider_that_is_not_there_is_an_error_and_no_crash(
    desktop: Path, models: Path, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError, match=r"ai\.onnxruntime\.OrtException.*XNNPACK"):
        jvm.harness(desktop, "digit", models / "int8.onnx", "XNNPACK", tmp_path, tmp_path)


def test_a_picture_without_a_grid_is_an_error(desktop: Path, models: Path, tmp_path: Path) -> None:
    blank = np.full((100, 100), 200, np.uint8)
    with pytest.raises(RuntimeError, match="nothing in the picture is darker"):
        read(desktop, "read", models / "int8.onnx", blank, tmp_path)
