// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import javax.imageio.ImageIO;
import org.bytedeco.javacpp.FloatPointer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;

class RunSetTest {
  @Test
  void namesAreOfOneRunEach() {
    for (RunSet set : RunSet.values()) {
      final List<String> names = set.runs().stream().map(Run::name).toList();
      assertEquals(names.size(), Set.copyOf(names).size(), names.toString());
    }
  }

  @Test
  void everyPairHasTheRunsOfThePictures() {
    final Set<String> names = new HashSet<>();
    RunSet.METAOPTIMIZE.runs().forEach(run -> names.add(run.name()));
    for (MetaOptimizeRuns.Pair pair : MetaOptimizeRuns.PAIRS) {
      assertTrue(names.contains(pair.perLayer()), pair.perLayer());
      assertTrue(names.contains(pair.scalarFrom(MetaOptimizeRuns.SMALLEST)), pair.name());
      for (double initial : MetaOptimizeRuns.LARGER) assertTrue(names.contains(pair.scalarFrom(initial)), pair.scalarFrom(initial));
    }
  }

  @Test
  void learnsFromTheFirstStepSizeThatItsNameSays() {
    for (Run run : RunSet.METAOPTIMIZE.runs())
      try (Optimizer optimizer = run.optimizer().build(parameters())) {
        final int from = run.name().indexOf("-from-");
        final double initial = from < 0 ? 1e-6 : Double.parseDouble(run.name().substring(from + 6));
        assertEquals(initial, optimizer.report().learnedScale(), 1e-9 * initial, run.name());
        assertEquals(run.name().endsWith("per-layer") ? 2 : 1, optimizer.report().scopes(), run.name());
      }
  }

  @Test
  void muonRunsAtTheRateThatItsNameSays() {
    int fixed = 0;
    for (Run run : RunSet.MUON.runs()) {
      assertTrue(run.muon(), run.name());
      if (!run.fixedRate()) continue;
      ++fixed;
      try (FloatPointer x = new FloatPointer(1).put(1);
          FloatPointer g = new FloatPointer(1).put(1);
          FloatPointer u = new FloatPointer(1).put(1);
          Optimizer optimizer =
              run.optimizer().build(
                  ParameterSet.on(Device.cpu(1))
                      .add("x", x.address(), DataType.FLOAT32, g.address(), DataType.FLOAT32, u.address(), 1)
                      .build())) {
        optimizer.step();
        assertEquals(1 + Double.parseDouble(run.name().substring("muon-".length())), x.get(), 1e-6);
      }
    }
    assertEquals(MuonRuns.RATES.length, fixed);
  }

  /** Where a line was drawn, a picture has its colour. */
  @Test
  void drawsWhatWasRun(@TempDir Path folder) throws IOException {
    final List<Outcome> outcomes = new ArrayList<>();
    StepSizeCharts.write(outcomes, folder);
    final int without = coloured(folder);
    for (Run run : RunSet.METAOPTIMIZE.runs()) {
      final ParameterSet parameters = parameters();
      final Outcome outcome = new Outcome(run, parameters, 5, 1);
      try (Optimizer optimizer = run.optimizer().build(parameters)) {
        for (int step = 0; step < 5; ++step) outcome.add(optimizer.step(1), 1);
      }
      outcomes.add(outcome);
    }
    StepSizeCharts.write(outcomes, folder);
    assertEquals(0, without);
    assertTrue(coloured(folder) > 1000);
  }

  private static int coloured(Path folder) throws IOException {
    final BufferedImage image = ImageIO.read(folder.resolve("step-sizes.png").toFile());
    assertEquals(3 * Charts.WIDTH, image.getWidth());
    assertEquals(2 * Charts.HEIGHT, image.getHeight());
    int count = 0;
    for (int y = 0; y < image.getHeight(); ++y)
      for (int x = 0; x < image.getWidth(); ++x) if ((image.getRGB(x, y) & 0xffffff) == 0x0072B2) ++count;
    return count;
  }

  private static ParameterSet parameters() {
    return ParameterSet.on(Device.cpu(1)).add("first", buffer(3), buffer(3)).add("second", buffer(2), buffer(2)).build();
  }

  private static FloatBuffer buffer(int count) {
    final FloatBuffer buffer = ByteBuffer.allocateDirect(count * Float.BYTES).order(ByteOrder.nativeOrder()).asFloatBuffer();
    for (int i = 0; i < count; ++i) buffer.put(i, i + 1);
    return buffer;
  }
}
