"""The digits example: what it draws, cuts out, exports and solves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import onnxforge
from examples.digits import data, export, finetune, grid, puzzles, solver, sudoku
from examples.digits.display import display
from examples.digits.glyph import CONTRAST, MARGIN, SIDE, glyph, reaching_the_middle, stretched
from examples.digits.network import DigitNet

SHIPPED = Path(__file__).parents[2] / "examples" / "digits.onnx"


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(SHIPPED)


@given(
    st.integers(20, 60), st.integers(20, 60), st.integers(0, 30), st.integers(0, 30)
)  # a bar of any size, anywhere
def test_a_glyph_is_centred_and_fills_all_but_its_margin(
    height: int, width: int, top: int, left: int
) -> None:
    ink = np.zeros((100, 100), np.uint8)
    ink[top : top + height, left : left + width] = 255
    found = glyph(ink)
    assert found is not None
    assert found.shape == (SIDE, SIDE)
    rows, columns = np.nonzero(found >= 128)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == pytest.approx(SIDE - 2 * MARGIN, abs=1)
    assert (rows.min() + rows.max()) / 2 == pytest.approx((SIDE - 1) / 2, abs=1)
    assert (columns.min() + columns.max()) / 2 == pytest.approx((SIDE - 1) / 2, abs=1)


def test_without_contrast_there_is_no_ink() -> None:
    picture = np.full((20, 20), 100, np.uint8)
    picture[5:10, 5:10] -= CONTRAST - 1
    assert stretched(picture) is None
    picture[5:10, 5:10] -= 1
    assert stretched(picture) is not None


def test_paper_without_ink_has_no_glyph() -> None:
    assert glyph(np.zeros((20, 20), np.uint8)) is None


def test_remains_of_a_frame_are_no_part_of_a_digit() -> None:
    ink = np.zeros((40, 40), np.uint8)
    ink[:2] = ink[:, :2] = 255
    ink[10:30, 18:22] = 255
    rest = reaching_the_middle(ink)
    assert rest.sum() == 20 * 4 * 255
    assert not rest[:10].any()


def test_the_same_seed_draws_the_same_digits() -> None:
    face = data.faces()[0]
    first, again, other = (data.rendered(face, seed, 2) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.images, again.images)
    assert (first.images != other.images).any()
    assert first.labels.tolist() == sorted([*range(10)] * 2)


def test_mnist_is_read_from_its_files(tmp_path: Path) -> None:
    import gzip

    page = np.zeros((3, SIDE, SIDE), np.uint8)
    page[:, 5:20, 12:15] = 255
    for name in ("train", "t10k"):
        (tmp_path / f"{name}-images-idx3-ubyte.gz").write_bytes(
            gzip.compress(bytes(16) + page.tobytes())
        )
        (tmp_path / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(bytes(8) + b"\1\1\1"))
    train, test = data.mnist(tmp_path)
    assert train.images.shape == test.images.shape == (3, SIDE, SIDE)
    assert train.images.any()
    assert test.labels.tolist() == [1, 1, 1]


@pytest.mark.parametrize("seed", range(60, 66))
def test_a_photographed_sudoku_is_read_and_solved(
    session: onnxruntime.InferenceSession, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    made = puzzles.photograph(puzzles.puzzle(rng), rng)
    reading = sudoku.read(made.picture, session)
    assert reading.board == made.board
    lines = np.array(reading.solution).reshape(9, 9)
    boxes = lines.reshape(3, 3, 3, 3).transpose(0, 2, 1, 3).reshape(9, 9)
    for nine in (*lines, *lines.T, *boxes):
        assert sorted(nine) == [*range(1, 10)]
    assert all(
        made in (0, solved) for made, solved in zip(made.board, reading.solution, strict=True)
    )
    assert len(reading.milliseconds) == 5


def test_a_puzzle_has_one_solution() -> None:
    board = puzzles.puzzle(np.random.default_rng(3))
    assert board.count(0) > 40
    assert len(list(solver.solutions(board))) == 1


def test_contradicting_digits_have_no_solution() -> None:
    with pytest.raises(solver.NoSolutionError):
        solver.solve([1, 1] + [0] * 79)


def test_a_picture_without_a_grid_is_said_to_have_none() -> None:
    picture = np.full((200, 200), 220, np.uint8)
    with pytest.raises(grid.GridNotFoundError, match="nothing in the picture"):
        grid.corners(picture)
    picture[50:60, 50:60] = 0
    with pytest.raises(grid.GridNotFoundError, match="come closer"):
        grid.corners(picture)


@pytest.mark.parametrize("exporter", [export.torchscript, export.dynamo])
def test_both_exporters_and_optimizing_keep_what_the_network_computes(
    tmp_path: Path, exporter: object
) -> None:
    assert callable(exporter)
    torch.manual_seed(0)
    net = DigitNet()
    images = data.rendered(data.faces()[0], 0, 2).images
    net(torch.from_numpy(images).float()[:, None] / 255)  # statistics that are not the initial ones
    net.eval()
    path, optimized = tmp_path / "net.onnx", tmp_path / "net.opt.onnx"
    exporter(net, path)
    onnxforge.optimize(path).save(optimized)
    assert "BatchNormalization" in {node.op_type for node in onnx.load(path).graph.node}
    assert "BatchNormalization" not in {node.op_type for node in onnx.load(optimized).graph.node}
    for each in (path, optimized):
        assert export.difference(net, each, images[:7]) < 1e-5


def test_the_weights_come_back_from_an_export() -> None:
    net = finetune.from_onnx(SHIPPED).eval()
    images = data.rendered(data.faces()[1], 1, 2).images
    assert export.difference(net, SHIPPED, images) < 1e-5


def test_the_digits_of_a_display_all_differ() -> None:
    split = display(1, seed=3)
    assert split.labels.tolist() == [*range(10)]
    flat = split.images.reshape(10, -1).astype(int)
    apart = np.abs(flat[:, None] - flat[None]).sum(2) + np.eye(10, dtype=int) * 10**9
    assert apart.min() > 5000
