// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import static org.bytedeco.pytorch.global.torch.from_blob;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.bytedeco.javacpp.DoublePointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.curvature.ParameterVector;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.CDAT;

/** The adapter on a network of 3-4-2 in float64, against finite differences of the loss. */
class TorchCurvatureTest {
  private static final long[][] SHAPES = {{4, 3}, {4}, {2, 4}, {2}};
  private static final int COUNT = 12 + 4 + 8 + 2;

  private final DoublePointer memory = new DoublePointer(COUNT);
  private final DoublePointer own = new DoublePointer(COUNT);
  private final DoublePointer examples = new DoublePointer(5 * 3);
  private final Tensor[] tensors = new Tensor[SHAPES.length];
  private final TorchCurvature curvature = new TorchCurvature(this::loss, List.of(network()));
  private final Random random = new Random(7);

  /** Vectors outside any optimizer. */
  private record Vector(DoubleBuffer... buffers) implements ParameterVector {
    static Vector of(double... values) {
      final DoubleBuffer[] buffers = new DoubleBuffer[SHAPES.length];
      int at = 0;
      for (int i = 0; i < SHAPES.length; ++i) {
        final int count = (int) (SHAPES[i][0] * (SHAPES[i].length == 1 ? 1 : SHAPES[i][1]));
        buffers[i] = ByteBuffer.allocateDirect(8 * count).order(ByteOrder.nativeOrder()).asDoubleBuffer();
        buffers[i].put(0, values, at, count);
        at += count;
      }
      return new Vector(buffers);
    }

    double[] values() {
      return Arrays.stream(buffers)
          .flatMapToDouble(buffer -> IntStream.range(0, buffer.capacity()).mapToDouble(buffer::get))
          .toArray();
    }

    @Override
    public ParameterSet parameters() {
      throw new UnsupportedOperationException();
    }

    @Override
    public long address(int tensor) {
      return new DoublePointer(buffers[tensor]).address();
    }

    @Override
    public FloatBuffer floats(int tensor) {
      throw new UnsupportedOperationException();
    }

    @Override
    public DoubleBuffer doubles(int tensor) {
      return buffers[tensor];
    }
  }

  private Tensor[] network() {
    final Random initial = new Random(1);
    for (int i = 0; i < COUNT; ++i) memory.put(i, initial.nextGaussian());
    for (int i = 0; i < 15; ++i) examples.put(i, initial.nextGaussian());
    long at = 0;
    for (int i = 0; i < SHAPES.length; ++i) {
      final TensorOptions options = new TensorOptions(torch.ScalarType.Double);
      tensors[i] = from_blob(memory.getPointer(at), SHAPES[i], options).set_requires_grad(true);
      tensors[i].mutable_grad().put(from_blob(own.getPointer(at), SHAPES[i], options));
      at += tensors[i].numel();
    }
    for (int i = 0; i < COUNT; ++i) own.put(i, i);
    return tensors;
  }

  private Tensor loss() {
    final Tensor inputs = from_blob(examples, new long[] {5, 3}, new TensorOptions(torch.ScalarType.Double));
    final Tensor hidden = torch.tanh(torch.linear(inputs, tensors[0], tensors[1]));
    return torch.square(torch.linear(hidden, tensors[2], tensors[3])).mean();
  }

  private double[] gaussian() {
    return random.doubles(COUNT, -1, 1).toArray();
  }

  private static double[] zeros() {
    return new double[COUNT];
  }

  private double lossAt(double[] x, double[] u, double h) {
    for (int i = 0; i < COUNT; ++i) memory.put(i, x[i] + h * u[i]);
    final double loss = curvature.loss();
    for (int i = 0; i < COUNT; ++i) memory.put(i, x[i]);
    return loss;
  }

  private double[] parameters() {
    final double[] x = new double[COUNT];
    memory.get(x);
    return x;
  }

  private static double dot(double[] a, double[] b) {
    double sum = 0;
    for (int i = 0; i < a.length; ++i) sum += a[i] * b[i];
    return sum;
  }

  @Test
  void lossIsThatOfTheGraph() {
    try (PointerScope scope = new PointerScope()) {
      assertEquals(loss().item_double(), curvature.loss());
    }
  }

  @Test
  void gradientAgreesWithDifferencesOfTheLoss() {
    final double[] x = parameters();
    final Vector gradient = Vector.of(zeros());
    curvature.gradient(gradient);
    for (int trial = 0; trial < 5; ++trial) {
      final double[] u = gaussian();
      final double h = 1e-6;
      assertEquals((lossAt(x, u, h) - lossAt(x, u, -h)) / (2 * h), dot(gradient.values(), u), 1e-8);
    }
  }

  @Test
  void productAgreesWithDifferencesOfTheGradient() {
    final double[] x = parameters();
    final double[] v = gaussian();
    final Vector product = Vector.of(zeros());
    curvature.multiply(Vector.of(v), product);
    final double h = 1e-5;
    final Vector[] sides = {Vector.of(zeros()), Vector.of(zeros())};
    for (int side = 0; side < 2; ++side) {
      for (int i = 0; i < COUNT; ++i) memory.put(i, x[i] + (side == 0 ? h : -h) * v[i]);
      curvature.gradient(sides[side]);
    }
    for (int i = 0; i < COUNT; ++i)
      assertEquals((sides[0].values()[i] - sides[1].values()[i]) / (2 * h), product.values()[i], 1e-7);
  }

  @Test
  void curvatureIsThatOfTheProduct() {
    final double[] u = gaussian();
    final Vector product = Vector.of(zeros());
    curvature.multiply(Vector.of(u), product);
    final double expected = dot(u, product.values());
    assertTrue(Math.abs(expected) > 1e-3);
    assertEquals(expected, curvature.along(Vector.of(u)), 1e-12 * Math.abs(expected));
  }

  /** As the optimizer's interfaces say: what is to be filled may be added to. */
  @Test
  void addsToWhatIsThere() {
    final double[] u = gaussian();
    final double[] before = gaussian();
    final Vector once = Vector.of(zeros());
    final Vector more = Vector.of(before);
    curvature.multiply(Vector.of(u), once);
    curvature.multiply(Vector.of(u), more);
    final double[] expected = once.values();
    for (int i = 0; i < COUNT; ++i) expected[i] += before[i];
    assertArrayEquals(expected, more.values(), 1e-14);
  }

  @Test
  void theParametersOwnGradientsStay() {
    final Vector filled = Vector.of(zeros());
    curvature.gradient(filled);
    curvature.multiply(Vector.of(gaussian()), filled);
    curvature.along(Vector.of(gaussian()));
    for (int i = 0; i < COUNT; ++i) assertEquals(i, own.get(i));
    final double[] last = filled.values();
    try (PointerScope scope = new PointerScope()) {
      loss().backward(); // into their own memory again
    }
    assertArrayEquals(last, filled.values());
    assertTrue(own.get(0) != 0);
  }

  /** All three ways lead CDAT to the same rates. */
  @Test
  void drivesCdat() {
    final double[] x = parameters();
    final double[] expected = rates(CDAT.tuning(SGD.defaults()).curvature(curvature), x);
    assertTrue(expected[0] > 0 && expected[9] > 0 && expected[0] != expected[9]);
    assertArrayEquals(expected, rates(CDAT.tuning(SGD.defaults()).hessian(curvature), x), 1e-9);
    assertArrayEquals(expected, rates(CDAT.tuning(SGD.defaults()).finiteDifference(curvature), x), 1e-4);
  }

  private double[] rates(CDAT tuner, double[] x) {
    memory.put(x);
    final ParameterSet.Builder set = ParameterSet.on(Device.cpu(1));
    long at = 0;
    for (Tensor tensor : tensors) {
      final long address = 8 * at;
      set.add("tensor" + at, memory.address() + address, own.address() + address, tensor.numel(), DataType.FLOAT64);
      at += tensor.numel();
    }
    final double[] rates = new double[10];
    try (Optimizer optimizer = tuner.build(set.build())) {
      for (int step = 0; step < rates.length; ++step)
        try (PointerScope scope = new PointerScope()) {
          own.put(zeros());
          final Tensor loss = loss();
          loss.backward();
          rates[step] = optimizer.step(loss.item_double()).learnedScale();
        }
    }
    memory.put(x);
    return rates;
  }
}
