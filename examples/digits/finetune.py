"""Train again, from the weights in the exported file, on digits of another kind.

    python -m examples.digits.finetune

The file is all that is needed: its initializers bear the names that the weights have in torch.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from examples.digits import FOLDER
from examples.digits.data import SEED, Split, joined, load
from examples.digits.display import display
from examples.digits.export import TORCHSCRIPT, torchscript
from examples.digits.network import DigitNet
from examples.digits.train import right, train

FINETUNED = FOLDER / "digits.finetuned.onnx"


def from_onnx(path: Path) -> DigitNet:
    """The network whose weights are in the export at *path*, ready to train."""
    net, graph = DigitNet(), onnx.load(path).graph
    weights = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    for node in graph.node:
        # Weights that happen to be equal are in the file once, by the name of one of them.
        if node.op_type == "Identity" and node.input[0] in weights:
            weights[node.output[0]] = weights[node.input[0]]
    state = {
        # How many batches there were is of no use later, and not exported.
        name: value
        if name.endswith("num_batches_tracked")
        else torch.from_numpy(weights[name].copy())
        for name, value in net.state_dict().items()
    }
    net.load_state_dict(state)
    return net


def mixed(new: Split, old: Split) -> Split:
    """*new* and three times as many of *old*, lest they be forgotten."""
    some = np.random.default_rng(SEED).choice(len(old.labels), 3 * len(new.labels), replace=False)
    return joined([new, Split(old.images[some], old.labels[some])])


def main() -> None:
    digits = load()
    new, held = display(30, seed=1), display(30, seed=2)
    net = from_onnx(TORCHSCRIPT).eval()

    def describe(when: str) -> None:
        for name, split in (("display", held), ("all held out", digits.test)):
            print(f"{when}: {right(net, split)} of {len(split.labels)} right: {name}")

    describe("before")
    net = train(net, mixed(new, digits.train), epochs=3, rate=2e-3)
    describe("after")
    torchscript(net, FINETUNED)


if __name__ == "__main__":
    main()
