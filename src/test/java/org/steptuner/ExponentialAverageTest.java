// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

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
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.steptuner.TestOptimizers.Configuration;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.SGD;
import org.steptuner.rule.ScheduleFreeSGD;
import org.steptuner.tuner.Armijo;
import org.steptuner.tuner.CDAT;
import org.steptuner.tuner.DoG;
import org.steptuner.tuner.ExactSharpness;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.MetaOptimize;
import org.steptuner.tuner.NewtonRate;
import org.steptuner.tuner.Polyak;
import org.steptuner.tuner.Prodigy;
import org.steptuner.tuner.TunerBuilder;

/** The exponential average of the parameters: of every tuner, on every device, through a run's life, and in the parameters' place. */
class ExponentialAverageTest {
  private static final String SLOT = "exponentialAverage";
  private static final double DECAY = 0.8;
  private static final Device CPU = Device.cpu(2);

  // Groups out of order, so that segments are numbered differently from tensors; more than a chunk; odd sizes; an empty tensor.
  private static TestTensors tensors(int offset, DataType narrow, DataType narrower) {
    return new TestTensors()
        .add("a", FLOAT32, FLOAT32, 5003, offset)
        .group("second")
        .add("b", FLOAT64, FLOAT64, 131, offset)
        .add("empty", FLOAT32, 0)
        .group(ParameterSet.DEFAULT_GROUP)
        .add("c", narrow, narrow, 4201, offset)
        .add("d", narrower, FLOAT32, 77, offset)
        .parameters(i -> 1 + Math.sin(i) / 3);
  }

  private static TestTensors tensors(int offset) {
    return tensors(offset, BFLOAT16, FLOAT16);
  }

  private static TestTensors copy(TestTensors of) {
    final TestTensors copy = tensors(0);
    for (int t = 0; t < copy.all().size(); ++t) copy.parameters(t).copyFrom(of.parameters(t));
    return copy;
  }

  private static void gradients(TestTensors tensors, long number) {
    tensors.gradients(i -> Math.cos(i * 0.3 + number) + 0.5);
  }

  private static void train(TestTensors tensors, Optimizer optimizer, int steps) {
    for (int step = 0; step < steps; ++step) {
      gradients(tensors, optimizer.steps());
      assertFalse(optimizer.step(1 + step % 3).skipped());
    }
  }

  private static TestArray average(Optimizer optimizer, TestTensors tensors, int tensor) {
    final TestArray average = new TestArray(tensors.parameters(tensor).type().stateType(), tensors.parameters(tensor).count());
    average.buffer().put(SavedState.of(optimizer).entries().get("state/" + SLOT + "/" + tensor));
    return average;
  }

  /** The averages computed anew, in the type of the state, from the parameters as they are in memory. */
  private static final class Model implements AutoCloseable {
    private final TestTensors of;
    private final double decay;
    private final List<TestArray> averages = new ArrayList<>();
    private final double[] wide; // of the float64 tensor, by the formula with two weights
    private long steps;

    Model(TestTensors of, double decay) {
      this.of = of;
      this.decay = decay;
      for (TestTensors.Tensor t : of.all()) averages.add(new TestArray(t.parameters().type().stateType(), t.parameters().count()));
      wide = new double[of.parameters(1).count()];
    }

    void step() {
      final boolean first = ++steps == 1;
      for (int t = 0; t < averages.size(); ++t) {
        final TestArray x = of.parameters(t);
        final TestArray a = averages.get(t);
        if (first) a.fill(x::get);
        else if (a.type() == FLOAT64) a.fill(i -> a.get(i) + (1 - decay) * (x.get(i) - a.get(i)));
        else a.fill(i -> (float) a.get(i) + (float) (1 - decay) * ((float) x.get(i) - (float) a.get(i)));
      }
      for (int i = 0; i < wide.length; ++i)
        wide[i] = first ? of.parameters(1).get(i) : decay * wide[i] + (1 - decay) * of.parameters(1).get(i);
    }

    void assertSame(Optimizer optimizer, String what) {
      final SavedState saved = SavedState.of(optimizer);
      for (int t = 0; t < averages.size(); ++t)
        try (TestArray actual = new TestArray(averages.get(t).type(), averages.get(t).count())) {
          actual.buffer().put(saved.entries().get("state/" + SLOT + "/" + t));
          TestTensors.assertSameBits(averages.get(t), actual, what + ", tensor " + t);
        }
      assertArrayEquals(wide, averages.get(1).toDoubles(), 1e-12, what + ", by the other formula");
    }

    /** Whether the averages are something else than the parameters. */
    void assertBehind(String what) {
      int behind = 0;
      for (int i = 0; i < wide.length; ++i) if (wide[i] != of.parameters(1).get(i)) ++behind;
      assertTrue(behind > wide.length / 2, what + ": the average is behind in " + behind + " elements of " + wide.length);
    }

    @Override
    public void close() {
      averages.forEach(TestArray::close);
    }
  }

  static Stream<Configuration> everyTuner() {
    return Stream.of(TestOptimizers.some(), TestOptimizers.others(), looking()).flatMap(List::stream);
  }

  /** Tuners that look at curvature or at trial losses, which want wide parameters. */
  private static List<Configuration> looking() {
    return List.of(
        new Configuration("looking: CDAT", () -> CDAT.tuning(AdamW.defaults()).maxRate(0.01).every(2).curvature(u -> 1)),
        new Configuration(
            "looking: ExactSharpness", () -> ExactSharpness.tuning(SGD.defaults(), (vector, product) -> {}).maxRate(0.01)),
        new Configuration("looking: Polyak", () -> Polyak.tuning(AdamW.defaults()).maxRate(0.01).alongUpdate()),
        new Configuration("looking: Armijo", () -> Armijo.tuning(AdamW.defaults(), () -> -1e9).firstGuess(0.01)),
        new Configuration("looking: NewtonRate", () -> NewtonRate.tuning(AdamW.defaults(), 1e-3).interval(3)),
        new Configuration(
            "looking: MetaOptimize per weight", () -> MetaOptimize.tuning(AdamW.defaults()).initialStepSize(1e-3).perWeight()),
        new Configuration("looking: DoG recomputed",
            () -> DoG.tuning(SGD.defaults()).relativeDistance(1e-3).displacement(DoG.Displacement.RECOMPUTED)));
  }

  /** Steps that move, steps at the rate 0, where some tuners sweep nothing, and a step that is skipped; in every scope. */
  @ParameterizedTest
  @MethodSource("everyTuner")
  void isThatOfTheParametersAfterEveryStep(Configuration configuration) {
    for (Scope scope : Scope.values()) {
      final TunerBuilder<?> builder = configuration.builder().get();
      if (TestOptimizers.scope(builder, scope) == null && scope != Scope.ALL) continue;
      final String name = configuration + " per " + scope;
      final boolean wide = configuration.name().startsWith("looking");
      builder.exponentialAverage(DECAY).schedule(step -> step % 4 == 3 ? 0 : 1);
      try (TestTensors tensors = wide ? tensors(3, FLOAT32, FLOAT64) : tensors(3);
          Model model = new Model(tensors, DECAY);
          Optimizer optimizer = builder.build(tensors.on(CPU))) {
        for (int step = 1; step <= 8; ++step) {
          gradients(tensors, step);
          if (step == 5) tensors.gradients(1).set(7, Double.NaN);
          final StepReport report = optimizer.step(1 + step % 3);
          assertEquals(step == 5, report.skipped(), name);
          if (!report.skipped()) model.step();
          model.assertSame(optimizer, name + ", step " + step);
        }
        model.assertBehind(name);
        tensors.assertFencesStand(name);
      }
    }
  }

  static Stream<TestDevices.Candidate> devices() {
    return TestDevices.all().stream();
  }

  /** Sweeps that read x, sweeps that only write it, and none: as a follower and by itself. */
  private static List<TunerBuilder<?>> builders() {
    return List.of(
        FixedRate.of(0.01, AdamW.defaults()), Mechanic.tuning(AdamW.defaults()).scope(Scope.TENSOR).initialScale(0.01),
        Prodigy.tuning(AdamW.defaults()).maxRate(0.01).schedule(step -> step % 2), DoG.layerwise(SGD.defaults()).relativeDistance(1e-3));
  }

  @ParameterizedTest
  @MethodSource("devices")
  void sameBitsOnEveryDevice(TestDevices.Candidate candidate) {
    final Device device = candidate.open();
    for (int b = 0; b < builders().size(); ++b)
      try (TestTensors expected = tensors(0);
          TestTensors actual = tensors(5);
          Optimizer reference = builders().get(b).exponentialAverage(DECAY).build(expected.on(TestDevices.reference()));
          Optimizer optimizer = builders().get(b).exponentialAverage(DECAY).build(actual.on(device))) {
            train(expected, reference, 4);
            train(actual, optimizer, 4);
            actual.assertSameParameters(expected, candidate + ", builder " + b);
            SavedState.of(reference).assertSame(SavedState.of(optimizer), candidate + ", builder " + b);
          }
  }

  /** The run itself is as it is without an average. */
  @Test
  void changesNothingElse() {
    for (int b = 0; b < builders().size(); ++b)
      try (TestTensors with = tensors(1);
          TestTensors without = tensors(1);
          Optimizer averaging = builders().get(b).exponentialAverage(DECAY).build(with.on(CPU));
          Optimizer plain = builders().get(b).build(without.on(CPU))) {
            train(with, averaging, 5);
            train(without, plain, 5);
            with.assertSameParameters(without, "builder " + b);
            assertFalse(plain.slots().contains(SLOT));
            final List<String> slots = new ArrayList<>(plain.slots());
            slots.add(SLOT);
            assertEquals(slots, averaging.slots());
            assertEquals(FLOAT32, averaging.state(SLOT, "c").type());
            assertEquals(FLOAT64, averaging.state(SLOT, "b").type());
            assertEquals(4201, averaging.state(SLOT, "c").count());
            assertEquals(2, averaging.wordsPerElement() - plain.wordsPerElement(), "words");
          }
  }

  @Test
  void anEqualAverageStays() {
    // With two weights, each rounded to float32, 0.9999 and 0.0001, the average would creep away from a constant by 1.7e-4 of it.
    try (TestTensors tensors = TestTensors.of(FLOAT32, 33).parameters(i -> 0.1 + i);
        Optimizer optimizer = FixedRate.of(0, SGD.defaults()).exponentialAverage(0.9999).build(tensors.on(CPU))) {
      for (int step = 0; step < 3000; ++step) optimizer.step();
      try (TestArray average = average(optimizer, tensors, 0)) {
        TestTensors.assertSameBits(tensors.parameters(0), average, "average");
      }
    }
  }

  @Test
  void aRunThatIsResumedIsARunThatWasNot(@TempDir Path folder) {
    final Path file = folder.resolve("run");
    for (int b = 0; b < builders().size(); ++b)
      for (int saved : new int[] {0, 1, 3})
        try (TestTensors whole = tensors(0);
            TestTensors parted = tensors(0);
            Optimizer one = builders().get(b).exponentialAverage(DECAY).build(whole.on(CPU));
            Optimizer before = builders().get(b).exponentialAverage(DECAY).build(parted.on(CPU))) {
              train(whole, one, saved + 3);
              train(parted, before, saved);
              before.save(file);
              parted.parameters(i -> 7);
              try (Optimizer after = builders().get(b).exponentialAverage(DECAY).build(parted.on(CPU))) {
                after.restore(file);
                for (int step = saved; step < saved + 3; ++step) {
                  gradients(parted, step);
                  after.step(1 + step % 3);
                }
                SavedState.of(one).assertSame(SavedState.of(after), "builder " + b + ", saved after " + saved);
              }
            }
  }

  /** Whether there is an average is form; its decay is a setting, and the new one counts. */
  @Test
  void formAndSetting(@TempDir Path folder) {
    final Path with = folder.resolve("with");
    final Path without = folder.resolve("without");
    try (TestTensors tensors = tensors(0);
        Model model = new Model(tensors, 0.25);
        Optimizer plain = FixedRate.of(0.01, AdamW.defaults()).build(tensors.on(CPU));
        Optimizer slow = FixedRate.of(0.01, AdamW.defaults()).exponentialAverage(DECAY).build(tensors.on(CPU));
        Optimizer fast = FixedRate.of(0.01, AdamW.defaults()).exponentialAverage(0.25).build(tensors.on(CPU))) {
      train(tensors, plain, 1);
      plain.save(without);
      train(tensors, slow, 1);
      model.step();
      slow.save(with);
      final RestoreOptions lenient = RestoreOptions.lenient();
      assertRefused(CheckpointException.class, () -> plain.restore(with, lenient), SLOT, "no option");
      assertRefused(CheckpointException.class, () -> slow.restore(without, lenient), SLOT, "no option");
      assertRefused(CheckpointException.class, () -> fast.restore(with), SLOT + ".decay", "0.8", "0.25");
      final Restored restored = fast.restore(with, RestoreOptions.strict().allowSettings());
      assertEquals(List.of(SLOT + ".decay"), restored.settings().stream().map(Restored.Setting::name).toList());
      for (int step = 0; step < 3; ++step) {
        train(tensors, fast, 1);
        model.step();
      }
      model.assertSame(fast, "with the new decay");
    }
  }

  @Test
  void aTensorThatJoinsStartsWithItsOwnParameters(@TempDir Path folder) {
    final Path file = folder.resolve("run");
    try (TestTensors few = new TestTensors().add("a", FLOAT32, 41).parameters(i -> i);
        Optimizer optimizer = FixedRate.of(0.5, SGD.defaults()).exponentialAverage(DECAY).build(few.on(CPU))) {
      train(few, optimizer, 3);
      optimizer.save(file);
    }
    try (TestTensors more = new TestTensors().add("a", FLOAT32, 41).add("joins", BFLOAT16, 7).parameters(i -> i % 3);
        Optimizer optimizer = FixedRate.of(0.5, SGD.defaults()).exponentialAverage(DECAY).build(more.on(CPU))) {
      optimizer.restore(file, RestoreOptions.strict().allowNewTensors());
      try (TestArray average = average(optimizer, more, 1)) {
        assertArrayEquals(more.parameters(1).toDoubles(), average.toDoubles());
      }
      final double before = more.parameters(1).get(3);
      train(more, optimizer, 1);
      final double after = more.parameters(1).get(3);
      assertTrue(after != before);
      try (TestArray average = average(optimizer, more, 1)) {
        assertEquals(DECAY * before + (1 - DECAY) * after, average.get(3), 1e-5);
      }
    }
  }

  /** Every type there and back, on every device; what is there is the average, rounded. */
  @ParameterizedTest
  @MethodSource("devices")
  void swappingThereAndBack(TestDevices.Candidate candidate) {
    try (TestTensors tensors = tensors(3);
        Optimizer optimizer = Mechanic.tuning(AdamW.defaults()).initialScale(0.01).exponentialAverage(DECAY)
            .build(tensors.on(candidate.open()))) {
      train(tensors, optimizer, 4);
      final SavedState saved = SavedState.of(optimizer);
      try (TestTensors before = copy(tensors)) {
        for (int round = 0; round < 3; ++round) {
          optimizer.swapAverages();
          assertTrue(optimizer.isEvaluating());
          assertAverages(optimizer, tensors);
          assertTrue(tensors.parameters(0).buffer().mismatch(before.parameters(0).buffer()) >= 0, "they are others");
          saved.assertSame(SavedState.of(optimizer), "saved while swapped");
          assertTrue(optimizer.isEvaluating());
          assertAverages(optimizer, tensors);
          if (round < 2) optimizer.swapAverages();
          else optimizer.training();
          assertFalse(optimizer.isEvaluating());
          tensors.assertSameParameters(before, "back");
          tensors.assertFencesStand("there and back");
        }
        train(tensors, optimizer, 1);
      }
    }
  }

  private static void assertAverages(Optimizer optimizer, TestTensors tensors) {
    for (int t = 0; t < tensors.all().size(); ++t)
      try (TestArray average = average(optimizer, tensors, t);
          TestArray rounded = new TestArray(tensors.parameters(t).type(), average.count())) {
            rounded.fill(average::get);
            TestTensors.assertSameBits(rounded, tensors.parameters(t), "tensor " + t);
          }
  }

  @Test
  void beforeTheFirstStepTheAveragesAreTheParameters() {
    try (TestTensors tensors = tensors(0);
        Optimizer optimizer = FixedRate.of(0.01, AdamW.defaults()).exponentialAverage(DECAY).build(tensors.on(CPU))) {
      tensors.parameters(i -> i == 0 ? -0.0 : i % 50); // written after the optimizer was built
      try (TestTensors before = copy(tensors)) {
        optimizer.swapAverages();
        tensors.assertSameParameters(before, "swapped");
        assertRefused(IllegalStateException.class, optimizer::step, "swapAverages()");
        optimizer.swapAverages();
        tensors.assertSameParameters(before, "back");
      }
      // A step that is skipped is not the first one.
      tensors.gradients(i -> Double.NaN);
      assertTrue(optimizer.step().skipped());
      try (Model model = new Model(tensors, DECAY)) {
        train(tensors, optimizer, 1);
        model.step();
        model.assertSame(optimizer, "the first step");
      }
    }
  }

  @Test
  void callsThatAreRefused() {
    try (TestTensors tensors = tensors(0); Optimizer plain = FixedRate.of(0.01, AdamW.defaults()).build(tensors.on(CPU))) {
      assertRefused(IllegalStateException.class, plain::swapAverages, "exponentialAverage");
      assertFalse(plain.isEvaluating());
      assertEquals(1, plain.step().step());
    }
    for (TunerBuilder<?> builder : List.of(FixedRate.of(0.01, ScheduleFreeSGD.defaults()), FixedRate.of(0.01, SGD.defaults())))
      try (TestTensors tensors = tensors(0); Optimizer optimizer = builder.exponentialAverage(DECAY).build(tensors.on(CPU))) {
        train(tensors, optimizer, 2);
        optimizer.swapAverages();
        try (TestTensors there = copy(tensors)) {
          assertRefused(IllegalStateException.class, optimizer::step, "averages", "swapAverages()");
          assertRefused(IllegalStateException.class, optimizer::evaluating, "averages", "swapAverages()");
          tensors.assertSameParameters(there, "refused");
          assertTrue(optimizer.isEvaluating());
          assertEquals(0, optimizer.report().skippedSteps());
        }
        optimizer.swapAverages();
        train(tensors, optimizer, 1);
      }
    try (TestTensors tensors = tensors(0);
        Optimizer optimizer = FixedRate.of(0.01, ScheduleFreeSGD.defaults()).exponentialAverage(DECAY).build(tensors.on(CPU))) {
      train(tensors, optimizer, 3);
      try (TestTensors before = copy(tensors)) {
        optimizer.evaluating();
        try (TestTensors there = copy(tensors)) {
          assertRefused(IllegalStateException.class, optimizer::swapAverages, "training()");
          tensors.assertSameParameters(there, "refused");
        }
        optimizer.training();
        tensors.assertSameParameters(before, "back");
        // Both share the memory of the training parameters, one after the other.
        optimizer.swapAverages();
        assertAverages(optimizer, tensors);
        optimizer.swapAverages();
        optimizer.evaluating();
        optimizer.training();
        tensors.assertSameParameters(before, "back again");
      }
    }
  }

  @Test
  void restoringMovingAndClosingWhileSwapped(@TempDir Path folder) {
    final Path file = folder.resolve("run");
    try (TestTensors tensors = tensors(0); TestTensors elsewhere = tensors(5)) {
      final Optimizer optimizer = FixedRate.of(0.01, AdamW.defaults()).exponentialAverage(DECAY).build(tensors.on(CPU));
      train(tensors, optimizer, 3);
      optimizer.save(file);
      final SavedState saved = SavedState.of(optimizer);
      try (TestTensors before = copy(tensors)) {
        train(tensors, optimizer, 2);
        optimizer.swapAverages();
        optimizer.restore(file);
        assertFalse(optimizer.isEvaluating());
        tensors.assertSameParameters(before, "restored while swapped");
        saved.assertSame(SavedState.of(optimizer), "restored while swapped");

        optimizer.swapAverages();
        elsewhere.parameters(0).copyFrom(tensors.parameters(0));
        optimizer.rebind("a", elsewhere.parameters(0).address(), elsewhere.gradients(0).address());
        optimizer.swapAverages();
        TestTensors.assertSameBits(before.parameters(0), elsewhere.parameters(0), "a tensor that moved");
        TestTensors.assertSameBits(before.parameters(3), tensors.parameters(3), "a tensor that stayed");
      }
      optimizer.swapAverages();
      try (TestTensors there = copy(tensors)) {
        optimizer.close();
        tensors.assertSameParameters(there, "closed while swapped");
      }
      assertRefused(IllegalStateException.class, optimizer::swapAverages, "closed");
    }
  }

  @ParameterizedTest
  @ValueSource(doubles = {0, 1, -0.5, 1.5, Double.NaN, Double.POSITIVE_INFINITY})
  void aDecayThatCannotBe(double decay) {
    assertRefused(
        IllegalArgumentException.class, () -> FixedRate.of(1, SGD.defaults()).exponentialAverage(decay), "exponentialAverage", "" + decay);
  }
}
