package dev.onnxforge.demo.core;

/** Sudoku solved by trying, the cell with the fewest choices first. */
public final class Solver {
    private final int[] cells;
    private final int[] rows = new int[9];
    private final int[] columns = new int[9];
    private final int[] boxes = new int[9];

    private Solver(int[] board) {
        cells = board.clone();
    }

    /** The solution of {@code board}, 81 digits with 0 in empty cells; null if there is none. */
    public static int[] solve(int[] board) {
        Solver solver = new Solver(board);
        return solver.isConsistent() && solver.search() ? solver.cells : null;
    }

    private boolean isConsistent() {
        for (int cell = 0; cell < 81; cell++) {
            if (cells[cell] != 0) {
                int bit = 1 << cells[cell];
                if ((taken(cell) & bit) != 0) {
                    return false;
                }
                put(cell, bit);
            }
        }
        return true;
    }

    private boolean search() {
        int tightest = -1;
        int most = -1;
        for (int cell = 0; cell < 81; cell++) {
            if (cells[cell] == 0 && Integer.bitCount(taken(cell)) > most) {
                tightest = cell;
                most = Integer.bitCount(taken(cell));
            }
        }
        if (tightest < 0) {
            return true;
        }
        for (int digit = 1; digit <= 9; digit++) {
            int bit = 1 << digit;
            if ((taken(tightest) & bit) == 0) {
                cells[tightest] = digit;
                put(tightest, bit);
                if (search()) {
                    return true;
                }
                put(tightest, bit);
                cells[tightest] = 0;
            }
        }
        return false;
    }

    private int taken(int cell) {
        return rows[cell / 9] | columns[cell % 9] | boxes[cell / 27 * 3 + cell % 9 / 3];
    }

    private void put(int cell, int bit) {
        rows[cell / 9] ^= bit;
        columns[cell % 9] ^= bit;
        boxes[cell / 27 * 3 + cell % 9 / 3] ^= bit;
    }
}
