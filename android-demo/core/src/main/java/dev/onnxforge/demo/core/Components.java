package dev.onnxforge.demo.core;

/** The pieces of a mask that hang together, corners included. */
final class Components {
    /** For each pixel the number of its component, from 1; 0 outside of the mask. */
    final int[] labels;
    final int count;

    Components(boolean[] mask, int width, int height) {
        labels = new int[mask.length];
        int[] waiting = new int[mask.length];
        int found = 0;
        for (int start = 0; start < mask.length; start++) {
            if (!mask[start] || labels[start] != 0) {
                continue;
            }
            labels[start] = ++found;
            waiting[0] = start;
            for (int left = 1; left > 0; ) {
                int pixel = waiting[--left];
                int px = pixel % width;
                int py = pixel / width;
                for (int y = Math.max(py - 1, 0); y <= Math.min(py + 1, height - 1); y++) {
                    for (int x = Math.max(px - 1, 0); x <= Math.min(px + 1, width - 1); x++) {
                        int next = y * width + x;
                        if (mask[next] && labels[next] == 0) {
                            labels[next] = found;
                            waiting[left++] = next;
                        }
                    }
                }
            }
        }
        count = found;
    }
}
