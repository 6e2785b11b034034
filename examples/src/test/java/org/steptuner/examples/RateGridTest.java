// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

class RateGridTest {
  private static final Dataset IRIS = Datasets.load(Datasets.ALL.get(0), null);
  private static final int SMALLEST = 0; // places in the grid
  private static final int ONE = 6;

  private static int method(String name) {
    for (int m = 0; m < RateGrid.METHODS.size(); ++m) if (RateGrid.METHODS.get(m).name().equals(name)) return m;
    throw new AssertionError(name);
  }

  /** What the experiment is there to show, on all of iris at once: AdaGrad-Norm stays where it was, GradaGrad gets away. */
  @Test
  void gradaGradLeavesARateThatIsTooSmall() {
    final LogisticSuite.Setting setting = new LogisticSuite.Setting(150, 150, Integer.MAX_VALUE, 1e-3, 1);
    final AtomicInteger runs = new AtomicInteger();
    final RateGrid.Result result = RateGrid.run(IRIS, setting, 1, runs::incrementAndGet);
    assertEquals(RateGrid.runs(1), runs.get());
    assertEquals(150, result.steps());
    assertEquals(IRIS.count(), result.batch());
    final double nothing = Math.log(3) / result.best()[0];
    assertEquals(nothing, result.ratios(method("AdaGrad-Norm"))[SMALLEST], 1e-3 * nothing);
    assertTrue(result.ratios(method("GradaGrad, r = 1"))[SMALLEST] < 0.5 * nothing);
    assertTrue(result.ratios(method("diagonal GradaGrad, r = 1"))[SMALLEST] < 0.5 * nothing);
    for (int m = 0; m < RateGrid.METHODS.size(); ++m) {
      assertTrue(result.ratios(m)[ONE] < 1.5, RateGrid.METHODS.get(m).name());
      for (double ratio : result.ratios(m)) assertTrue(ratio >= 1);
    }
  }

  @Test
  void reportsTheLossOfEveryRun(@TempDir Path folder) throws IOException {
    final LogisticSuite.Setting setting = new LogisticSuite.Setting(1, 8, 16, 1e-3, 1);
    final RateGrid.Result result = RateGrid.run(IRIS, setting, 2, () -> {});
    final double[][] losses = result.rows().get(0).losses();
    assertTrue(losses[ONE][0] != losses[ONE][1], "another seed is another order");
    assertEquals((losses[ONE][0] / result.best()[0] + losses[ONE][1] / result.best()[1]) / 2, result.ratios(0)[ONE], 1e-12);

    final RateGridReport report = new RateGridReport(Map.of("seeds", 2), List.of(result));
    report.write(folder);
    report.draw(folder);
    final JsonObject written = JsonParser.parseString(Files.readString(folder.resolve("result.json"))).getAsJsonObject();
    final JsonObject set = written.getAsJsonArray("results").get(0).getAsJsonObject();
    assertEquals("iris", set.get("set").getAsString());
    final JsonObject row = set.getAsJsonArray("rows").get(0).getAsJsonObject();
    assertEquals(losses[ONE][1], row.getAsJsonArray("losses").get(ONE).getAsJsonArray().get(1).getAsDouble());
    assertEquals(report.tables(), Files.readString(folder.resolve("tables.md")));
    assertTrue(report.tables().contains("| iris, batch 16 "), report.tables());
    final BufferedImage picture = ImageIO.read(folder.resolve("rates.png").toFile());
    for (RateGrid.Method method : RateGrid.METHODS) assertTrue(pixels(picture, method.colour().getRGB()) > 50, method.name());
  }

  private static int pixels(BufferedImage image, int colour) {
    int count = 0;
    for (int y = 0; y < image.getHeight(); ++y)
      for (int x = 0; x < image.getWidth(); ++x) if (image.getRGB(x, y) == colour) ++count;
    return count;
  }

  @Test
  void refusesOptionsOutOfRange() {
    for (String option : List.of("--epochs", "--steps", "--batch", "--full", "--seeds")) assertRefused(option, "0", "must be 1 or more");
    assertRefused("--decay", "-1", "--decay must be finite");
    assertRefused("--sets", "letter", "no set 'letter'");
  }

  private static void assertRefused(String option, String value, String message) {
    final StringWriter errors = new StringWriter();
    assertEquals(2, new CommandLine(new GradaGradJob()).setErr(new PrintWriter(errors, true)).execute(option, value));
    assertTrue(errors.toString().contains(message), errors.toString());
  }
}
