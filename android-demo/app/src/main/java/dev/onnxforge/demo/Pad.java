package dev.onnxforge.demo;

import android.content.Context;
import android.graphics.Bitmap;
import android.graphics.Canvas;
import android.graphics.Color;
import android.graphics.Paint;
import android.graphics.Path;
import android.graphics.Rect;
import android.view.MotionEvent;
import android.view.View;
import dev.onnxforge.demo.core.Grid;
import dev.onnxforge.demo.core.Picture;

/** A picture with what was read written over it, or paper to draw a digit on. */
final class Pad extends View {
    private static final int SIDE = 480;
    private final Paint pen = new Paint(Paint.ANTI_ALIAS_FLAG);
    private final Paint answer = new Paint(Paint.ANTI_ALIAS_FLAG);
    private final Path strokes = new Path();
    private final int[] read = new int[81];
    private final int[] solved = new int[81];
    private Bitmap bitmap;
    private Grid grid;

    Pad(Context context) {
        super(context);
        pen.setStyle(Paint.Style.STROKE);
        pen.setStrokeCap(Paint.Cap.ROUND);
        pen.setStrokeJoin(Paint.Join.ROUND);
        pen.setStrokeWidth(SIDE / 12f);
        answer.setTextAlign(Paint.Align.CENTER);
        clear();
    }

    /** Blank paper. */
    void clear() {
        bitmap = null;
        grid = null;
        strokes.reset();
        invalidate();
    }

    void show(Bitmap picture) {
        clear();
        bitmap = picture;
    }

    /** Write {@code solution} into the cells of {@code grid} that {@code board} has empty. */
    void overlay(Grid grid, int[] board, int[] solution) {
        this.grid = grid;
        System.arraycopy(board, 0, read, 0, 81);
        System.arraycopy(solution == null ? board : solution, 0, solved, 0, 81);
        invalidate();
    }

    boolean isDrawing() {
        return bitmap == null;
    }

    /** What is shown, without what was written over it. */
    Picture picture() {
        Bitmap source = bitmap;
        if (source == null) {
            source = Bitmap.createBitmap(SIDE, SIDE, Bitmap.Config.ARGB_8888);
            Canvas canvas = new Canvas(source);
            canvas.drawColor(Color.WHITE);
            canvas.drawPath(strokes, pen);
        }
        int[] colours = new int[source.getWidth() * source.getHeight()];
        source.getPixels(
                colours, 0, source.getWidth(), 0, 0, source.getWidth(), source.getHeight());
        return Picture.ofColours(source.getWidth(), source.getHeight(), colours);
    }

    @Override
    protected void onMeasure(int width, int height) {
        int side = MeasureSpec.getSize(width);
        setMeasuredDimension(side, side);
    }

    @Override
    protected void onDraw(Canvas canvas) {
        canvas.drawColor(Color.WHITE);
        if (bitmap == null) {
            canvas.scale(getWidth() / (float) SIDE, getHeight() / (float) SIDE);
            canvas.drawPath(strokes, pen);
            return;
        }
        canvas.drawBitmap(bitmap, null, new Rect(0, 0, getWidth(), getHeight()), null);
        if (grid != null) {
            canvas.scale(
                    getWidth() / (float) bitmap.getWidth(), getHeight() / (float) bitmap.getHeight());
            drawAnswers(canvas);
        }
    }

    private void drawAnswers(Canvas canvas) {
        int[][] corners = grid.corners;
        answer.setTextSize((corners[3][1] - corners[0][1]) / 14f);
        for (int cell = 0; cell < 81; cell++) {
            double[] middle = grid.seen((cell % 9 + 0.5) / 9, (cell / 9 + 0.75) / 9);
            boolean isRead = read[cell] != 0;
            answer.setColor(isRead ? 0x800000ff : 0xff008000);
            if (solved[cell] != 0) {
                canvas.drawText(
                        String.valueOf(solved[cell]), (float) middle[0], (float) middle[1], answer);
            }
        }
    }

    @Override
    public boolean onTouchEvent(MotionEvent event) {
        if (bitmap != null) {
            return false;
        }
        float x = event.getX() * SIDE / getWidth();
        float y = event.getY() * SIDE / getHeight();
        if (event.getAction() == MotionEvent.ACTION_DOWN) {
            getParent().requestDisallowInterceptTouchEvent(true);
            strokes.moveTo(x, y);
        } else {
            strokes.lineTo(x, y);
        }
        invalidate();
        return true;
    }
}
