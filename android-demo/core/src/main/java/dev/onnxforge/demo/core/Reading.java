package dev.onnxforge.demo.core;

import ai.onnxruntime.OrtException;
import java.util.LinkedHashMap;
import java.util.Map;

/** A photographed Sudoku, read and solved. */
public final class Reading {
    public final Grid grid;
    /** The 81 cells as the network saw them; null where they are empty. */
    public final Picture[] cells;
    /** What was read, 0 in empty cells. */
    public final int[] board;
    /** The solution, or null if what was read has none. */
    public final int[] solution;
    /** What each stage took, in their order. */
    public final Map<String, Double> milliseconds = new LinkedHashMap<>();

    private long start = System.nanoTime();

    public Reading(Picture picture, Recognizer recognizer)
            throws Grid.NotFoundException, OrtException {
        grid = Grid.in(picture);
        stage("find the grid");
        Picture flat = grid.flat(picture);
        stage("flatten it");
        cells = Grid.cells(flat);
        stage("cut out 81 cells");
        float[][] probabilities = recognizer.probabilities(cells);
        board = new int[81];
        for (int cell = 0; cell < 81; cell++) {
            // A Sudoku has no 0.
            board[cell] = cells[cell] == null ? 0 : Recognizer.likeliest(probabilities[cell], 1);
        }
        stage("recognize, in one batch");
        solution = Solver.solve(board);
        stage("solve");
    }

    private void stage(String name) {
        long now = System.nanoTime();
        milliseconds.put(name, (now - start) / 1e6);
        start = now;
    }
}
