package dev.onnxforge.demo.core;

import java.io.IOException;
import java.io.Reader;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;

/** What is known of a model that ships with the app. */
public final class ModelCard {
    public final String name;
    public final String file;
    /** How it was made. */
    public final String how;
    public final int nodes;
    public final int bytes;
    /** The share of held-out digits it reads right. */
    public final double accuracy;

    private ModelCard(String name, Properties properties) {
        this.name = name;
        file = required(properties, name + ".file");
        how = required(properties, name + ".how");
        nodes = Integer.parseInt(required(properties, name + ".nodes"));
        bytes = Integer.parseInt(required(properties, name + ".bytes"));
        accuracy = Double.parseDouble(required(properties, name + ".accuracy"));
    }

    /** The cards in {@code models.properties}, as {@code make android-models} writes it. */
    public static List<ModelCard> read(Reader source) throws IOException {
        Properties properties = new Properties();
        properties.load(source);
        List<ModelCard> cards = new ArrayList<>();
        for (String name : required(properties, "models").split(" ")) {
            cards.add(new ModelCard(name, properties));
        }
        return cards;
    }

    private static String required(Properties properties, String key) {
        String value = properties.getProperty(key);
        if (value == null) {
            throw new IllegalArgumentException("models.properties lacks " + key);
        }
        return value;
    }
}
