package dev.onnxforge.demo;

import ai.onnxruntime.OrtException;
import dev.onnxforge.demo.core.Glyph;
import dev.onnxforge.demo.core.Grid;
import dev.onnxforge.demo.core.ModelCard;
import dev.onnxforge.demo.core.Picture;
import dev.onnxforge.demo.core.Reading;
import dev.onnxforge.demo.core.Recognizer;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** One picture, read by each model on each provider. */
final class Comparison {
    private static final int RUNS = 20;

    /** What the first model made of a Sudoku; null if the picture was a digit. */
    final Reading reading;

    final String text;

    private Comparison(Reading reading, String text) {
        this.reading = reading;
        this.text = text;
    }

    /** {@code models} are the files that {@code cards} tell of; null if there is no digit. */
    static Comparison of(Picture picture, boolean isDigit, List<ModelCard> cards, List<byte[]> models)
            throws OrtException, Grid.NotFoundException {
        Reading reading = null;
        Picture[] glyphs;
        if (isDigit) {
            Picture ink = Glyph.stretched(picture);
            Picture glyph = ink == null ? null : Glyph.of(ink);
            if (glyph == null) {
                return null;
            }
            glyphs = new Picture[] {glyph};
        } else {
            try (Recognizer first = new Recognizer(models.get(0), Recognizer.Provider.CPU)) {
                reading = new Reading(picture, first);
            }
            glyphs = reading.cells;
        }
        StringBuilder text = new StringBuilder();
        if (reading != null) {
            for (Map.Entry<String, Double> stage : reading.milliseconds.entrySet()) {
                line(text, "%s: %.1f ms", stage.getKey(), stage.getValue());
            }
        }
        for (int i = 0; i < cards.size(); i++) {
            ModelCard card = cards.get(i);
            line(text, "\n%s: %s", card.name, card.how);
            String size = "%d nodes, %.1f kB, reads %.2f %% of the held-out digits";
            line(text, size, card.nodes, card.bytes / 1e3, card.accuracy * 100);
            for (Recognizer.Provider provider : Recognizer.Provider.values()) {
                line(text, "    %s: %s", provider, tried(models.get(i), provider, glyphs, isDigit));
            }
        }
        return new Comparison(reading, text.toString());
    }

    private static String tried(
            byte[] model, Recognizer.Provider provider, Picture[] glyphs, boolean isDigit) {
        try (Recognizer recognizer = new Recognizer(model, provider)) {
            float[][] found = recognizer.probabilities(glyphs);
            double time = recognizer.milliseconds(RUNS, glyphs);
            StringBuilder answer = new StringBuilder(String.format(Locale.ROOT, "%.2f ms", time));
            if (isDigit) {
                int digit = Recognizer.likeliest(found[0], 0);
                String sure = String.format(Locale.ROOT, "%.1f %%", found[0][digit] * 100);
                answer.append(", ").append(digit).append(", ").append(sure).append(" sure");
            } else {
                answer.append(" for 81 cells");
            }
            return answer.toString();
        } catch (OrtException error) {
            return error.getMessage();
        }
    }

    private static void line(StringBuilder text, String format, Object... values) {
        text.append(String.format(Locale.ROOT, format, values)).append('\n');
    }
}
