// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.Function;
import org.steptuner.Device;
import org.steptuner.rule.AdamW;
import org.steptuner.tuner.FixedRate;

/**
 * The optimizer's share of a real training step. Whole steps are timed (zeroing of the gradients, forward and backward pass by libtorch,
 * the optimizer), and within them the optimizer: so it finds caches, and libtorch's threads, as a backward pass leaves them.
 */
final class TrainingSuite {
  /** The peer of an optimizer's row: the steps that its time is a part of. */
  static final String STEP = "whole training step";

  private static final List<Job> JOBS =
      List.of(
          new Job("training/mlp", TrainingMlp.shapes(), TrainingMlp::new, false),
          new Job("training/transformer", Shapes.transformer(), TrainingTransformer::new, true));
  /** Of the check: one at which a transformer learns without a warm-up. */
  private static final double CHECK_RATE = 3e-5;
  /** Of the time with one thread of OpenBLAS: what less than that all of them must take to be used. */
  private static final double CLEARLY_FASTER = 0.8;

  private TrainingSuite() {}

  /**
   * A network to train.
   *
   * @param id for the filter
   * @param largeProducts whether OpenBLAS's threads may help; over small products they only spin, and a step takes ten times as long
   */
  private record Job(String id, Shapes shapes, Function<Model, Network> network, boolean largeProducts) {
    String row(String what) {
      return "training " + shapes.name() + ": " + what;
    }
  }

  static void run(Settings settings, Results results) {
    final int all = Device.cpu(0).threads();
    for (Job job : JOBS) {
      if (!settings.wants(job.id)) continue;
      results.header("Training steps of " + job.shapes.name() + ", float32: the optimizer's part");
      Torch.threads(all);
      final int productThreads = check(job, all, settings.quick() ? 1 : 3);
      results.note(job.row("OpenBLAS with " + productThreads + " of " + all + " threads"));
      for (int threads : settings.threads())
        if (threads == all || !settings.quick()) {
          Torch.threads(threads);
          Torch.productThreads(Math.min(threads, productThreads));
          one(job, threads, settings, results);
        }
    }
  }

  /**
   * Fails the run unless gradients reach every tensor and a few steps reduce the loss: what is timed must be training. Returns the number
   * of OpenBLAS's threads, one or all, to be used: they are not libtorch's, and both sorts spin and may take each other's processors.
   */
  private static int check(Job job, int threads, int trials) {
    try (Model gradients = Model.of(job.shapes);
        TrainingStep step = new TrainingStep(job, gradients.sharing(), model -> adamW(model, threads, CHECK_RATE))) {
      Torch.productThreads(1);
      step.run();
      final float first = step.loss;
      final int unreached = step.network.unreached();
      if (unreached >= 0) throw new IllegalStateException(job.row("no gradient reaches tensor " + unreached));
      final long one = trial(step, 1, trials);
      final long all = trial(step, threads, trials);
      final String losses = String.format(Locale.ROOT, "loss %.4f, after %d steps of AdamW %.4f", first, 2 * trials, step.loss);
      if (!(step.loss < first)) throw new IllegalStateException(job.row("does not learn: " + losses)); // or is not a number
      System.out.println("checked: " + job.row(losses));
      return job.largeProducts && all < CLEARLY_FASTER * one ? threads : 1;
    }
  }

  private static long trial(TrainingStep step, int productThreads, int trials) {
    Torch.productThreads(productThreads);
    long least = Long.MAX_VALUE;
    for (int i = 0; i < trials; ++i) least = Math.min(least, step.time(1));
    return least;
  }

  private static Step adamW(Model model, int threads, double rate) {
    return Step.of(StepSuite.ADAMW_GUARDED, Device.cpu(threads), model, FixedRate.of(rate, AdamW.defaults()));
  }

  private static Step mechanic(Model model, int threads) {
    return Step.of(StepSuite.MECHANIC, Device.cpu(threads), model, StepSuite.mechanic());
  }

  private static void one(Job job, int threads, Settings settings, Results results) {
    final List<TrainingStep> all = new ArrayList<>();
    try (Model gradients = Model.of(job.shapes)) {
      // A quick run has no time for the passes alone.
      if (!settings.quick()) all.add(new TrainingStep(job, gradients.sharing(), NoOptimizer::new));
      all.add(new TrainingStep(job, gradients.sharing(), model -> adamW(model, threads, Torch.RATE)));
      all.add(new TrainingStep(job, gradients.sharing(), model -> mechanic(model, threads)));
      all.add(new TrainingStep(job, gradients.sharing(), Torch.FusedAdamW::new));
      final Rounds rounds = Rounds.of(all, settings);
      final long size = job.shapes.elements();
      for (int i = 0; i < all.size(); ++i) {
        final TrainingStep step = all.get(i);
        if (!Float.isFinite(step.loss)) throw new IllegalStateException(job.row(step.name() + " has diverged: loss " + step.loss));
        final boolean passes = step.optimizer instanceof NoOptimizer;
        final double time = passes ? rounds.time(i) : rounds.part(i);
        final Double words = step.optimizer instanceof Step ours ? ours.words() : null;
        results.add(
            new Row(job.row(step.name()), size, "float32", threads, Machine.cpu(), time, words,
                words == null ? null : words * 4 * size / time, null, passes ? null : STEP, passes ? null : rounds.share(i), null));
      }
    } finally {
      all.forEach(Contender::close);
    }
  }

  /**
   * A training step, of whose time the optimizer's part is asked about. Each contender trains a network of its own, so that no optimizer
   * disturbs another; the memory of the gradients is one, as every step begins by zeroing it.
   */
  private static final class TrainingStep implements Contender {
    private final Network network;
    private final Contender optimizer;
    private float loss;
    private double share;

    TrainingStep(Job job, Model model, Function<Model, Contender> optimizer) {
      network = job.network.apply(model);
      this.optimizer = optimizer.apply(model);
    }

    @Override
    public String name() {
      return optimizer.name();
    }

    @Override
    public void run() {
      time(1);
    }

    @Override
    public long time(int repetitions) {
      final long begin = System.nanoTime();
      long part = 0;
      for (int i = 0; i < repetitions; ++i) {
        loss = network.lossAndGradients();
        final long passed = System.nanoTime();
        optimizer.run();
        part += System.nanoTime() - passed;
      }
      final long whole = System.nanoTime() - begin;
      share = (double) part / whole;
      return whole;
    }

    @Override
    public double share() {
      return share;
    }

    @Override
    public void close() {
      optimizer.close();
    }
  }

  /** Both passes, and no step. */
  private record NoOptimizer(Model model) implements Contender {
    @Override
    public String name() {
      return "forward and backward";
    }

    @Override
    public void run() {}

    @Override
    public void close() {
      model.close();
    }
  }
}
