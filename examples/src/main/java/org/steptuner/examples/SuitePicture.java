// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.awt.Color;
import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Path;
import javax.imageio.ImageIO;

/** The suite's table as a picture: a cell for each tuner and set, the darker the farther from the tuned loss. */
final class SuitePicture {
  private static final int NAME_WIDTH = 300;
  private static final int CELL_WIDTH = 84;
  private static final int CELL_HEIGHT = 26;
  private static final int MARGIN = 14;
  private static final int HEAD = 84;
  private static final double WORST = 10;
  private static final Color REACHED = new Color(0xBFE3D0);
  private static final Color NEAREST = new Color(0xFFF7E0);
  private static final Color FARTHEST = new Color(0xD55E00);

  private SuitePicture() {}

  /** Writes datasets.png. */
  static void write(SuiteReport report, Path folder) throws IOException {
    ImageIO.write(draw(report), "png", folder.resolve("datasets.png").toFile());
  }

  private static BufferedImage draw(SuiteReport report) {
    final int sets = report.results().size();
    final int tuners = report.names().size();
    final int width = 2 * MARGIN + NAME_WIDTH + (sets + 1) * CELL_WIDTH;
    final BufferedImage image = new BufferedImage(width, HEAD + tuners * CELL_HEIGHT + MARGIN, BufferedImage.TYPE_INT_RGB);
    final Graphics2D g = image.createGraphics();
    g.setRenderingHint(RenderingHints.KEY_TEXT_ANTIALIASING, RenderingHints.VALUE_TEXT_ANTIALIAS_ON);
    g.setColor(Color.WHITE);
    g.fillRect(0, 0, image.getWidth(), image.getHeight());
    final Font plain = new Font(Font.SANS_SERIF, Font.PLAIN, 13);
    final Font bold = plain.deriveFont(Font.BOLD);
    g.setColor(Color.BLACK);
    g.setFont(bold.deriveFont(17f));
    g.drawString("Training loss as a multiple of Adam's at the best rate of a grid; nothing is tuned but where a row says so", MARGIN, 28);
    g.setFont(bold);
    for (int set = 0; set < sets; ++set)
      centre(g, report.results().get(set).data().name(), MARGIN + NAME_WIDTH + set * CELL_WIDTH, HEAD - 18);
    centre(g, "within 5 %", MARGIN + NAME_WIDTH + sets * CELL_WIDTH, HEAD - 18);
    for (int tuner = 0; tuner < tuners; ++tuner) {
      final int y = HEAD + tuner * CELL_HEIGHT;
      g.setFont(plain);
      g.setColor(Color.BLACK);
      g.drawString(report.names().get(tuner), MARGIN, y + 18);
      final double[] ratios = report.ratios(tuner);
      for (int set = 0; set < sets; ++set) {
        final int x = MARGIN + NAME_WIDTH + set * CELL_WIDTH;
        g.setColor(colour(ratios[set]));
        g.fillRect(x + 1, y + 1, CELL_WIDTH - 2, CELL_HEIGHT - 2);
        g.setColor(Color.BLACK);
        centre(g, SuiteReport.text(ratios[set]), x, y + 18);
      }
      g.setFont(bold);
      centre(g, report.near(tuner) + " of " + sets, MARGIN + NAME_WIDTH + sets * CELL_WIDTH, y + 18);
    }
    g.dispose();
    return image;
  }

  private static Color colour(double ratio) {
    if (ratio <= SuiteReport.NEAR) return REACHED;
    final double part = Math.min(1, Math.log(ratio) / Math.log(WORST));
    return new Color(
        mixed(NEAREST.getRed(), FARTHEST.getRed(), part),
        mixed(NEAREST.getGreen(), FARTHEST.getGreen(), part),
        mixed(NEAREST.getBlue(), FARTHEST.getBlue(), part));
  }

  private static int mixed(int from, int to, double part) {
    return (int) Math.round(from + part * (to - from));
  }

  private static void centre(Graphics2D g, String text, int x, int y) {
    g.drawString(text, x + (CELL_WIDTH - g.getFontMetrics().stringWidth(text)) / 2, y);
  }
}
