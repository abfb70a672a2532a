package dev.onnxforge.demo.core;

/**
 * The grid of a photographed Sudoku, and its 81 cells.
 *
 * <p>To the pixel what {@code examples/digits/grid.py} does with OpenCV.
 */
public final class Grid {
    private static final int CELL = 56;
    private static final int BORDER = 7;
    private static final int DARKER = 12;

    /** The corners, clockwise from the top left: x and y of each. */
    public final int[][] corners;

    private final double[] x;
    private final double[] y;
    private final double g;
    private final double h;

    private Grid(int[][] corners) {
        this.corners = corners;
        x = new double[] {corners[0][0], corners[1][0], corners[2][0], corners[3][0]};
        y = new double[] {corners[0][1], corners[1][1], corners[2][1], corners[3][1]};
        double ex = x[0] - x[1] + x[2] - x[3];
        double ey = y[0] - y[1] + y[2] - y[3];
        double ax = x[1] - x[2];
        double ay = y[1] - y[2];
        double bx = x[3] - x[2];
        double by = y[3] - y[2];
        double size = ax * by - bx * ay;
        g = (ex * by - bx * ey) / size;
        h = (ax * ey - ex * ay) / size;
    }

    /** There is no grid in the picture. */
    public static final class NotFoundException extends Exception {
        private static final long serialVersionUID = 1;

        NotFoundException(String message) {
            super(message);
        }
    }

    /** The grid in {@code picture}: what hangs together and spans the largest rectangle. */
    public static Grid in(Picture picture) throws NotFoundException {
        Components lines = new Components(dark(picture), picture.width, picture.height);
        if (lines.count == 0) {
            throw new NotFoundException("nothing in the picture is darker than its neighbourhood");
        }
        int largest = largest(lines, picture.width);
        int[][] corners = new int[4][];
        int[] best = new int[4];
        for (int pixel = 0; pixel < lines.labels.length; pixel++) {
            if (lines.labels[pixel] == largest) {
                int x = pixel % picture.width;
                int y = pixel / picture.width;
                int[] reach = {-x - y, x - y, x + y, y - x};
                for (int i = 0; i < 4; i++) {
                    if (corners[i] == null || reach[i] > best[i]) {
                        corners[i] = new int[] {x, y};
                        best[i] = reach[i];
                    }
                }
            }
        }
        if (twiceTheArea(corners) * 5 < (long) picture.width * picture.height) {
            throw new NotFoundException("the largest thing in the picture is no grid: come closer");
        }
        return new Grid(corners);
    }

    private static boolean[] dark(Picture picture) {
        int width = picture.width;
        int height = picture.height;
        long[][] sums = new long[height + 1][width + 1];
        for (int y = 0; y < height; y++) {
            long row = 0;
            for (int x = 0; x < width; x++) {
                row += picture.at(x, y);
                sums[y + 1][x + 1] = sums[y][x + 1] + row;
            }
        }
        int reach = Math.max(height, width) / 40 + 1;
        boolean[] dark = new boolean[width * height];
        for (int y = 0; y < height; y++) {
            int top = Math.max(y - reach, 0);
            int bottom = Math.min(y + reach + 1, height);
            for (int x = 0; x < width; x++) {
                int left = Math.max(x - reach, 0);
                int right = Math.min(x + reach + 1, width);
                long around =
                        sums[bottom][right] - sums[top][right] - sums[bottom][left] + sums[top][left];
                long count = (long) (bottom - top) * (right - left);
                dark[y * width + x] = (picture.at(x, y) + DARKER) * count < around;
            }
        }
        return dark;
    }

    private static int largest(Components lines, int width) {
        int[] left = new int[lines.count + 1];
        int[] top = new int[lines.count + 1];
        int[] right = new int[lines.count + 1];
        int[] bottom = new int[lines.count + 1];
        java.util.Arrays.fill(left, Integer.MAX_VALUE);
        java.util.Arrays.fill(top, Integer.MAX_VALUE);
        for (int pixel = 0; pixel < lines.labels.length; pixel++) {
            int label = lines.labels[pixel];
            left[label] = Math.min(left[label], pixel % width);
            top[label] = Math.min(top[label], pixel / width);
            right[label] = Math.max(right[label], pixel % width + 1);
            bottom[label] = Math.max(bottom[label], pixel / width + 1);
        }
        int largest = 1;
        long span = 0;
        for (int label = 1; label <= lines.count; label++) {
            long size = (long) (right[label] - left[label]) * (bottom[label] - top[label]);
            if (size > span) {
                largest = label;
                span = size;
            }
        }
        return largest;
    }

    private static long twiceTheArea(int[][] corners) {
        long sum = 0;
        for (int i = 0; i < 4; i++) {
            int[] a = corners[i];
            int[] b = corners[(i + 1) % 4];
            sum += (long) a[0] * b[1] - (long) a[1] * b[0];
        }
        return Math.abs(sum);
    }

    /** Where a point of the grid, each way from 0 to 1, lies in the picture: its x and y. */
    public double[] seen(double u, double v) {
        double w = g * u + h * v + 1;
        return new double[] {
            ((x[1] - x[0] + g * x[1]) * u + (x[3] - x[0] + h * x[3]) * v + x[0]) / w,
            ((y[1] - y[0] + g * y[1]) * u + (y[3] - y[0] + h * y[3]) * v + y[0]) / w,
        };
    }

    /** The grid in {@code picture} as if seen from straight above. */
    public Picture flat(Picture picture) {
        int side = 9 * CELL;
        Picture board = new Picture(side, side);
        for (int row = 0; row < side; row++) {
            for (int column = 0; column < side; column++) {
                double[] point = seen((column + 0.5) / side, (row + 0.5) / side);
                board.set(column, row, picture.bilinear(point[0], point[1]));
            }
        }
        return board;
    }

    /** The 81 digits of a flat {@code board} as the network wants them; null in empty cells. */
    public static Picture[] cells(Picture board) {
        Picture[] digits = new Picture[81];
        int side = CELL - 2 * BORDER;
        for (int cell = 0; cell < 81; cell++) {
            int top = cell / 9 * CELL + BORDER;
            int left = cell % 9 * CELL + BORDER;
            Picture ink = Glyph.stretched(board.crop(left, top, side, side));
            digits[cell] = ink == null ? null : Glyph.of(Glyph.reachingTheMiddle(ink));
        }
        return digits;
    }
}
