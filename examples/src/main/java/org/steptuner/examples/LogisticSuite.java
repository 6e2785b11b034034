// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.steptuner.Device;
import org.steptuner.GradientNorms;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.PartedOptimizer;
import org.steptuner.Schedule;
import org.steptuner.ScheduleRefinement;
import org.steptuner.StepReport;
import org.steptuner.rule.Adam;
import org.steptuner.rule.MADGRAD;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.TunerBuilder;

/**
 * One set: Adam at every rate of a grid, the best of which is what tuning gives, then every contender, all from the same start over the
 * same batches. The examples are dealt into batches once; each epoch takes the batches in an order of its own. The rate decays linearly
 * to 0, which the contenders have as their schedule too, but for those that average iterates. The gradient norms of the tuned run make a
 * refined schedule, with which Adam runs at every rate again.
 */
final class LogisticSuite {
  /** 1e-5, 3.16e-5, ... 10. */
  static final double[] GRID = new double[13];

  static {
    for (int i = 0; i < GRID.length; ++i) GRID[i] = Math.pow(10, -5 + i / 2.0);
  }

  /**
   * How a run ended.
   *
   * @param loss over all examples; infinite where the run diverged
   * @param rate the rate given, or the scale or rate that was learned by the end
   * @param largestRate the largest effective rate of a step
   */
  record Run(String name, double loss, double rate, double largestRate) {}

  /**
   * What a set gave.
   *
   * @param grid Adam at every rate
   * @param tuned the best of them
   * @param norms |g|_1 of every step of the tuned run
   * @param refined the factors of the schedule that they make
   */
  record Result(Dataset data, int steps, List<Run> grid, Run tuned, double[] norms, double[] refined, List<Run> others) {
    /** A run's loss as a multiple of the tuned one. */
    double ratio(Run run) {
      return run.loss() / tuned.loss();
    }
  }

  /**
   * What all sets share.
   *
   * @param mostSteps of a run
   * @param decay the factor of the penalty
   */
  record Setting(int epochs, int mostSteps, int batch, double decay, long seed) {}

  private final Dataset data;
  private final Setting setting;
  private final int[] examples;
  private final int batches;
  private final int steps;

  LogisticSuite(Dataset data, Setting setting) {
    this.data = data;
    this.setting = setting;
    examples = permutation(data.count(), new Random(setting.seed()));
    batches = (data.count() + setting.batch() - 1) / setting.batch();
    steps = (int) Math.min(setting.mostSteps(), (long) setting.epochs() * batches);
  }

  /**
   * Runs everything.
   *
   * @param done told of every run
   */
  Result run(List<Contender> contenders, Runnable done) {
    final List<Run> grid = grid("Adam", Adam.defaults(), linear(), done);
    final Run tuned = best(grid);
    final GradientNorms norms = new GradientNorms();
    run(tuned.name(), FixedRate.of(tuned.rate(), Adam.defaults()).gradientL1(true), tuned.rate(), linear(), norms);
    final ScheduleRefinement refinement = ScheduleRefinement.forAdam(norms.l1()).smoothed();
    final List<Run> others = new ArrayList<>();
    others.add(best(grid("Adam, refined schedule", Adam.defaults(), refinement.schedule(), done)));
    others.add(best(grid("SGD with momentum", SGD.defaults().momentum(0.9), linear(), done)));
    others.add(best(grid("MADGRAD", MADGRAD.defaults(), linear(), done)));
    for (Contender contender : contenders) {
      others.add(run(contender, contender.decays() ? linear() : Schedule.constant(), Double.NaN, null));
      done.run();
    }
    return new Result(data, steps, grid, tuned, norms.l1(), refinement.factors(), others);
  }

  /**
   * One run, without a schedule.
   *
   * @param rate the rate that it is given
   */
  Run run(String name, TunerBuilder<?> tuner, double rate) {
    return run(name, tuner, rate, Schedule.constant(), null);
  }

  int steps() {
    return steps;
  }

  /** How many runs {@link #run(List, Runnable)} tells of. */
  static int runs(List<Contender> contenders) {
    return 4 * GRID.length + contenders.size();
  }

  // The rate of the last step is above 0: at 0 some tuners do not count it.
  private Schedule linear() {
    return Schedule.linear(0, steps + 1L);
  }

  private List<Run> grid(String name, Rule rule, Schedule schedule, Runnable done) {
    final List<Run> runs = new ArrayList<>();
    for (double rate : GRID) {
      runs.add(run(name + ", best of the grid", FixedRate.of(rate, rule), rate, schedule, null));
      done.run();
    }
    return runs;
  }

  private static Run best(List<Run> runs) {
    Run best = runs.get(0);
    for (Run run : runs) if (run.loss() < best.loss()) best = run;
    return best;
  }

  private Run run(String name, TunerBuilder<?> tuner, double rate, Schedule schedule, GradientNorms norms) {
    return run(new Contender(name, problem -> tuner), schedule, rate, norms);
  }

  private Run run(Contender contender, Schedule schedule, double rate, GradientNorms norms) {
    final SoftmaxRegression model = new SoftmaxRegression(data, setting.decay());
    final int[] batch = new int[2];
    final TunerBuilder<?> tuner =
        contender.builder().apply(new Contender.Problem(batches, () -> model.loss(examples, batch[0], batch[1])));
    final Device device = Device.cpu(1);
    final ParameterSet parameters = contender.curvature() ? model.withCurvature(device) : model.on(device);
    final Random random = new Random(setting.seed());
    int[] order = {};
    boolean diverged = false;
    double learned = rate;
    double largest = 0;
    final double loss;
    try (Optimizer optimizer = tuner.schedule(schedule).build(parameters)) {
      for (int step = 0; step < steps && !diverged; ++step) {
        if (step % batches == 0) order = permutation(batches, random);
        final int part = order[step % batches];
        batch[0] = part * setting.batch();
        batch[1] = Math.min(batch[0] + setting.batch(), examples.length);
        final double batchLoss = model.backward(examples, batch[0], batch[1]);
        final StepReport report = optimizer instanceof PartedOptimizer parted ? parted.step(batchLoss, part) : optimizer.step(batchLoss);
        diverged = report.skipped();
        largest = Math.max(largest, report.effectiveRate());
        if (norms != null) norms.add(report);
      }
      if (Double.isNaN(rate)) learned = optimizer.report().learnedScale();
      optimizer.evaluating(); // where a tuner answers for an average, that is the model
      loss = model.loss();
    }
    return new Run(contender.name(), diverged || !Double.isFinite(loss) ? Double.POSITIVE_INFINITY : loss, learned, largest);
  }

  private static int[] permutation(int count, Random random) {
    final int[] order = new int[count];
    for (int i = 0; i < count; ++i) {
      final int j = random.nextInt(i + 1);
      order[i] = order[j];
      order[j] = i;
    }
    return order;
  }
}
