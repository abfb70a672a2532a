"""Digits to learn from: rendered from fonts, scikit-learn's handwritten ones, and MNIST if at hand.

All of them pass through `glyph`, as the pictures that are read later do.

    python -m examples.digits.data [--mnist FOLDER]
"""

from __future__ import annotations

import argparse
import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import matplotlib
import numpy as np
from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from examples.digits import FOLDER
from examples.digits.glyph import SIDE, glyph, stretched

SEED = 20
PER_DIGIT = 24
"""Pictures of each digit in each face."""
DEBIAN = Path("/usr/share/fonts/truetype")
MATPLOTLIB = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
NO_DIGITS = ("LastResort", "cmmi", "cmsy", "cmex", "NonUni", "Siz")
"""Faces that show something else where digits should be."""


class Split(NamedTuple):
    """Images uint8 [N, 28, 28] and labels int64 [N]."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Digits:
    """What to train on; what was held out, by where it comes from; the faces used."""

    train: Split
    held_out: dict[str, Split]
    faces: list[str]

    @property
    def test(self) -> Split:
        """All that was held out."""
        parts = self.held_out.values()
        return Split(*(np.concatenate([part[i] for part in parts]) for i in range(2)))


def faces() -> list[Path]:
    """Faces with all ten digits: what matplotlib ships, and what Debian's font packages installed."""
    found: dict[str, Path] = {}
    for folder in (MATPLOTLIB, DEBIAN):
        for path in sorted(folder.rglob("*.ttf")):
            if path.name not in found and not any(part in path.name for part in NO_DIGITS):
                with TTFont(path, lazy=True) as font:
                    if set(map(ord, "0123456789")) <= set(font.getBestCmap() or ()):
                        found[path.name] = path
    return [found[name] for name in sorted(found)]


def rendered(face: Path, seed: int, count: int = PER_DIGIT) -> Split:
    """*count* pictures of each digit in *face*: turned, slanted, blurred, noisy, in uneven light."""
    rng = np.random.default_rng([SEED, seed])
    font = ImageFont.truetype(str(face), 40)
    images, labels = [], []
    for digit in range(10):
        page = Image.new("L", (64, 64), 255)
        ImageDraw.Draw(page).text((32, 32), str(digit), 0, font, anchor="mm")
        for _ in range(count):
            picture = distorted(np.asarray(page), rng)
            ink = stretched(picture)
            found = None if ink is None else glyph(ink)
            if found is not None:
                images.append(found)
                labels.append(digit)
    return Split(np.stack(images), np.array(labels, np.int64))


def distorted(page: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """*page*, uint8 [H, W], as a camera may see it."""
    height, width = page.shape
    turn, slant, wide, blur = rng.uniform([-0.2, -0.2, 0.85, 0], [0.2, 0.2, 1.15, 1.4])
    cos, sin = np.cos(turn), np.sin(turn)
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.array([[wide, slant], [0, 1]])
    middle = np.array([width, height]) / 2
    matrix = np.column_stack([linear, middle - linear @ middle])
    seen = cv2.warpAffine(page, matrix, (width, height), borderValue=255).astype(np.float64)
    if blur > 0.3:
        seen = cv2.GaussianBlur(seen, (0, 0), blur)
    ink, paper = rng.uniform([0, 170], [70, 255])
    light = np.linspace(0, rng.uniform(-15, 15), width)[None, :]
    noise = rng.normal(0, rng.uniform(0, 6), page.shape)
    return np.clip(ink + (paper - ink) * seen / 255 + light + noise, 0, 255).astype(np.uint8)


def handwritten() -> Split:
    """The 1,797 digits of 8 x 8 pixels that ship with scikit-learn, upscaled."""
    small, labels = load_digits(return_X_y=True)
    pages = (255 - small.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    large = [cv2.resize(page, (48, 48), interpolation=cv2.INTER_CUBIC) for page in pages]
    return Split(np.stack([centred(page) for page in large]), labels.astype(np.int64))


def mnist(folder: Path) -> tuple[Split, Split]:
    """MNIST from its four `*-ubyte.gz` files in *folder*: to train on, and to test."""

    def array(name: str, header: int) -> np.ndarray:
        return np.frombuffer(gzip.decompress((folder / name).read_bytes()), np.uint8, offset=header)

    def split(name: str) -> Split:
        images = array(f"{name}-images-idx3-ubyte.gz", 16).reshape(-1, SIDE, SIDE)
        labels = array(f"{name}-labels-idx1-ubyte.gz", 8).astype(np.int64)
        return Split(np.stack([centred(255 - image) for image in images]), labels)

    return split("train"), split("t10k")


def centred(page: np.ndarray) -> np.ndarray:
    """The digit on *page*, dark on light, as the network wants it."""
    ink = stretched(page)
    found = None if ink is None else glyph(ink)
    return np.zeros((SIDE, SIDE), np.uint8) if found is None else found


def digits(mnist_folder: Path | None = None) -> Digits:
    """The data set.  One face in five and one handwritten digit in five are held out."""
    paths = faces()
    sets = [rendered(path, number) for number, path in enumerate(paths)]
    seen = [split for number, split in enumerate(sets) if number % 5 != 2]
    unseen = [split for number, split in enumerate(sets) if number % 5 == 2]
    images, labels = handwritten()
    train, held, train_labels, held_labels = train_test_split(
        images, labels, test_size=0.2, random_state=SEED, stratify=labels
    )
    held_out = {"faces never seen": joined(unseen), "handwritten": Split(held, held_labels)}
    # There are fewer handwritten digits than rendered ones; twice each keeps a balance.
    parts = [*seen, *[Split(train, train_labels)] * 2]
    if mnist_folder is not None:
        more, held_out["MNIST"] = mnist(mnist_folder)
        parts.append(more)
    return Digits(joined(parts), held_out, [path.stem for path in paths])


def joined(parts: list[Split]) -> Split:
    return Split(*(np.concatenate([part[i] for part in parts]) for i in range(2)))


def load() -> Digits:
    """What `main` saved."""
    with np.load(FOLDER / "digits.npz") as saved:
        names = [str(name) for name in saved["held_out"]]
        held = {name: Split(saved[f"{name} x"], saved[f"{name} y"]) for name in names}
        return Digits(Split(saved["x"], saved["y"]), held, [str(face) for face in saved["faces"]])


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the data set.")
    parser.add_argument("--mnist", type=Path, help="folder with MNIST's four ubyte.gz files")
    made = digits(parser.parse_args().mnist)
    FOLDER.mkdir(parents=True, exist_ok=True)
    arrays = {"x": made.train.images, "y": made.train.labels, "faces": np.array(made.faces)}
    for name, split in made.held_out.items():
        arrays |= {f"{name} x": split.images, f"{name} y": split.labels}
    np.savez_compressed(FOLDER / "digits.npz", held_out=np.array(list(made.held_out)), **arrays)
    print(f"{len(made.faces)} faces")
    print(f"{len(made.train.labels):,} digits to train on")
    for name, split in made.held_out.items():
        print(f"{len(split.labels):,} held out: {name}")


if __name__ == "__main__":
    main()
