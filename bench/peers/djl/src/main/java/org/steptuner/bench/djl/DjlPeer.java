// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench.djl;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.training.optimizer.Optimizer;
import ai.djl.training.tracker.Tracker;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;

/** DJL's AdamW over one array, on its PyTorch engine. */
public final class DjlPeer {
  private NDManager manager;
  private NDArray parameters;
  private NDArray gradients;
  private Optimizer optimizer;

  private DjlPeer() {}

  public static void main(String[] arguments) throws IOException {
    System.setProperty("ai.djl.pytorch.num_threads", System.getProperty("threads"));
    System.setProperty("ai.djl.pytorch.num_interop_threads", "1");
    final DjlPeer peer = new DjlPeer();
    final BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line; (line = lines.readLine()) != null;) System.out.println("> " + peer.answer(line.split(" ")));
  }

  private String answer(String[] words) throws IOException {
    switch (words[0]) {
      case "size" -> start(Integer.parseInt(words[1]));
      case "time" -> {
        final long begin = System.nanoTime();
        for (int i = Integer.parseInt(words[1]); i > 0; --i) step();
        return Long.toString(System.nanoTime() - begin);
      }
      default -> {
        for (int i = 0; i < Integer.parseInt(words[1]); ++i) {
          gradients.set(values((int) gradients.size(), 100 + i, 1));
          step();
        }
        final ByteBuffer bytes = ByteBuffer.allocate((int) parameters.size() * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(parameters.toFloatArray());
        Files.write(Path.of(words[2]), bytes.array());
      }
    }
    return "done";
  }

  private void start(int size) {
    if (manager != null) manager.close();
    manager = NDManager.newBaseManager();
    parameters = manager.create(values(size, 1, 0.1f));
    gradients = manager.create(values(size, 2, 1));
    optimizer =
        Optimizer.adamW().optLearningRateTracker(Tracker.fixed(1e-3f)).optBeta1(0.9f).optBeta2(0.999f).optEpsilon(1e-8f)
            .optWeightDecays(0.01f).build();
  }

  private void step() {
    optimizer.update("x", parameters, gradients);
  }

  /** The data that every contender starts from; see streams.h. */
  private static float[] values(int count, long seed, float scale) {
    final float[] values = new float[count];
    for (int i = 0; i < count; ++i) {
      long z = (i + seed) * 0x9e3779b97f4a7c15L;
      z = (z ^ z >>> 30) * 0xbf58476d1ce4e5b9L;
      z = (z ^ z >>> 27) * 0x94d049bb133111ebL;
      z ^= z >>> 31;
      values[i] = scale * ((float) ((int) (z >>> 40) - (1 << 23)) / (1 << 23));
    }
    return values;
  }
}
