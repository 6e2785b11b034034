// SPDX-License-Identifier: Apache-2.0
package org.steptuner.property;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.Refusal.assertRefused;

import java.util.Arrays;
import java.util.List;
import org.steptuner.CapturableSteps;
import org.steptuner.CaptureOptions;
import org.steptuner.Optimizer;
import org.steptuner.StepReport;

/**
 * What a trainer can call, each as one action on a {@link Run}. An action that changes nothing may stand anywhere: the run then ends with
 * the bits of a run without it. So a new call of the library is a constant here, with {@code true} if it must change nothing, and all
 * properties about orders of calls have it.
 */
enum Action {
  STEP(false, (run, choice) -> run.step()),

  MULTIPLIER(false, (run, choice) -> run.multiply(List.of(1.0, 0.25, 3.0, -2.0).get(choice % 4))),

  /** Where a run cannot be frozen, that is refused, and changes nothing. */
  FREEZE(false, (run, choice) -> {
    try {
      run.optimizer().freeze();
    } catch (IllegalStateException refused) {
      assertFalse(run.optimizer().isFrozen(), refused::getMessage);
    }
  }),

  /** A trainer that holds weights within bounds. */
  PARAMETERS_MOVED(false, (run, choice) -> {
    final int tensor = choice % run.tensors();
    for (int e = 0; e < run.parameters(tensor).count(); ++e) run.parameters(tensor).set(e, run.parameters(tensor).get(e) / 2);
    run.optimizer().parametersMoved(List.of(run.name(tensor)));
  }),

  SAME_SETTINGS(true, (run, choice) -> run.changeNothing()),

  GRADIENT_NOT_FINITE(true, (run, choice) -> {
    final int tensor = run.tensorWithElements(choice);
    if (tensor < 0) return;
    run.writeGradients();
    final double[] values = {Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY};
    run.gradients(tensor).set(choice * 31 % run.gradients(tensor).count(), values[choice % 3]);
    run.refusedStep(run.loss(), StepReport.Skip.NON_FINITE_GRADIENT);
  }),

  LOSS_NOT_FINITE(true, (run, choice) -> {
    run.writeGradients();
    run.refusedStep(choice % 2 == 0 ? Double.NaN : Double.NEGATIVE_INFINITY, StepReport.Skip.NON_FINITE_LOSS);
  }),

  REBIND(true, (run, choice) -> run.move(choice % run.tensors(), choice % 2 == 0)),

  REBIND_TOGETHER(true, (run, choice) -> run.moveTogether(choice, choice % 2 == 0)),

  REBIND_TO_SET(true, (run, choice) -> run.moveToSet(choice)),

  /** Whatever gradients there are: a trainer writes those of the next step later. */
  ZERO_GRADIENTS(true, (run, choice) -> {
    if (choice % 2 == 0) run.writeGradients();
    run.optimizer().zeroGradients();
    for (int t = 0; t < run.tensors(); ++t)
      for (byte each : run.gradients(t).toBytes()) assertEquals(0, each);
  }),

  RESUME(true, (run, choice) -> Run.withFile(file -> {
    run.optimizer().save(file);
    run.resume(file);
  })),

  RESUME_FROM_BACKGROUND(true, (run, choice) -> Run.withFile(file -> {
    run.optimizer().saveInBackground(file);
    if (choice % 2 == 0) run.optimizer().scalars();
    run.optimizer().awaitSaved();
    run.resume(file);
  })),

  /** Goes some steps further, and comes back. */
  RETURN(true, (run, choice) -> Run.withFile(file -> {
    run.optimizer().save(file);
    final int steps = run.steps;
    final int skipped = run.skipped;
    for (int step = 0; step <= choice % 3; ++step) run.stepAside();
    run.optimizer().restore(file);
    run.steps = steps;
    run.skipped = skipped;
  })),

  EVALUATE(true, (run, choice) -> {
    final Optimizer optimizer = run.optimizer();
    optimizer.evaluating();
    if (optimizer.isEvaluating()) assertRefused(IllegalStateException.class, () -> optimizer.step(1), "evaluat");
    if (choice % 2 == 0) optimizer.evaluating();
    if (choice % 3 == 0) Run.withFile(optimizer::save);
    if (choice % 5 == 0) optimizer.zeroGradients();
    optimizer.training();
    assertFalse(optimizer.isEvaluating());
  }),

  SWAP_AVERAGES(true, (run, choice) -> {
    final Optimizer optimizer = run.optimizer();
    if (!optimizer.slots().contains("exponentialAverage")) {
      assertRefused(IllegalStateException.class, optimizer::swapAverages);
      return;
    }
    optimizer.swapAverages();
    assertTrue(optimizer.isEvaluating());
    assertRefused(IllegalStateException.class, () -> optimizer.step(1), "average");
    if (choice % 3 == 0) Run.withFile(optimizer::save);
    if (choice % 2 == 0) optimizer.training();
    else optimizer.swapAverages();
    assertFalse(optimizer.isEvaluating());
  }),

  SCALARS(true, (run, choice) -> assertFalse(run.optimizer().scalars().values().stream().anyMatch(v -> v.length == 0))),

  REPORT(true, (run, choice) -> {
    final StepReport report = run.optimizer().report();
    final StepReport copy = report.copy();
    assertEquals(run.steps, copy.step());
    assertEquals(report.toString(), copy.toString());
  }),

  STATE(true, (run, choice) -> {
    final List<String> slots = run.optimizer().slots();
    final int tensor = choice % run.tensors();
    if (!slots.isEmpty())
      assertEquals(run.parameters(tensor).count(), run.optimizer().state(slots.get(choice % slots.size()), run.name(tensor)).count());
  }),

  /** Where the device cannot make steps alone, that is refused; without a step nothing has changed. */
  CAPTURABLE(true, (run, choice) -> {
    final Optimizer optimizer = run.optimizer();
    try (CapturableSteps steps = optimizer.capturable(CaptureOptions.defaults().capacity(1 + choice % 5))) {
      if (choice % 2 == 0) steps.await();
      assertEquals(run.steps, steps.report().step());
      assertRefused(IllegalStateException.class, () -> optimizer.step(1), "held");
    } catch (UnsupportedOperationException refused) {
      assertTrue(refused.getMessage().startsWith("capturable()"), refused.getMessage());
    } catch (IllegalStateException refused) {
      assertTrue(refused.getMessage().matches("capturable\\(\\).*sit out.*|.*needs the loss.*|.*before capturable.*"),
          refused.getMessage());
    }
  }),

  /** What is refused changes nothing. */
  MISTAKES(true, (run, choice) -> {
    final Optimizer optimizer = run.optimizer();
    final int tensor = run.tensorWithElements(choice);
    assertRefused(IllegalArgumentException.class, () -> optimizer.setGradientMultiplier(choice % 2 == 0 ? 0 : Double.NaN));
    assertRefused(IllegalArgumentException.class, () -> optimizer.state("no slot", run.name(0)), "no slot");
    assertRefused(IllegalArgumentException.class, () -> optimizer.rebind("no tensor", 64, 64), "no tensor");
    if (tensor < 0) return;
    final long x = run.parameters(tensor).address();
    final long g = run.gradients(tensor).address();
    final long[][] wrong = {{0, g}, {x, 4096}, {4096, g}, {x + 1, g}, {x, g + 1}, {g, g}};
    final long[] one = wrong[choice % wrong.length];
    assertRefused(IllegalArgumentException.class, () -> optimizer.rebind(run.name(tensor), one[0], one[1]));
  });

  private interface Effect {
    void on(Run run, int choice);
  }

  /** All actions that must change nothing. */
  static final Action[] NEUTRAL = Arrays.stream(values()).filter(action -> action.changesNothing).toArray(Action[]::new);

  final boolean changesNothing;
  private final Effect effect;

  Action(boolean changesNothing, Effect effect) {
    this.changesNothing = changesNothing;
    this.effect = effect;
  }

  void on(Run run, int choice) {
    effect.on(run, choice);
  }

  /** After close: everything is refused, but for what always answers. */
  static void assertClosed(Run run) {
    final Optimizer optimizer = run.optimizer();
    optimizer.close();
    assertRefused(IllegalStateException.class, () -> optimizer.step(1), "closed");
    assertRefused(IllegalStateException.class, () -> optimizer.rebind(run.name(0), 64, 64), "closed");
    assertRefused(IllegalStateException.class, optimizer::zeroGradients, "closed");
    assertRefused(IllegalStateException.class, () -> optimizer.rebind(optimizer.parameters()), "closed");
    assertRefused(IllegalStateException.class, optimizer::scalars, "closed");
    assertRefused(IllegalStateException.class, optimizer::evaluating, "closed");
    assertRefused(IllegalStateException.class, optimizer::training, "closed");
    assertRefused(IllegalStateException.class, optimizer::awaitSaved, "closed");
    assertRefused(IllegalStateException.class, () -> optimizer.setGradientMultiplier(2), "closed");
    Run.withFile(file -> assertRefused(IllegalStateException.class, () -> optimizer.save(file), "closed"));
    assertEquals(run.steps, optimizer.report().copy().step());
    assertTrue(optimizer.toString() != null && optimizer.steps() == run.steps);
  }
}
