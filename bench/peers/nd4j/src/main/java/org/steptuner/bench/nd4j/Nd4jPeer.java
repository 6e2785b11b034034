// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench.nd4j;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.AdamUpdater;
import org.nd4j.linalg.learning.config.Adam;

/** ND4J's Adam over one array: the updater turns the gradient into the step, in place, and the step is subtracted. */
public final class Nd4jPeer {
  private INDArray parameters;
  private INDArray gradients;
  private AdamUpdater updater;
  private int steps;

  private Nd4jPeer() {}

  public static void main(String[] arguments) throws IOException {
    Nd4j.getEnvironment().setMaxThreads(Integer.getInteger("threads"));
    Nd4j.getEnvironment().setMaxMasterThreads(Integer.getInteger("threads"));
    final Nd4jPeer peer = new Nd4jPeer();
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
          gradients.assign(Nd4j.createFromArray(values((int) gradients.length(), 100 + i, 1)));
          step();
        }
        final ByteBuffer bytes = ByteBuffer.allocate((int) parameters.length() * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(parameters.toFloatVector());
        Files.write(Path.of(words[2]), bytes.array());
      }
    }
    return "done";
  }

  private void start(int size) {
    parameters = gradients = null;
    updater = null;
    System.gc();
    parameters = Nd4j.createFromArray(values(size, 1, 0.1f));
    gradients = Nd4j.createFromArray(values(size, 2, 1));
    updater = new AdamUpdater(Adam.builder().learningRate(1e-3).build());
    updater.setState(
        Map.of(AdamUpdater.M_STATE, Nd4j.zeros(DataType.FLOAT, 1, size), AdamUpdater.V_STATE, Nd4j.zeros(DataType.FLOAT, 1, size)), true);
    gradients = gradients.reshape(1, size);
    parameters = parameters.reshape(1, size);
    steps = 0;
  }

  private void step() {
    updater.applyUpdater(gradients, steps++, 0);
    parameters.subi(gradients);
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
