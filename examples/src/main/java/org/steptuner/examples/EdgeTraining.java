// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import static org.bytedeco.pytorch.global.torch.from_blob;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.Function;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.Schedule;
import org.steptuner.StepReport;
import org.steptuner.curvature.CurvatureInstruments;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.CDAT;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.TunerBuilder;

/** Gradient descent on all examples at once, with tanh between the layers, so that the loss has all derivatives. */
final class EdgeTraining implements AutoCloseable {
  /** Hidden layers. */
  static final int[] HIDDEN = {100, 100};
  /** The residual of the largest eigenvector; the error of the eigenvalue is about its square. */
  private static final double TOLERANCE = 1e-2;
  private static final int MOST_PRODUCTS = 100;
  /** Of the finite differences: their lengths, NaN for the one that the library chooses, sqrt(2^-23 (1 + |x|)). */
  static final List<Double> DISPLACEMENTS = List.of(Double.NaN, 1e-3);
  /** Curvature at every so many steps, in the comparison of costs. */
  static final int COST_EVERY = 10;

  private final FloatPointer pixels;
  private final LongPointer labels;
  private final int count;
  private final long seed;
  private final Device device;

  /**
   * Milliseconds a step, forward and backward included, medians over blocks of {@link #COST_EVERY} steps that were made in turns.
   *
   * @param plain SGD at a fixed rate
   * @param curvature CDAT with {@code <u, H u>} once a block
   * @param hessian with H u
   * @param finiteDifference with one more gradient
   */
  record Cost(double plain, double curvature, double hessian, double finiteDifference) {}

  /**
   * @param count the first so many of the examples
   */
  EdgeTraining(FashionMnist.Examples examples, int count, long seed, Device device) {
    this.count = count;
    this.seed = seed;
    this.device = device;
    pixels = new FloatPointer((long) count * FashionMnist.PIXELS);
    labels = new LongPointer(count);
    final float[] row = new float[FashionMnist.PIXELS];
    for (int i = 0; i < count; ++i) {
      examples.standardised(i, row);
      pixels.position((long) i * row.length).put(row, 0, row.length);
      labels.put(i, examples.labels()[i]);
    }
    pixels.position(0);
  }

  // A network in training.
  private final class Trainee implements AutoCloseable {
    final Mlp model = new Mlp(seed, torch::tanh, FashionMnist.PIXELS, HIDDEN[0], HIDDEN[1], FashionMnist.CLASSES);
    final ParameterSet parameters = model.parameters(device);
    final TorchCurvature curvature = new TorchCurvature(() -> model.loss(inputs(), targets()), model.tensors());
    final Optimizer optimizer;

    Trainee(Function<TorchCurvature, TunerBuilder<?>> tuner) {
      optimizer = tuner.apply(curvature).build(parameters);
    }

    double lossAndGradients() {
      try (PointerScope scope = new PointerScope()) {
        return model.lossAndGradients(inputs(), targets());
      }
    }

    @Override
    public void close() {
      optimizer.close();
      model.close();
    }
  }

  /**
   * Trains.
   *
   * @param every steps to look at the sharpness; 0 for never
   * @param listener told of every step
   */
  EdgeTrace run(EdgeRun run, int steps, int every, Consumer<EdgeTrace> listener) {
    final EdgeTrace trace = new EdgeTrace(run, steps, every);
    try (Trainee trainee = new Trainee(run.tuner());
        Optimizer exact = probe().curvature(trainee.curvature).build(trainee.parameters);
        Optimizer chosen = probe().finiteDifference(trainee.curvature).build(trainee.parameters);
        Optimizer longer = probe().finiteDifference(trainee.curvature, DISPLACEMENTS.get(1)).build(trainee.parameters)) {
      final CurvatureInstruments instruments =
          CurvatureInstruments.on(trainee.optimizer, trainee.curvature, TOLERANCE, MOST_PRODUCTS);
      while (trace.steps() < steps) {
        final long start = System.nanoTime();
        final double loss = trainee.lossAndGradients();
        final long trained = System.nanoTime() - start;
        if (!Double.isFinite(loss)) {
          trace.diverge();
          break;
        }
        if (every > 0 && trace.steps() % every == 0)
          trace.look(instruments.sharpness(), curvature(exact, loss), curvature(chosen, loss), curvature(longer, loss));
        final long before = System.nanoTime();
        final StepReport report = trainee.optimizer.step(loss);
        trace.add(report, trained + System.nanoTime() - before);
        listener.accept(trace);
      }
    }
    return trace;
  }

  // At the rate 0 its steps change nothing; greedy, so that the curvature keeps its sign.
  private static CDAT probe() {
    return CDAT.quadraticallyGreedy(SGD.defaults()).schedule(step -> 0);
  }

  private static double curvature(Optimizer probe, double loss) {
    probe.step(loss);
    return probe.scalars().get("d")[0];
  }

  /**
   * What curvature costs.
   *
   * @param rate of plain SGD, and the largest one of the others
   * @param rounds blocks of each
   */
  Cost cost(double rate, int rounds) {
    final List<Function<TorchCurvature, TunerBuilder<?>>> tuners =
        List.of(
            curvature -> FixedRate.of(rate, SGD.defaults()),
            curvature -> sparing(rate).curvature(curvature),
            curvature -> sparing(rate).hessian(curvature),
            curvature -> sparing(rate).finiteDifference(curvature));
    final List<Trainee> trainees = new ArrayList<>();
    try {
      for (Function<TorchCurvature, TunerBuilder<?>> tuner : tuners) trainees.add(new Trainee(tuner));
      final double[][] times = new double[trainees.size()][rounds];
      for (int round = -1; round < rounds; ++round) // one to warm up
        for (int i = 0; i < times.length; ++i) {
          final long start = System.nanoTime();
          for (int step = 0; step < COST_EVERY; ++step) trainees.get(i).optimizer.step(trainees.get(i).lossAndGradients());
          if (round >= 0) times[i][round] = (System.nanoTime() - start) / 1e6 / COST_EVERY;
        }
      return new Cost(
          EdgeTrace.median(times[0]), EdgeTrace.median(times[1]), EdgeTrace.median(times[2]), EdgeTrace.median(times[3]));
    } finally {
      trainees.forEach(Trainee::close);
    }
  }

  private static CDAT sparing(double rate) {
    return CDAT.tuning(SGD.defaults()).maxRate(rate).every(COST_EVERY);
  }

  private Tensor inputs() {
    return from_blob(pixels, count, FashionMnist.PIXELS);
  }

  private Tensor targets() {
    return from_blob(labels, new long[] {count}, new TensorOptions(torch.ScalarType.Long));
  }

  @Override
  public void close() {
    pixels.close();
    labels.close();
  }
}
