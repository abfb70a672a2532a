"""Pictures of what the steps made, into `build/digits/pictures`.

python -m examples.digits.pictures samples confusion graphs latency sudoku
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import onnx
import onnxruntime
from matplotlib import pyplot
from matplotlib.axes import Axes

from examples.digits import FOLDER
from examples.digits.data import SEED, load
from examples.digits.export import TORCHSCRIPT
from examples.digits.grid import corners, flat
from examples.digits.infer import grey
from examples.digits.measure import RESULTS, probabilities
from examples.digits.optimize import optimized
from examples.digits.quantize import INT8
from examples.digits.sudoku import read

PICTURES = FOLDER / "pictures"
PHOTOGRAPH = FOLDER / "sudoku-0.png"
COLOURS = {
    "Conv": "#7fb3d5",
    "BatchNormalization": "#f5b7b1",
    "Relu": "#a9dfbf",
    "Add": "#f9e79f",
    "Gemm": "#bb8fce",
}


def samples() -> None:
    """Some of the digits to learn from, and of each kind held out."""
    digits = load()
    rng = np.random.default_rng(SEED)
    kinds = {"to train on": digits.train} | digits.held_out
    _, axes = pyplot.subplots(len(kinds), 1, figsize=(8, 1.7 * len(kinds)))
    for each, (name, split) in zip(axes, kinds.items(), strict=True):
        some = split.images[rng.choice(len(split.labels), 48, replace=False)]
        sheet = some.reshape(2, 24, 28, 28).transpose(0, 2, 1, 3).reshape(2 * 28, 24 * 28)
        each.imshow(sheet, cmap="gray")
        each.set_title(name)
        each.axis("off")
    save("samples.png")


def confusion() -> None:
    """What the int8 model makes of each held-out digit."""
    split = load().test
    answers = probabilities(INT8, split.images).argmax(1)
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (split.labels, answers), 1)
    _, axes = pyplot.subplots(figsize=(5, 5))
    axes.imshow(np.log1p(counts), cmap="Blues")
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if row == column else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour)
    axes.set(xlabel="read", ylabel="was", xticks=range(10), yticks=range(10))
    save("confusion.svg")


def graphs() -> None:
    """The exported model and the optimized one, node by node but for constants."""
    _, axes = pyplot.subplots(1, 2, figsize=(8, 12), layout="constrained")
    for each, path in zip(axes, (TORCHSCRIPT, optimized(TORCHSCRIPT)), strict=True):
        model = onnx.load(path)
        draw(each, model.graph)
        each.set_title(f"{path.name}: {len(model.graph.node)} nodes")
    save("graphs.svg")


def draw(axes: Axes, graph: onnx.GraphProto) -> None:
    """The nodes of *graph* but constants, each below all that it reads."""
    nodes = [node for node in graph.node if node.op_type != "Constant"]
    maker = {name: i for i, node in enumerate(nodes) for name in node.output}
    place: list[tuple[int, int]] = []
    width: dict[int, int] = {}
    for i, node in enumerate(nodes):
        above = [place[maker[name]] for name in node.input if name in maker]
        row = 1 + max((row for _, row in above), default=-1)
        column = width[row] = width.get(row, -1) + 1
        place.append((column, row))
        for x, y in above:
            axes.plot([x, column], [y, row], color="gray", linewidth=0.8, zorder=1)
        box = {"facecolor": COLOURS.get(node.op_type, "#eeeeee"), "edgecolor": "gray", "pad": 1.5}
        axes.text(*place[i], node.op_type, ha="center", va="center", fontsize=6, bbox=box)
    axes.set(xlim=(-0.7, 1.7), ylim=(max(width) + 0.7, -0.7))
    axes.axis("off")


def latency() -> None:
    """How long the models take here, for one image and for 81."""
    results = json.loads(RESULTS.read_text())
    _, axes = pyplot.subplots(1, 2, figsize=(9, 3), sharey=True, layout="constrained")
    for each, count in zip(axes, ("1", "81"), strict=True):
        times = [result["microseconds"][count] for result in results.values()]
        bars = each.barh(list(results), times, color="#7fb3d5")
        each.bar_label(bars, fmt="{:,.0f}", padding=3)
        each.margins(x=0.2)
        each.set_xlabel(f"µs for {count} image{'s' if count != '1' else ''}")
    axes[0].invert_yaxis()
    save("latency.svg")


def sudoku() -> None:
    """A photograph, the grid made flat, and what was read (blue) and solved (green)."""
    picture = grey(PHOTOGRAPH)
    reading = read(picture, onnxruntime.InferenceSession(INT8))
    quad = corners(picture)
    board = flat(picture, quad)
    _, axes = pyplot.subplots(1, 2, figsize=(9, 4.5), layout="constrained")
    axes[0].imshow(picture, cmap="gray")
    axes[0].plot(*np.vstack([quad, quad[:1]]).T, color="tab:red")
    axes[1].imshow(board, cmap="gray")
    for cell in range(81):
        x, y = (cell % 9 + 0.75) * 56, (cell // 9 + 0.3) * 56
        colour = "tab:blue" if reading.board[cell] else "tab:green"
        axes[1].text(x, y, str(reading.solution[cell]), color=colour, ha="center", va="center")
    for each in axes:
        each.axis("off")
    save("sudoku.png")


def save(name: str) -> None:
    """Write the picture, the same whenever it is the same."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    metadata = {"Date": None} if name.endswith(".svg") else {}
    pyplot.savefig(PICTURES / name, dpi=80, metadata=metadata)
    pyplot.close()
    print(PICTURES / name)


KINDS: dict[str, Callable[[], None]] = {
    each.__name__: each for each in (samples, confusion, graphs, latency, sudoku)
}


def main() -> None:
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "onnxforge"
    parser = argparse.ArgumentParser(description="Draw pictures of what the steps made.")
    parser.add_argument("kinds", nargs="+", choices=KINDS)
    for kind in parser.parse_args().kinds:
        KINDS[kind]()


if __name__ == "__main__":
    main()
