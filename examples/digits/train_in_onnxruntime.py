"""Train the optimized model again in ONNX Runtime itself, without torch's autograd.

    python -m pip install --no-deps --target build/digits/training onnxruntime-training==1.19.2
    PYTHONPATH=build/digits/training python -m examples.digits.train_in_onnxruntime

The package that can train is another build of ONNX Runtime under the same name, of which 1.19.2 is
the last on PyPI: hence the folder of its own.  What it makes, a graph that computes gradients, one
that updates the weights and a file of them, is also what trains on a phone.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from examples.digits import FOLDER
from examples.digits.data import SEED, Split, load
from examples.digits.display import display
from examples.digits.export import TORCHSCRIPT
from examples.digits.finetune import mixed
from examples.digits.optimize import optimized

ARTIFACTS = FOLDER / "artifacts"
TRAINED = FOLDER / "digits.trained.onnx"
BATCH = 50
EPOCHS = 4


def logits(path: Path) -> onnx.ModelProto:
    """The model at *path* up to its softmax, which the loss brings along."""
    model = onnx.load(path)
    softmax = model.graph.node.pop()
    assert softmax.op_type == "Softmax"
    del model.graph.output[:]
    model.graph.output.append(
        helper.make_tensor_value_info(softmax.input[0], TensorProto.FLOAT, ["batch", 10])
    )
    return model


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what ONNX Runtime's native code says at every step."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - a device, not a path
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def batches(split: Split, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """*split* in random order, as float32 [N, 1, 28, 28] and int64 [N]."""
    order = rng.permutation(len(split.labels))
    for some in np.split(order, len(order) // BATCH):
        yield split.images[some, None].astype(np.float32) / 255, split.labels[some]


def main() -> None:
    from onnxruntime.training import artifacts
    from onnxruntime.training.api import CheckpointState, Module, Optimizer

    model = logits(optimized(TORCHSCRIPT))
    weights = [each.name for each in model.graph.initializer if each.data_type == TensorProto.FLOAT]
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    with quiet():
        artifacts.generate_artifacts(
            model,
            requires_grad=weights,
            loss=artifacts.LossType.CrossEntropyLoss,
            optimizer=artifacts.OptimType.AdamW,
            artifact_directory=str(ARTIFACTS),
        )
    update = onnx.load(ARTIFACTS / "optimizer_model.onnx")
    update.ir_version = model.ir_version  # onnx writes its newest, which this ONNX Runtime predates
    onnx.save(update, ARTIFACTS / "optimizer_model.onnx")
    digits, held = load(), display(30, seed=2)
    split = mixed(display(30, seed=1), digits.train)
    rng = np.random.default_rng(SEED)
    state = CheckpointState.load_checkpoint(str(ARTIFACTS / "checkpoint"))
    with quiet():
        module = Module(
            str(ARTIFACTS / "training_model.onnx"), state, str(ARTIFACTS / "eval_model.onnx")
        )
        optimizer = Optimizer(str(ARTIFACTS / "optimizer_model.onnx"), module)
    optimizer.set_learning_rate(2e-3)
    for epoch in range(EPOCHS):
        losses = []
        module.train()
        for images, labels in batches(split, rng):
            losses.append(float(module(images, labels)))
            optimizer.step()
            module.lazy_reset_grad()
        print(f"epoch {epoch + 1}/{EPOCHS}: loss {np.mean(losses):.4f}")
    with quiet():
        module.export_model_for_inferencing(str(TRAINED), [model.graph.output[0].name])
    for name, each in (("display", held), ("all held out", digits.test)):
        print(f"after: {read(TRAINED, each)} of {len(each.labels)} right: {name}")


def read(path: Path, split: Split) -> int:
    """How many of *split* the model at *path* reads right."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": split.images[:, None].astype(np.float32) / 255})
    return int((found.argmax(1) == split.labels).sum())


if __name__ == "__main__":
    main()
