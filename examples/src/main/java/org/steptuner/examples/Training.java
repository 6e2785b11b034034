// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import static org.bytedeco.pytorch.global.torch.from_blob;

import java.util.Arrays;
import java.util.Random;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.StepReport;

/** Trains the network of the job with one optimizer, and measures. */
final class Training implements AutoCloseable {
  static final int BATCH = 128;
  private static final int TEST_BATCH = 1000;

  private final FashionMnist data;
  private final long seed;
  private final Device device;
  private final DataType type;
  // One batch, filled anew for every step.
  private final FloatPointer pixels = new FloatPointer((long) TEST_BATCH * FashionMnist.PIXELS);
  private final LongPointer labels = new LongPointer(TEST_BATCH);
  private final float[] row = new float[FashionMnist.PIXELS];

  /** Told of every step. */
  interface Listener {
    void stepped(Outcome soFar);
  }

  /** In float32. */
  Training(FashionMnist data, long seed, Device device) {
    this(data, seed, device, DataType.FLOAT32);
  }

  /** @param type of parameters, gradients and activations */
  Training(FashionMnist data, long seed, Device device, DataType type) {
    this.type = type;
    this.data = data;
    this.seed = seed;
    this.device = device;
  }

  /** Steps that a number of epochs takes. */
  int steps(int epochs) {
    return epochs * ((data.train().count() + BATCH - 1) / BATCH);
  }

  /** Makes some steps and forgets them, so that the first run is not charged with loading libraries and compiling. */
  void warmUp(int steps) {
    train(Run.all().get(0), 1, steps, soFar -> {});
  }

  Outcome run(Run run, int epochs, Listener listener) {
    return train(run, epochs, Integer.MAX_VALUE, listener);
  }

  private Outcome train(Run run, int epochs, int limit, Listener listener) {
    final long start = System.nanoTime();
    final int[] order = new int[data.train().count()];
    Arrays.setAll(order, i -> i);
    final Random shuffling = new Random(seed);
    try (Mlp model = new Mlp(seed, type, torch::relu, FashionMnist.PIXELS, 256, 256, FashionMnist.CLASSES);
        Muon muon = run.muon() ? new Muon(model.tensors()) : null) {
      final ParameterSet parameters = muon == null ? model.parameters(device) : model.parameters(device, muon.updates());
      final Outcome outcome = new Outcome(run, parameters, Math.min(limit, steps(epochs)), epochs);
      try (Optimizer optimizer = run.optimizer().build(parameters)) {
        for (int epoch = 0; epoch < epochs; ++epoch) {
          shuffle(order, shuffling);
          for (int from = 0; from < order.length; from += BATCH) {
            if (outcome.steps() == limit) return outcome;
            final int count = Math.min(BATCH, order.length - from);
            final double loss;
            try (PointerScope scope = new PointerScope()) {
              load(data.train(), order, from, count);
              loss = model.lossAndGradients(inputs(count), targets(count));
            }
            if (muon != null) muon.write();
            final long before = System.nanoTime();
            final StepReport report = optimizer.step(loss);
            outcome.add(report, System.nanoTime() - before);
            listener.stepped(outcome);
          }
          outcome.endEpoch(test(model));
        }
      }
      outcome.end(System.nanoTime() - start);
      return outcome;
    }
  }

  /** The share of test images whose highest score is that of their label. */
  private double test(Mlp model) {
    final FashionMnist.Examples examples = data.test();
    final int[] order = new int[examples.count()];
    Arrays.setAll(order, i -> i);
    int right = 0;
    try (NoGradGuard noGradients = new NoGradGuard()) {
      for (int from = 0; from < order.length; from += TEST_BATCH) {
        final int count = Math.min(TEST_BATCH, order.length - from);
        try (PointerScope scope = new PointerScope()) {
          load(examples, order, from, count);
          right += model.scores(inputs(count)).argmax(new LongOptional(1), false).eq(targets(count)).sum().item_int();
        }
      }
    }
    return (double) right / order.length;
  }

  private void load(FashionMnist.Examples examples, int[] order, int from, int count) {
    for (int i = 0; i < count; ++i) {
      final int example = order[from + i];
      examples.standardised(example, row);
      pixels.position((long) i * row.length).put(row, 0, row.length);
      labels.put(i, examples.labels()[example]);
    }
    pixels.position(0);
  }

  private Tensor inputs(int count) {
    return from_blob(pixels, count, FashionMnist.PIXELS);
  }

  private Tensor targets(int count) {
    return from_blob(labels, new long[] {count}, new TensorOptions(torch.ScalarType.Long));
  }

  private static void shuffle(int[] order, Random random) {
    for (int i = order.length - 1; i > 0; --i) {
      final int j = random.nextInt(i + 1);
      final int swapped = order[i];
      order[i] = order[j];
      order[j] = swapped;
    }
  }

  @Override
  public void close() {
    pixels.close();
    labels.close();
  }
}
