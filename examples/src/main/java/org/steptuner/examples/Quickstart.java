// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Random;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.StepReport;
import org.steptuner.rule.AdamW;
import org.steptuner.tuner.Mechanic;

/** A trainer in plain Java, logistic regression on made-up data, that leaves its steps to Mechanic over AdamW. */
public final class Quickstart {
  private static final int EXAMPLES = 2000;
  private static final int FEATURES = 50;

  private final float[][] inputs = new float[EXAMPLES][FEATURES];
  private final boolean[] labels = new boolean[EXAMPLES];

  public static void main(String[] args) {
    new Quickstart().train();
  }

  /** Trains and prints the loss. Returns the loss of the last step. */
  double train() {
    double loss = 0;
    // README snippet: begin
    FloatBuffer weights = direct(FEATURES);
    FloatBuffer gradients = direct(FEATURES);
    ParameterSet parameters = ParameterSet.on(Device.cpu()).add("weights", weights, gradients).build();
    try (Optimizer optimizer = Mechanic.tuning(AdamW.defaults()).build(parameters)) {
      for (int step = 1; step <= 80; ++step) {
        loss = lossAndGradients(weights, gradients); // your trainer: reads weights, writes gradients
        StepReport report = optimizer.step(loss); // moves the weights in place
        if (step % 10 == 0) System.out.printf("step %d  loss %.4f  rate %.2e%n", step, loss, report.effectiveRate());
      }
    }
    // README snippet: end
    return loss;
  }

  private static FloatBuffer direct(int count) {
    return ByteBuffer.allocateDirect(count * Float.BYTES).order(ByteOrder.nativeOrder()).asFloatBuffer();
  }

  Quickstart() {
    final Random random = new Random(1);
    final double[] truth = random.doubles(FEATURES, -1, 1).toArray();
    for (int i = 0; i < EXAMPLES; ++i) {
      double score = random.nextGaussian();
      for (int j = 0; j < FEATURES; ++j) {
        inputs[i][j] = (float) random.nextGaussian();
        score += truth[j] * inputs[i][j];
      }
      labels[i] = score > 0;
    }
  }

  /** The mean logistic loss over all examples, and its gradient. */
  private double lossAndGradients(FloatBuffer weights, FloatBuffer gradients) {
    double loss = 0;
    final double[] sums = new double[FEATURES];
    for (int i = 0; i < EXAMPLES; ++i) {
      double score = 0;
      for (int j = 0; j < FEATURES; ++j) score += weights.get(j) * inputs[i][j];
      final double margin = labels[i] ? score : -score;
      loss += Math.log1p(Math.exp(-Math.abs(margin))) + Math.max(0, -margin);
      final double slope = (labels[i] ? -1 : 1) / (1 + Math.exp(margin));
      for (int j = 0; j < FEATURES; ++j) sums[j] += slope * inputs[i][j];
    }
    for (int j = 0; j < FEATURES; ++j) gradients.put(j, (float) (sums[j] / EXAMPLES));
    return loss / EXAMPLES;
  }
}
