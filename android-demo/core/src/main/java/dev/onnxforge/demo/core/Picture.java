package dev.onnxforge.demo.core;

/** Shades of grey, 0 to 255, row by row. */
public final class Picture {
    public final int width;
    public final int height;
    public final byte[] grey;

    public Picture(int width, int height) {
        this(width, height, new byte[width * height]);
    }

    public Picture(int width, int height, byte[] grey) {
        if (grey.length != width * height) {
            throw new IllegalArgumentException(
                    grey.length + " bytes are no picture of " + width + " x " + height);
        }
        this.width = width;
        this.height = height;
        this.grey = grey;
    }

    /** A picture from colours as {@code Bitmap.getPixels} gives them, weighted as Pillow does. */
    public static Picture ofColours(int width, int height, int[] argb) {
        Picture picture = new Picture(width, height);
        for (int i = 0; i < argb.length; i++) {
            int red = argb[i] >> 16 & 255;
            int green = argb[i] >> 8 & 255;
            int blue = argb[i] & 255;
            picture.grey[i] = (byte) (red * 19595 + green * 38470 + blue * 7471 + 0x8000 >> 16);
        }
        return picture;
    }

    public int at(int x, int y) {
        return grey[y * width + x] & 255;
    }

    public void set(int x, int y, int value) {
        grey[y * width + x] = (byte) value;
    }

    /** The rectangle of this size whose top left corner is at ({@code left}, {@code top}). */
    public Picture crop(int left, int top, int width, int height) {
        Picture part = new Picture(width, height);
        for (int y = 0; y < height; y++) {
            System.arraycopy(grey, (top + y) * this.width + left, part.grey, y * width, width);
        }
        return part;
    }

    /** The shade at a point between pixels; the edge goes on outside. */
    public int bilinear(double x, double y) {
        x = Math.min(Math.max(x, 0), width - 1);
        y = Math.min(Math.max(y, 0), height - 1);
        int x0 = (int) x;
        int y0 = (int) y;
        int x1 = Math.min(x0 + 1, width - 1);
        int y1 = Math.min(y0 + 1, height - 1);
        double right = x - x0;
        double down = y - y0;
        double above = at(x0, y0) * (1 - right) + at(x1, y0) * right;
        double below = at(x0, y1) * (1 - right) + at(x1, y1) * right;
        return (int) (above * (1 - down) + below * down + 0.5);
    }
}
