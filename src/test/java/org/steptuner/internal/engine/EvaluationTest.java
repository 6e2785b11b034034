// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.DataType.BFLOAT16;
import static org.steptuner.DataType.FLOAT16;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.DataType.FLOAT64;
import static org.steptuner.Refusal.assertRefused;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.CheckpointException;
import org.steptuner.Device;
import org.steptuner.NonFinite;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.SavedState;
import org.steptuner.Schedule;
import org.steptuner.Scope;
import org.steptuner.TestArray;
import org.steptuner.TestDevices;
import org.steptuner.TestTensors;
import org.steptuner.rule.Coefficients;
import org.steptuner.rule.SGD;

/** The point to evaluate takes the parameters' place, as the weights of each segment say, and the training parameters come back. */
class EvaluationTest {
  private static final Device CPU = Device.cpu(2);

  /** Momentum at a fixed rate, which says that its point is a weighted sum of parameters and momentum. */
  private static final class Weighted extends TunedOptimizer {
    private final Sweep sweep;
    private final double[][] weights; // by segment; null: there is no such point
    private int asked;

    Weighted(Engine engine, double[][] weights) {
      super(engine);
      this.weights = weights;
      sweep = plan.bind("fixed_rate", ruleKernel());
    }

    @Override
    protected boolean advance(long step) {
      if (!guard.guard()) return false;
      sweep.put("gradientScale", sourceScale());
      for (int segment = 0; segment < plan.segments(); ++segment) {
        putRule(sweep, segment);
        sweep.set(segment);
      }
      sweep.run();
      return true;
    }

    @Override
    protected String averageSlot() {
      return weights == null ? null : "momentum";
    }

    @Override
    protected void putAverage(int segment, Coefficients to) {
      ++asked;
      if (weights[segment] == null) super.putAverage(segment, to);
      else to.put("parameterWeight", weights[segment][0]).put("averageWeight", weights[segment][1]);
    }

    @Override
    protected double baseRate() {
      return 0.1;
    }

    @Override
    protected int sweepWords() {
      return sweep.words();
    }

    @Override
    protected void name(Scalars scalars) {}
  }

  private static BoundOptimizer optimizer(ParameterSet parameters, Scope scope, double[]... weights) {
    final Settings settings =
        new Settings(
            SGD.defaults().momentum(0.9), Map.of(), Schedule.constant(), null, null, scope, NonFinite.SKIP, 1, Double.POSITIVE_INFINITY,
            null,
            false, 0, new Description("weighted"), List.of("momentum"), List.of(), Settings.ALWAYS, true, false, Double.NaN, null, true,
            Precision.PLAIN);
    return (BoundOptimizer) Engine.build(settings, parameters, engine -> new Weighted(engine, weights));
  }

  // Groups out of order: segments are then numbered differently from tensors.
  private static TestTensors tensors(int offset) {
    return new TestTensors()
        .add("a", FLOAT32, FLOAT32, 5000, offset)
        .group("second")
        .add("b", FLOAT64, FLOAT64, 130, offset)
        .add("empty", FLOAT32, 0)
        .group(ParameterSet.DEFAULT_GROUP)
        .add("c", BFLOAT16, BFLOAT16, 4200, offset)
        .add("d", FLOAT16, FLOAT32, 77, offset)
        .parameters(i -> 1 + Math.sin(i) / 3);
  }

  private static void train(TestTensors tensors, Optimizer optimizer, int steps) {
    for (int step = 0; step < steps; ++step) {
      final long t = optimizer.steps();
      tensors.gradients(i -> Math.cos(i * 0.3 + t));
      optimizer.step();
    }
  }

  private static TestTensors copy(TestTensors of) {
    final TestTensors copy = tensors(0);
    for (int t = 0; t < copy.all().size(); ++t) copy.parameters(t).copyFrom(of.parameters(t));
    return copy;
  }

  /** The momentum of a tensor, from what a checkpoint holds. */
  private static TestArray momentum(SavedState state, TestTensors tensors, int tensor) {
    final TestArray parameters = tensors.parameters(tensor);
    final TestArray momentum = new TestArray(parameters.type().stateType(), parameters.count());
    momentum.buffer().put(state.entries().get("state/momentum/" + tensor));
    return momentum;
  }

  static Stream<TestDevices.Candidate> devices() {
    return TestDevices.all().stream();
  }

  /** a x + b m in the type of the state, rounded to that of the parameters; and every bit back. */
  @ParameterizedTest
  @MethodSource("devices")
  void everyTypeThereAndBack(TestDevices.Candidate candidate) {
    final Device device = candidate.open();
    final double[][] weights = {{1, -0.25}, {0.75, 2}};
    try (TestTensors tensors = tensors(3); BoundOptimizer optimizer = optimizer(tensors.on(device), Scope.ALL, weights)) {
      train(tensors, optimizer, 5);
      final SavedState saved = SavedState.of(optimizer);
      try (TestTensors before = copy(tensors)) {
        for (int round = 0; round < 2; ++round) {
          optimizer.evaluating();
          assertTrue(optimizer.isEvaluating());
          for (int t = 0; t < 5; ++t) assertPoint(before, tensors, t, saved, t == 1 || t == 2 ? weights[1] : weights[0]);
          optimizer.training();
          assertFalse(optimizer.isEvaluating());
          tensors.assertSameParameters(before, "back");
          tensors.assertFencesStand("there and back");
        }
      }
    }
  }

  private static void assertPoint(TestTensors before, TestTensors now, int tensor, SavedState state, double[] weights) {
    try (TestArray momentum = momentum(state, before, tensor);
        TestArray expected = new TestArray(before.parameters(tensor).type(), momentum.count())) {
      final TestArray x = before.parameters(tensor);
      expected.fill(
          i -> x.type() == FLOAT64
              ? weights[0] * x.get(i) + weights[1] * momentum.get(i)
              : (float) (weights[0] * x.get(i)) + (float) (weights[1] * momentum.get(i)));
      TestTensors.assertSameBits(expected, now.parameters(tensor), "tensor " + tensor);
    }
  }

  /** By default the point is the slot itself; with the weight 0 neither leaves a trace, not even of what is not finite. */
  @Test
  void whatHasNoWeightLeavesNoTrace() {
    try (TestTensors tensors = tensors(0);
        BoundOptimizer optimizer = optimizer(tensors.on(CPU), Scope.TENSOR, null, new double[] {1, 0}, new double[] {0, 1}, null, null)) {
      train(tensors, optimizer, 2);
      final SavedState saved = SavedState.of(optimizer);
      tensors.parameters(0).setBits(7, 0xff800000L); // minus infinity
      try (TestTensors before = copy(tensors); TestArray momentum = momentum(saved, tensors, 0)) {
        optimizer.evaluating();
        TestTensors.assertSameBits(momentum, tensors.parameters(0), "the slot itself");
        optimizer.training();
        tensors.assertSameParameters(before, "back");
      }
    }
    try (TestTensors tensors = TestTensors.of(FLOAT32, 4);
        BoundOptimizer optimizer = optimizer(tensors.on(CPU), Scope.ALL, new double[] {1, 0})) {
      tensors.gradients(i -> i);
      optimizer.step();
      tensors.parameters(i -> i == 0 ? -0.0 : i == 1 ? Double.NEGATIVE_INFINITY : i);
      final byte[] before = tensors.parameters(0).toBytes();
      optimizer.evaluating();
      assertArrayEquals(before, tensors.parameters(0).toBytes(), "the parameters themselves, -0 and all");
    }
  }

  @Test
  void callingTwiceIsHarmless() {
    try (TestTensors tensors = tensors(0);
        BoundOptimizer optimizer = optimizer(tensors.on(CPU), Scope.ALL, new double[][] {{1, 1}, {1, 1}})) {
      optimizer.training();
      train(tensors, optimizer, 3);
      try (TestTensors before = copy(tensors)) {
        optimizer.evaluating();
        try (TestTensors there = copy(tensors)) {
          optimizer.evaluating();
          tensors.assertSameParameters(there, "the point of the training parameters, not of the point");
          assertEquals(optimizer.plan().segments(), ((Weighted) optimizer.tuned()).asked);
        }
        optimizer.training();
        optimizer.training();
        tensors.assertSameParameters(before, "back");
      }
    }
  }

  /** A tuner that has no such point: both calls change nothing, and a step may follow either. */
  @Test
  void withoutAnAverageNothingChanges() {
    try (TestTensors tensors = tensors(0); BoundOptimizer optimizer = optimizer(tensors.on(CPU), Scope.ALL, (double[][]) null)) {
      train(tensors, optimizer, 1);
      try (TestTensors before = copy(tensors)) {
        optimizer.evaluating();
        assertFalse(optimizer.isEvaluating());
        tensors.assertSameParameters(before, "evaluating");
        optimizer.training();
        tensors.assertSameParameters(before, "training");
        optimizer.evaluating();
        assertEquals(2, optimizer.step().step());
      }
    }
  }

  @Test
  void aStepWhileEvaluatingIsRefused() {
    try (TestTensors tensors = tensors(0);
        BoundOptimizer optimizer = optimizer(tensors.on(CPU), Scope.ALL, new double[][] {{1, 1}, {1, 1}})) {
      train(tensors, optimizer, 2);
      optimizer.evaluating();
      try (TestTensors there = copy(tensors)) {
        assertRefused(IllegalStateException.class, optimizer::step, "training()");
        assertRefused(IllegalStateException.class, () -> optimizer.step(1), "training()");
        tensors.assertSameParameters(there, "refused");
      }
      assertEquals(2, optimizer.steps());
      assertEquals(0, optimizer.report().skippedSteps());
      optimizer.training();
      assertEquals(3, optimizer.step().step());
    }
  }

  /** A file is the same whichever point is in place; reading it ends in training; a refused file leaves the point. */
  @Test
  void checkpointsInBothModes(@TempDir Path folder) throws Exception {
    final Path file = folder.resolve("saved");
    final double[][] weights = {{0.5, 0.5}, {1, -3}};
    try (TestTensors tensors = tensors(0); BoundOptimizer optimizer = optimizer(tensors.on(CPU), Scope.ALL, weights)) {
      train(tensors, optimizer, 4);
      final SavedState training = SavedState.of(optimizer);
      try (TestTensors before = copy(tensors)) {
        optimizer.evaluating();
        try (TestTensors there = copy(tensors)) {
          optimizer.save(file);
          training.assertSame(SavedState.read(file), "saved while evaluating");
          assertTrue(optimizer.isEvaluating());
          tensors.assertSameParameters(there, "saving is looking");
          assertRefused(
              java.io.UncheckedIOException.class, () -> optimizer.save(folder.resolve("no such folder").resolve("file")), "cannot save");
          tensors.assertSameParameters(there, "a save that failed");
        }
        optimizer.training();
        tensors.assertSameParameters(before, "back after saving");
        train(tensors, optimizer, 3);
        optimizer.evaluating();
        optimizer.restore(file);
        assertFalse(optimizer.isEvaluating());
        tensors.assertSameParameters(before, "restored while evaluating");
        training.assertSame(SavedState.of(optimizer), "restored while evaluating");
        optimizer.evaluating();
        optimizer.training();
        tensors.assertSameParameters(before, "there and back after restoring");
      }
    }
    try (TestTensors other = TestTensors.of(FLOAT32, 3).gradients(i -> 1);
        BoundOptimizer optimizer = optimizer(other.on(CPU), Scope.ALL, new double[] {0, 1})) {
      optimizer.step();
      optimizer.evaluating();
      assertRefused(CheckpointException.class, () -> optimizer.restore(file), "another optimizer");
      assertTrue(optimizer.isEvaluating());
      assertArrayEquals(new double[] {1, 1, 1}, other.values(), 0, "a file that was refused");
      optimizer.training();
      assertArrayEquals(new double[] {-0.1f, -0.1f, -0.1f}, other.values(), 0);
    }
  }

  /** A tensor that moves while evaluating takes its point along, and finds its training parameters at the new place. */
  @Test
  void rebindingWhileEvaluating() {
    try (TestTensors tensors = tensors(0);
        TestTensors elsewhere = tensors(5);
        BoundOptimizer optimizer = optimizer(tensors.on(CPU), Scope.ALL, new double[][] {{1, 1}, {1, 1}})) {
      train(tensors, optimizer, 2);
      try (TestTensors before = copy(tensors)) {
        optimizer.evaluating();
        for (int t : new int[] {0, 1, 3}) {
          elsewhere.parameters(t).copyFrom(tensors.parameters(t));
          optimizer.rebind(tensors.all().get(t).name(), elsewhere.parameters(t).address(), elsewhere.gradients(t).address());
        }
        try (TestTensors there = copy(tensors)) {
          optimizer.training();
          for (int t : new int[] {0, 1, 3}) {
            TestTensors.assertSameBits(before.parameters(t), elsewhere.parameters(t), "moved tensor " + t);
            TestTensors.assertSameBits(there.parameters(t), tensors.parameters(t), "where tensor " + t + " was");
          }
          TestTensors.assertSameBits(before.parameters(4), tensors.parameters(4), "a tensor that stayed");
        }
      }
    }
  }

  @Test
  void closingLeavesThePoint() {
    try (TestTensors tensors = TestTensors.of(FLOAT64, 3).gradients(i -> i)) {
      final BoundOptimizer optimizer = optimizer(tensors.on(CPU), Scope.ALL, new double[] {0, 1});
      optimizer.step();
      optimizer.evaluating();
      optimizer.close();
      assertTrue(optimizer.isEvaluating());
      assertArrayEquals(new double[] {0, 1, 2}, tensors.values(), 0);
      assertRefused(IllegalStateException.class, optimizer::training, "closed");
      assertRefused(IllegalStateException.class, optimizer::evaluating, "closed");
    }
  }

  /** Four words there, two back, and no state: a checkpoint and a step are as they would be without. */
  @Test
  void whatItCosts() {
    assertEquals(4, words("evaluating"));
    assertEquals(2, words("training"));
    try (TestTensors tensors = tensors(0);
        BoundOptimizer optimizer = optimizer(tensors.on(CPU), Scope.ALL, new double[][] {{1, 1}, {1, 1}})) {
      final double words = optimizer.wordsPerElement();
      optimizer.evaluating();
      assertEquals(words, optimizer.wordsPerElement());
      assertEquals(List.of("momentum"), optimizer.slots());
    }
  }

  private static int words(String sweep) {
    final List<Integer> words = new ArrayList<>();
    for (Kernel.Operand operand : Kernel.find(sweep, "").operands()) words.add(operand.words());
    return words.stream().mapToInt(Integer::intValue).sum();
  }
}
