// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Arrays;
import org.bytedeco.javacpp.FloatPointer;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.ParameterSet;

/**
 * Multinomial logistic regression: {@code mean over examples of -log softmax(W x + b)[label] + decay / 2 (|W|^2 + |b|^2)}. Two float32
 * tensors, W by classes and then features, and b; both start at 0.
 */
final class SoftmaxRegression {
  private final Dataset data;
  private final double decay;
  private final FloatBuffer weights;
  private final FloatBuffer weightGradients;
  private final FloatBuffer bias;
  private final FloatBuffer biasGradients;
  private final float[] w;
  private final float[] b;
  private final float[] wGradient;
  private final float[] bGradient;
  private final double[] scores;
  private final FloatBuffer[] curvature = new FloatBuffer[2]; // of weights and bias; null where nobody asked for it

  SoftmaxRegression(Dataset data, double decay) {
    this.data = data;
    this.decay = decay;
    w = new float[data.classes() * data.features()];
    b = new float[data.classes()];
    wGradient = new float[w.length];
    bGradient = new float[b.length];
    scores = new double[b.length];
    weights = direct(w.length);
    weightGradients = direct(w.length);
    bias = direct(b.length);
    biasGradients = direct(b.length);
  }

  private static FloatBuffer direct(int count) {
    return ByteBuffer.allocateDirect(count * Float.BYTES).order(ByteOrder.nativeOrder()).asFloatBuffer();
  }

  ParameterSet on(Device device) {
    return ParameterSet.on(device).add("weights", weights, weightGradients).add("bias", bias, biasGradients).build();
  }

  /** The same with a buffer for each tensor into which {@link #backward} writes the Hessian's diagonal. */
  ParameterSet withCurvature(Device device) {
    curvature[0] = direct(w.length);
    curvature[1] = direct(b.length);
    return ParameterSet
        .on(device)
        .add(
            "weights", address(weights), DataType.FLOAT32, address(weightGradients), DataType.FLOAT32, address(curvature[0]), w.length)
        .add("bias", address(bias), DataType.FLOAT32, address(biasGradients), DataType.FLOAT32, address(curvature[1]), b.length)
        .build();
  }

  private static long address(FloatBuffer buffer) {
    return new FloatPointer(buffer).address();
  }

  /**
   * Leaves the gradients of a batch in the gradients' buffers.
   *
   * @param examples the batch is those from {@code from} up to {@code to}
   * @return its loss
   */
  double backward(int[] examples, int from, int to) {
    read();
    Arrays.fill(wGradient, 0);
    Arrays.fill(bGradient, 0);
    if (curvature[0] != null) startCurvature();
    double loss = 0;
    for (int i = from; i < to; ++i) {
      loss += score(examples[i]);
      if (curvature[0] != null) addCurvature(examples[i], 1.0 / (to - from));
      final int at = examples[i] * data.features();
      for (int c = 0; c < b.length; ++c) {
        final float residual = (float) ((scores[c] - (c == data.labels()[examples[i]] ? 1 : 0)) / (to - from));
        bGradient[c] += residual;
        for (int f = 0; f < data.features(); ++f) wGradient[c * data.features() + f] += residual * data.values()[at + f];
      }
    }
    for (int k = 0; k < w.length; ++k) wGradient[k] += (float) decay * w[k];
    for (int c = 0; c < b.length; ++c) bGradient[c] += (float) decay * b[c];
    weightGradients.put(0, wGradient);
    biasGradients.put(0, bGradient);
    return loss / (to - from) + penalty();
  }

  private void startCurvature() {
    for (FloatBuffer buffer : curvature) for (int k = 0; k < buffer.capacity(); ++k) buffer.put(k, (float) decay);
  }

  // The second derivative of an example's loss by the score of a class is p (1 - p).
  private void addCurvature(int example, double weight) {
    final int at = example * data.features();
    for (int c = 0; c < b.length; ++c) {
      final float spread = (float) (weight * scores[c] * (1 - scores[c]));
      curvature[1].put(c, curvature[1].get(c) + spread);
      for (int f = 0; f < data.features(); ++f) {
        final int k = c * data.features() + f;
        curvature[0].put(k, curvature[0].get(k) + spread * data.values()[at + f] * data.values()[at + f]);
      }
    }
  }

  /** The loss over some examples, as in {@link #backward}; the gradients stay as they are. */
  double loss(int[] examples, int from, int to) {
    read();
    double loss = 0;
    for (int i = from; i < to; ++i) loss += score(examples[i]);
    return loss / (to - from) + penalty();
  }

  /** The loss over all examples. */
  double loss() {
    read();
    double loss = 0;
    for (int i = 0; i < data.count(); ++i) loss += score(i);
    return loss / data.count() + penalty();
  }

  private void read() {
    weights.get(0, w);
    bias.get(0, b);
  }

  private double penalty() {
    double square = 0;
    for (float value : w) square += (double) value * value;
    for (float value : b) square += (double) value * value;
    return decay / 2 * square;
  }

  /** Leaves the probabilities of an example's classes in scores, and returns its loss. */
  private double score(int example) {
    double largest = Double.NEGATIVE_INFINITY;
    for (int c = 0; c < b.length; ++c) {
      float score = b[c];
      final int at = example * data.features();
      for (int f = 0; f < data.features(); ++f) score += w[c * data.features() + f] * data.values()[at + f];
      scores[c] = score;
      largest = Math.max(largest, score);
    }
    double sum = 0;
    final double own = scores[data.labels()[example]];
    for (int c = 0; c < b.length; ++c) sum += scores[c] = Math.exp(scores[c] - largest);
    for (int c = 0; c < b.length; ++c) scores[c] /= sum;
    return Math.log(sum) - (own - largest);
  }
}
