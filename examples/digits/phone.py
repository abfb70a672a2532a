"""Put the models and some pictures where the Android app is built from.

    python -m examples.digits.phone

Writes `android-demo/app/src/main/assets/models`; the pictures of the app are in the repository, and
drawn again with `--pictures`.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import external_data_helper
from PIL import Image, ImageDraw, ImageFont

from examples.digits.data import MATPLOTLIB, distorted
from examples.digits.export import TORCHSCRIPT
from examples.digits.measure import RESULTS
from examples.digits.optimize import optimized
from examples.digits.puzzles import photograph, puzzle
from examples.digits.quantize import INT8

ASSETS = Path("android-demo/app/src/main/assets")
OPSET = 17
"""What every ONNX Runtime for Android since 1.12 runs."""


@dataclass(frozen=True)
class Entry:
    """A model of the app: how it was made, and the share of held-out digits that it reads."""

    path: Path
    how: str
    accuracy: float


class NotForPhonesError(Exception):
    """A model cannot go into the app."""


def write(entries: Mapping[str, Entry], folder: Path) -> None:
    """Put *entries*, by the names that the app shows, and `models.properties` into *folder*.

    Raises:
        NotForPhonesError: A model has data in other files, a newer opset, or operators of others.

    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["# Written by examples/digits/phone.py.", f"models={' '.join(entries)}"]
    for name, entry in entries.items():
        model = onnx.load(entry.path, load_external_data=False)
        check(model, entry.path)
        shutil.copyfile(entry.path, folder / f"{name}.onnx")
        lines += [
            f"{name}.file={name}.onnx",
            f"{name}.how={entry.how}",
            f"{name}.nodes={len(model.graph.node)}",
            f"{name}.bytes={entry.path.stat().st_size}",
            f"{name}.accuracy={entry.accuracy}",
        ]
    (folder / "models.properties").write_text("\n".join(lines) + "\n", "ascii")


def check(model: onnx.ModelProto, path: Path) -> None:
    """Raise if *model*, from *path*, is not for the app."""
    opsets = {each.domain: each.version for each in model.opset_import}
    if opsets.keys() - {"", "ai.onnx"} or max(opsets.values()) > OPSET:
        raise NotForPhonesError(f"{path}: opsets {opsets}; export ONNX's own, {OPSET} at most")
    if any(map(external_data_helper.uses_external_data, model.graph.initializer)):
        raise NotForPhonesError(f"{path}: weights in another file; save without external data")


def how_optimized(report: Path) -> str:
    """The passes that changed something, from what `examples.digits.optimize` reported."""
    passes = json.loads(report.read_text())["passes"]
    done = [f"{each['name']} {each['changes']}x" for each in passes if each["changes"]]
    return f"onnxforge: {', '.join(done)}"


def pictures(folder: Path) -> None:
    """Draw the pictures that the app ships."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(2):
        rng = np.random.default_rng(number)
        picture = photograph(puzzle(rng), rng).picture
        Image.fromarray(picture).save(folder / f"sudoku-{number}.png", optimize=True)
    rng = np.random.default_rng(7)
    page = Image.new("L", (160, 160), 255)
    font = ImageFont.truetype(str(MATPLOTLIB / "STIXGeneralItalic.ttf"), 110)
    ImageDraw.Draw(page).text((80, 80), "7", 0, font, anchor="mm")
    Image.fromarray(distorted(np.asarray(page), rng)).save(folder / "digit-7.png", optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Put models into the Android app.")
    parser.add_argument("--pictures", action="store_true", help="draw the pictures again, too")
    if parser.parse_args().pictures:
        pictures(ASSETS / "pictures")
    results = json.loads(RESULTS.read_text())
    report = TORCHSCRIPT.with_suffix(".report.json")
    made = {
        "original": (TORCHSCRIPT, "as torch exported it"),
        "optimized": (optimized(TORCHSCRIPT), how_optimized(report)),
        "int8": (INT8, "the optimized one, quantized by onnxruntime.quantization"),
    }
    entries = {
        name: Entry(path, how, results[name]["accuracy"]["all"])
        for name, (path, how) in made.items()
    }
    write(entries, ASSETS / "models")
    for name, entry in entries.items():
        print(f"{ASSETS}/models/{name}.onnx: {entry.how}")


if __name__ == "__main__":
    main()
