package dev.onnxforge.demo;

import ai.onnxruntime.OrtException;
import android.app.Activity;
import android.graphics.BitmapFactory;
import android.os.Bundle;
import android.view.View;
import android.view.ViewGroup;
import android.widget.Button;
import android.widget.HorizontalScrollView;
import android.widget.LinearLayout;
import android.widget.ScrollView;
import android.widget.TextView;
import dev.onnxforge.demo.core.Grid;
import dev.onnxforge.demo.core.ModelCard;
import dev.onnxforge.demo.core.Picture;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;

/** Choose a picture or draw a digit; see it read by each model on each provider. */
public final class MainActivity extends Activity {
    private final List<byte[]> models = new ArrayList<>();
    private List<ModelCard> cards;
    private Pad pad;
    private TextView text;
    private Button read;
    private boolean isDigit;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        pad = new Pad(this);
        text = new TextView(this);
        text.setTextIsSelectable(true);
        LinearLayout choices = new LinearLayout(this);
        HorizontalScrollView bar = new HorizontalScrollView(this);
        bar.addView(choices);
        LinearLayout page = new LinearLayout(this);
        page.setOrientation(LinearLayout.VERTICAL);
        page.addView(bar);
        page.addView(pad);
        read = button(page, getString(R.string.read), new Runnable() {
            @Override
            public void run() {
                read();
            }
        });
        page.addView(text);
        ScrollView all = new ScrollView(this);
        all.addView(page);
        setContentView(all);
        try {
            load(choices);
        } catch (IOException error) {
            throw new IllegalStateException("the APK lacks its models: make android-models", error);
        }
    }

    private void load(LinearLayout choices) throws IOException {
        try (InputStream source = getAssets().open("models/models.properties")) {
            cards = ModelCard.read(new InputStreamReader(source, "UTF-8"));
        }
        for (ModelCard card : cards) {
            models.add(bytes("models/" + card.file));
        }
        for (final String name : getAssets().list("pictures")) {
            button(choices, name.replace(".png", ""), new Runnable() {
                @Override
                public void run() {
                    show(name);
                }
            });
        }
        button(choices, getString(R.string.draw), new Runnable() {
            @Override
            public void run() {
                isDigit = true;
                text.setText("");
                pad.clear();
            }
        });
    }

    private void show(String name) {
        isDigit = name.startsWith("digit");
        text.setText("");
        BitmapFactory.Options options = new BitmapFactory.Options();
        options.inScaled = false;
        try (InputStream source = getAssets().open("pictures/" + name)) {
            pad.show(BitmapFactory.decodeStream(source, null, options));
        } catch (IOException error) {
            text.setText(error.getMessage());
        }
    }

    /** Read what the pad shows; on a thread of its own, so that the screen stays alive. */
    private void read() {
        final Picture picture = pad.picture();
        final boolean digit = isDigit || pad.isDrawing();
        read.setEnabled(false);
        new Thread(new Runnable() {
            @Override
            public void run() {
                final Comparison found;
                final String message;
                Comparison comparison = null;
                String error = getString(R.string.nothing);
                try {
                    comparison = Comparison.of(picture, digit, cards, models);
                } catch (Grid.NotFoundException | OrtException failure) {
                    error = failure.getMessage();
                }
                found = comparison;
                message = error;
                runOnUiThread(new Runnable() {
                    @Override
                    public void run() {
                        report(found, message);
                    }
                });
            }
        }).start();
    }

    private void report(Comparison found, String message) {
        read.setEnabled(true);
        if (found == null) {
            text.setText(message);
            return;
        }
        text.setText(found.text);
        if (found.reading != null) {
            pad.overlay(found.reading.grid, found.reading.board, found.reading.solution);
            if (found.reading.solution == null) {
                text.setText(getString(R.string.no_solution) + "\n" + found.text);
            }
        }
    }

    private Button button(ViewGroup parent, String label, final Runnable action) {
        Button button = new Button(this);
        button.setText(label);
        button.setOnClickListener(new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                action.run();
            }
        });
        parent.addView(button);
        return button;
    }

    private byte[] bytes(String asset) throws IOException {
        try (InputStream source = getAssets().open(asset)) {
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            byte[] buffer = new byte[1 << 16];
            for (int n = source.read(buffer); n > 0; n = source.read(buffer)) {
                bytes.write(buffer, 0, n);
            }
            return bytes.toByteArray();
        }
    }
}
