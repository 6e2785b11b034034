// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
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
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import javax.imageio.ImageIO;
import org.bytedeco.openblas.global.openblas;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.steptuner.Device;
import picocli.CommandLine;

/** The runs at the edge of stability, on a few images of noise. */
class EdgeTest {
  private static final int COUNT = 30;
  private static final int STEPS = 12;
  private static final int EVERY = 5;

  private final EdgeTraining training = new EdgeTraining(noise(), COUNT, 1, Device.cpu(1));

  // As the job does: on products as small as these, threads wait for each other.
  @BeforeAll
  static void oneThread() {
    openblas.blas_set_num_threads(1);
    torch.set_num_threads(1);
  }

  @AfterEach
  void close() {
    training.close();
  }

  private static FashionMnist.Examples noise() {
    final Random random = new Random(1);
    final byte[] pixels = new byte[COUNT * FashionMnist.PIXELS];
    random.nextBytes(pixels);
    final byte[] labels = new byte[COUNT];
    for (int i = 0; i < COUNT; ++i) labels[i] = (byte) (i % FashionMnist.CLASSES);
    return new FashionMnist.Examples(COUNT, pixels, labels);
  }

  private EdgeTrace run(EdgeRun run, int every) {
    return training.run(run, STEPS, every, trace -> {});
  }

  private static List<EdgeRun> all() {
    final List<EdgeRun> all = new ArrayList<>(List.of(EdgeRun.constant(0.125)));
    all.addAll(EdgeRun.classical());
    all.addAll(EdgeRun.onTheEdge());
    return all;
  }

  @Test
  void standardisesPixels() {
    final float[] row = new float[FashionMnist.PIXELS];
    final FashionMnist.Examples examples = noise();
    examples.standardised(2, row);
    assertEquals(((examples.pixels()[2 * FashionMnist.PIXELS + 3] & 0xff) / 255.0 - 0.286) / 0.353, row[3], 1e-6);
  }

  @Test
  void namesAreOfOneRunEach() {
    final Set<String> names = new HashSet<>();
    for (EdgeRun run : all()) assertTrue(names.add(run.name()), run.name());
  }

  /** Sharpness and curvature are read on the way, and the run goes the same way. */
  @Test
  void instrumentsChangeNothing() {
    for (EdgeRun run : all()) {
      final EdgeTrace watched = run(run, EVERY);
      assertArrayEquals(run(run, 0).losses(), watched.losses(), run.name());
      assertArrayEquals(new double[] {1, 6, 11}, watched.lookedAt(), run.name());
      assertTrue(watched.losses()[STEPS - 1] < watched.losses()[0], run.name());
      for (int look = 0; look < 3; ++look) {
        assertTrue(watched.sharpness()[look] > 0, run.name());
        assertEquals(watched.rates()[look * EVERY] * watched.sharpness()[look], watched.edge()[look], run.name());
        assertTrue(watched.differences(0)[look] < 0.05 && watched.differences(1)[look] < 0.5, run.name());
      }
    }
  }

  @Test
  void curvatureAlongTheGradientIsAtMostTheSharpness() {
    final EdgeTrace greedy = run(EdgeRun.onTheEdge().get(0), EVERY); // its rate is the inverse of that curvature
    for (int look = 0; look < 3; ++look) assertTrue(greedy.edge()[look] > 0.99, "" + greedy.edge()[look]);
  }

  @Test
  void aRunWithoutALossDiverges() {
    final EdgeTrace trace = run(EdgeRun.constant(1e38), EVERY);
    assertTrue(trace.steps() < STEPS);
    assertEquals(Double.POSITIVE_INFINITY, trace.finalLoss());
  }

  @Test
  void finalLossIsTheMeanOfFive() {
    final EdgeTrace trace = run(EdgeRun.constant(0.125), 0);
    double sum = 0;
    for (int step = STEPS - 5; step < STEPS; ++step) sum += trace.losses()[step];
    assertEquals(sum / 5, trace.finalLoss(), 1e-12);
    assertTrue(trace.medianMilliseconds() > 0);
  }

  @Test
  void medianOfAnEvenNumber() {
    assertEquals(2.5, EdgeTrace.median(new double[] {4, 1, 3, 2}));
  }

  @Test
  void reportsWhatWasRun(@TempDir Path folder) throws IOException {
    final EdgeTrace constant = run(EdgeRun.constant(0.125), EVERY);
    final EdgeReport report =
        new EdgeReport(
            Map.of("seed", 1), List.of(run(EdgeRun.constant(0.125), 0), run(EdgeRun.constant(1e38), 0)), constant,
            EdgeRun.classical().stream().map(run -> run(run, EVERY)).toList(),
            EdgeRun.onTheEdge().stream().map(run -> run(run, EVERY)).toList(), training.cost(0.125, 2));
    report.write(folder);
    final JsonObject result = JsonParser.parseString(Files.readString(folder.resolve("result.json"))).getAsJsonObject();
    assertEquals(8, result.getAsJsonArray("runs").size());
    assertEquals(constant.finalLoss(), result.getAsJsonObject("grid").get("constant-0.125").getAsDouble());
    final JsonObject first = result.getAsJsonArray("runs").get(0).getAsJsonObject();
    assertEquals(constant.sharpness()[2], first.get("finalSharpness").getAsDouble());
    assertEquals(8 * 3, result.getAsJsonArray("finiteDifferences").get(1).getAsJsonObject().get("looks").getAsInt());
    assertTrue(result.getAsJsonObject("milliseconds").get("finiteDifference").getAsDouble() > 0);
    final List<String> curves = Files.readAllLines(folder.resolve("curves.csv"));
    assertEquals(1 + 8 * STEPS, curves.size());
    assertEquals(8 * 3, curves.stream().skip(1).filter(line -> !line.endsWith(",")).count());
    final StringWriter table = new StringWriter();
    report.print(new PrintWriter(table, true));
    for (EdgeRun run : all()) assertTrue(table.toString().contains(run.name()), run.name());

    EdgeCharts.write(report, folder);
    EdgeCharts.writeModels(folder);
    for (EdgeRun run : EdgeRun.classical()) assertTrue(drawn(folder.resolve("classical.png"), run.colour().getRGB()) > 100, run.name());
    for (EdgeRun run : EdgeRun.onTheEdge()) assertTrue(drawn(folder.resolve("cdat.png"), run.colour().getRGB()) > 100, run.name());
    assertTrue(drawn(folder.resolve("toy-models.png"), 0xff0072B2) > 1000);
  }

  private static int drawn(Path file, int colour) throws IOException {
    final BufferedImage image = ImageIO.read(file.toFile());
    int count = 0;
    for (int y = 0; y < image.getHeight(); ++y)
      for (int x = 0; x < image.getWidth(); ++x) if (image.getRGB(x, y) == colour) ++count;
    return count;
  }

  @Test
  void refusesOptionsOutOfRange() {
    for (String option : List.of("--steps", "--examples", "--every", "--threads")) {
      final StringWriter errors = new StringWriter();
      assertEquals(2, new CommandLine(new EdgeJob()).setErr(new PrintWriter(errors, true)).execute(option, "0"));
      assertTrue(errors.toString().contains(option + " must be 1 or more, not 0"), errors.toString());
    }
  }
}
