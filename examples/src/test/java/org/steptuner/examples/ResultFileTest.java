// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;

class ResultFileTest {
  @TempDir
  private Path folder;

  @Test
  void holdsWhatProgramsRead() throws IOException {
    final Outcome outcome = outcome("mechanic-adamw-per-layer", 3);
    ResultFile.write(Map.of("seed", 1), List.of(outcome), folder);
    final JsonObject run =
        JsonParser.parseString(Files.readString(folder.resolve("result.json"))).getAsJsonObject().getAsJsonArray("runs").get(0)
            .getAsJsonObject();
    assertEquals("mechanic-adamw-per-layer", run.get("name").getAsString());
    assertEquals(0.75, run.getAsJsonArray("testAccuracy").get(0).getAsDouble());
    assertEquals(3, run.get("steps").getAsInt());
    assertEquals(0.006, run.get("optimizerSeconds").getAsDouble(), 1e-12);
    assertEquals(2, run.get("optimizerMedianMilliseconds").getAsDouble(), 1e-12);
    assertEquals(5, run.get("totalSeconds").getAsDouble());
    final JsonObject scales = run.getAsJsonObject("learnedScales");
    assertEquals(Set.of("first", "second"), scales.keySet());
    final double mean = Math.sqrt(scales.get("first").getAsDouble() * scales.get("second").getAsDouble());
    assertEquals(mean, run.get("learnedScale").getAsDouble(), 1e-12 * mean);
    assertEquals(Set.of("first", "second"), run.getAsJsonObject("effectiveRates").keySet());
    assertEquals(mean, run.get("effectiveRate").getAsDouble(), 1e-12 * mean); // the base rate is 1
    assertEquals(1 + 3 * 2, Files.readAllLines(folder.resolve("curves.csv")).size());
  }

  @Test
  void oneScale() {
    final Outcome outcome = outcome("mechanic-adamw", 2);
    assertEquals(1, outcome.scopes());
    assertEquals("all", outcome.scope(0));
    assertEquals(outcome.scale(0, 1), outcome.learnedScale(), 1e-12 * outcome.learnedScale());
    assertEquals(outcome.rate(0, 1), outcome.effectiveRate(), 1e-12 * outcome.effectiveRate());
  }

  @Test
  void smoothLossesBeginWithTheFirst() {
    final double[] smooth = outcome("adamw-1e-3", 2).smoothLosses(2);
    // Losses 1 and 2, weights 1/2 and 1.
    assertArrayEquals(new double[] {1, 2.5 / 1.5}, smooth, 1e-12);
  }

  /** Of steps with the losses 1, 2, ... and of 1, 2, ... milliseconds. */
  private static Outcome outcome(String name, int steps) {
    final Run run = Run.all().stream().filter(one -> one.name().equals(name)).findFirst().orElseThrow();
    final ParameterSet parameters =
        ParameterSet.on(Device.cpu(1)).add("first", buffer(3), buffer(3)).add("second", buffer(2), buffer(2)).build();
    final Outcome outcome = new Outcome(run, parameters, steps, 1);
    try (Optimizer optimizer = run.optimizer().build(parameters)) {
      for (int step = 1; step <= steps; ++step) outcome.add(optimizer.step(step), step * 1_000_000L);
    }
    outcome.endEpoch(0.75);
    outcome.end(5_000_000_000L);
    return outcome;
  }

  private static FloatBuffer buffer(int count) {
    final FloatBuffer buffer = ByteBuffer.allocateDirect(count * Float.BYTES).order(ByteOrder.nativeOrder()).asFloatBuffer();
    for (int i = 0; i < count; ++i) buffer.put(i, i + 1);
    return buffer;
  }
}
