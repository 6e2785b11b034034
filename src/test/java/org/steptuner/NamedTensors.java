// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import java.util.ArrayList;
import java.util.List;

/** Tensors whose parameters and gradients depend on their names and not on their places, so that sets of them can be compared by name. */
public final class NamedTensors {
  /** A tensor to be made. */
  public record Spec(String name, String group, DataType type, int count) {
    public Spec named(String other) {
      return new Spec(other, group, type, count);
    }

    public Spec in(String other) {
      return new Spec(name, other, type, count);
    }
  }

  private NamedTensors() {}

  /** Three tensors of different types and counts in two groups, the second group in the middle. */
  public static List<Spec> usual() {
    return new ArrayList<>(
        List.of(
            new Spec("w", "default", DataType.FLOAT32, 41), new Spec("b", "bias", DataType.BFLOAT16, 7),
            new Spec("v", "default", DataType.FLOAT64, 13)));
  }

  /** The tensors, with parameters from 1 to 3 that change with the seed. */
  public static TestTensors make(List<Spec> specs, int seed) {
    final TestTensors tensors = new TestTensors();
    for (Spec spec : specs) tensors.group(spec.group).add(spec.name, spec.type, spec.count);
    for (TestTensors.Tensor tensor : tensors.all()) tensor.parameters().fill(i -> 1 + (i + seed) % 3);
    return tensors;
  }

  /** Gradients from 0.5 to 1.5, by tensor and step. */
  public static void gradients(TestTensors tensors, int step) {
    for (TestTensors.Tensor tensor : tensors.all()) {
      final int phase = tensor.parameters().count(); // not the name: it may have been changed
      tensor.gradients().fill(i -> 1 + Math.sin(i + 3 * step + phase) / 2);
      tensor.updates().fill(i -> -tensor.gradients().get(i));
    }
  }

  /** Steps with those gradients and a loss. */
  public static void train(TestTensors tensors, Optimizer optimizer, int from, int to) {
    for (int step = from; step < to; ++step) {
      gradients(tensors, step);
      optimizer.step(2 - 0.01 * step);
    }
  }

  public static TestTensors.Tensor find(TestTensors tensors, String name) {
    return tensors.all().stream().filter(tensor -> tensor.name().equals(name)).findFirst().orElseThrow();
  }
}
