package dev.onnxforge.demo.core;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.Collections;

/** A model at work on one provider. */
public final class Recognizer implements AutoCloseable {
    /** What ONNX Runtime may compute with; what it cannot compute there goes to the CPU. */
    public enum Provider {
        CPU,
        XNNPACK,
        NNAPI
    }

    private static final String THREADS = "1";
    private final OrtEnvironment environment = OrtEnvironment.getEnvironment();
    private final OrtSession session;

    /** The model in the file whose bytes these are. */
    public Recognizer(byte[] model, Provider provider) throws OrtException {
        try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
            options.setIntraOpNumThreads(Integer.parseInt(THREADS));
            if (provider == Provider.XNNPACK) {
                options.addXnnpack(Collections.singletonMap("intra_op_num_threads", THREADS));
            } else if (provider == Provider.NNAPI) {
                options.addNnapi();
            }
            session = environment.createSession(model, options);
        }
    }

    /** The probabilities of the digits 0 to 9 for each of {@code glyphs}, in one batch; null is black. */
    public float[][] probabilities(Picture... glyphs) throws OrtException {
        int size = Glyph.SIDE * Glyph.SIDE;
        FloatBuffer pixels = FloatBuffer.allocate(glyphs.length * size);
        for (Picture glyph : glyphs) {
            for (int i = 0; i < size; i++) {
                pixels.put(glyph == null ? 0 : (glyph.grey[i] & 255) / 255f);
            }
        }
        pixels.rewind();
        long[] shape = {glyphs.length, 1, Glyph.SIDE, Glyph.SIDE};
        try (OnnxTensor images = OnnxTensor.createTensor(environment, pixels, shape);
                OrtSession.Result result = session.run(Collections.singletonMap("image", images))) {
            return (float[][]) result.get(0).getValue();
        }
    }

    /** The median of the milliseconds that {@code runs} runs on {@code glyphs} take. */
    public double milliseconds(int runs, Picture... glyphs) throws OrtException {
        double[] times = new double[runs];
        probabilities(glyphs);
        for (int run = 0; run < runs; run++) {
            long start = System.nanoTime();
            probabilities(glyphs);
            times[run] = (System.nanoTime() - start) / 1e6;
        }
        Arrays.sort(times);
        return times[runs / 2];
    }

    /** The likeliest of the digits from {@code first} to 9. */
    public static int likeliest(float[] probabilities, int first) {
        int best = first;
        for (int digit = first; digit < probabilities.length; digit++) {
            if (probabilities[digit] > probabilities[best]) {
                best = digit;
            }
        }
        return best;
    }

    @Override
    public void close() throws OrtException {
        session.close();
    }
}
