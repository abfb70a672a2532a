package dev.onnxforge.demo.core;

/**
 * A picture of a digit as the network wants it: 28 x 28, ink bright on black, centred, contrasty.
 *
 * <p>To the pixel what {@code examples/digits/glyph.py} does, which the network learned from.
 */
public final class Glyph {
    public static final int SIDE = 28;
    private static final int MARGIN = 4;
    private static final int CONTRAST = 50;

    private Glyph() {}

    /** Dark ink on light paper to 0 for the lightest pixel and 255 for the darkest, or null. */
    public static Picture stretched(Picture picture) {
        int light = 0;
        int dark = 255;
        for (byte pixel : picture.grey) {
            light = Math.max(light, pixel & 255);
            dark = Math.min(dark, pixel & 255);
        }
        int reach = light - dark;
        if (reach < CONTRAST) {
            return null;
        }
        Picture ink = new Picture(picture.width, picture.height);
        for (int i = 0; i < ink.grey.length; i++) {
            int above = light - (picture.grey[i] & 255);
            ink.grey[i] = (byte) ((2 * 255 * above + reach) / (2 * reach));
        }
        return ink;
    }

    /** The digit in {@code ink}, as {@link #stretched} gives it, or null if there is none. */
    public static Picture of(Picture ink) {
        int top = Integer.MAX_VALUE;
        int left = Integer.MAX_VALUE;
        int bottom = 0;
        int right = 0;
        for (int y = 0; y < ink.height; y++) {
            for (int x = 0; x < ink.width; x++) {
                if (ink.at(x, y) >= 128) {
                    top = Math.min(top, y);
                    bottom = Math.max(bottom, y + 1);
                    left = Math.min(left, x);
                    right = Math.max(right, x + 1);
                }
            }
        }
        if (bottom == 0) {
            return null;
        }
        double step = Math.max(bottom - top, right - left) / (double) (SIDE - 2 * MARGIN);
        double x = (left + right) / 2.0 - step * SIDE / 2;
        double y = (top + bottom) / 2.0 - step * SIDE / 2;
        return resampled(ink, x, y, step);
    }

    private static Picture resampled(Picture ink, double left, double top, double step) {
        Picture padded = new Picture(ink.width + 2, ink.height + 2);
        for (int y = 0; y < ink.height; y++) {
            System.arraycopy(
                    ink.grey, y * ink.width, padded.grey, (y + 1) * padded.width + 1, ink.width);
        }
        int count = (int) Math.ceil(step);
        Picture glyph = new Picture(SIDE, SIDE);
        for (int y = 0; y < SIDE; y++) {
            for (int x = 0; x < SIDE; x++) {
                int sum = 0;
                for (int i = 0; i < count; i++) {
                    double down = top + at(y * count + i, count, step) + 1;
                    for (int j = 0; j < count; j++) {
                        double along = left + at(x * count + j, count, step) + 1;
                        sum += padded.bilinear(along, down);
                    }
                }
                glyph.set(x, y, (2 * sum + count * count) / (2 * count * count));
            }
        }
        return glyph;
    }

    private static double at(int sample, int count, double step) {
        return (sample + 0.5) / count * step - 0.5;
    }

    /** {@code ink} without strokes that stay out of the middle: remains of a frame, no digit. */
    public static Picture reachingTheMiddle(Picture ink) {
        boolean[] strokes = new boolean[ink.grey.length];
        for (int i = 0; i < strokes.length; i++) {
            strokes[i] = (ink.grey[i] & 255) >= 128;
        }
        Components components = new Components(strokes, ink.width, ink.height);
        boolean[] stays = new boolean[components.count + 1];
        for (int y = ink.height / 4; y < ink.height - ink.height / 4; y++) {
            for (int x = ink.width / 4; x < ink.width - ink.width / 4; x++) {
                stays[components.labels[y * ink.width + x]] = true;
            }
        }
        Picture rest = new Picture(ink.width, ink.height);
        for (int i = 0; i < strokes.length; i++) {
            rest.grey[i] = !strokes[i] || stays[components.labels[i]] ? ink.grey[i] : 0;
        }
        return rest;
    }
}
