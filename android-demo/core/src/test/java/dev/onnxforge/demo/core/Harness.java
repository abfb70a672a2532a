package dev.onnxforge.demo.core;

import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.List;

/**
 * What the module makes of pictures, in a form to compare with Python's.
 *
 * <p>{@code Harness read MODEL PROVIDER PICTURE.pgm OUT} reads a Sudoku, {@code Harness digit MODEL
 * PROVIDER PICTURE.pgm OUT} a digit; OUT gets the glyphs and, big-endian, the probabilities. {@code
 * Harness colours} prints the grey of some colours, {@code Harness cards FILE} the cards in a file.
 */
public final class Harness {
    private Harness() {}

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "read":
                read(args);
                break;
            case "digit":
                digit(args);
                break;
            case "colours":
                colours();
                break;
            case "cards":
                cards(args[1]);
                break;
            default:
                throw new IllegalArgumentException(args[0]);
        }
    }

    private static void read(String[] args) throws Exception {
        try (Recognizer recognizer = recognizer(args)) {
            Reading reading = new Reading(pgm(args[3]), recognizer);
            System.out.println("corners " + Arrays.deepToString(reading.grid.corners));
            System.out.println("board " + Arrays.toString(reading.board));
            System.out.println("solution " + Arrays.toString(reading.solution));
            System.out.println("stages " + reading.milliseconds.keySet());
            write(args[4], recognizer, reading.cells);
            System.out.println("median " + (recognizer.milliseconds(3, reading.cells) > 0));
        }
    }

    private static void digit(String[] args) throws Exception {
        try (Recognizer recognizer = recognizer(args)) {
            Picture glyph = Glyph.of(Glyph.stretched(pgm(args[3])));
            write(args[4], recognizer, glyph);
        }
    }

    private static void colours() {
        int[] argb = new int[1000];
        for (int i = 0; i < argb.length; i++) {
            argb[i] = 0xff000000 | i * 0x1f35d7 & 0xffffff;
        }
        StringBuilder line = new StringBuilder();
        for (byte grey : Picture.ofColours(argb.length, 1, argb).grey) {
            line.append(grey & 255).append(' ');
        }
        System.out.println(line);
    }

    private static void cards(String path) throws IOException {
        for (ModelCard card : ModelCard.read(Files.newBufferedReader(Paths.get(path)))) {
            List<Object> fields =
                    Arrays.<Object>asList(
                            card.name, card.file, card.nodes, card.bytes, card.accuracy, card.how);
            System.out.println(fields);
        }
    }

    private static Recognizer recognizer(String[] args) throws Exception {
        byte[] model = Files.readAllBytes(Paths.get(args[1]));
        return new Recognizer(model, Recognizer.Provider.valueOf(args[2]));
    }

    private static void write(String path, Recognizer recognizer, Picture... glyphs)
            throws Exception {
        Path file = Paths.get(path);
        try (DataOutputStream out = new DataOutputStream(Files.newOutputStream(file))) {
            for (Picture glyph : glyphs) {
                out.write(glyph == null ? new byte[Glyph.SIDE * Glyph.SIDE] : glyph.grey);
            }
            for (float[] row : recognizer.probabilities(glyphs)) {
                for (float value : row) {
                    out.writeFloat(value);
                }
            }
        }
    }

    /** A picture in binary PGM with a header of one line, as Pillow writes it but for line breaks. */
    private static Picture pgm(String path) throws IOException {
        byte[] all = Files.readAllBytes(Paths.get(path));
        int end = 0;
        while (all[end] != '\n') {
            end++;
        }
        String[] header = new String(all, 0, end, "US-ASCII").split(" ");
        if (!header[0].equals("P5") || !header[3].equals("255")) {
            throw new IOException(path + " is no PGM with a header of one line");
        }
        int width = Integer.parseInt(header[1]);
        int height = Integer.parseInt(header[2]);
        return new Picture(width, height, Arrays.copyOfRange(all, end + 1, all.length));
    }
}
