// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

import com.google.gson.JsonObject;
import java.util.Arrays;
import java.util.List;
import java.util.function.ToDoubleFunction;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.curvature.EdgeModel;
import org.steptuner.curvature.EdgeModel.State;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.CDAT;

/**
 * Recordings without an {@code optimizer} that say themselves what they are: CDAT on a quadratic, which has {@code lam}, the eigenvalues,
 * and runs {@code sigma_...}; and toy models of the edge of stability, objects {@code eq...} with a {@code config} each.
 */
final class SelfDescribed {
  private static final double EXACT = 1e-10;
  // Largest error over largest value, after 100 steps of a run that shrinks or grows by each rounding's share.
  private static final double FLOAT32 = 1e-3;

  private double worst;
  private String where = "";

  private SelfDescribed() {}

  static boolean isQuadratic(JsonObject file) {
    return file.has("lam") && file.keySet().stream().anyMatch(name -> name.startsWith("sigma_"));
  }

  static boolean isModel(JsonObject file) {
    return file.entrySet().stream().anyMatch(e -> e.getValue() instanceof JsonObject run && run.has("config") && run.has("lambda"));
  }

  /** The worst relative error; {@code limit} says what is allowed. */
  record Finding(double worst, double limit, String where) {}

  /** f = sum lam w^2 / 2 from ones, by gradient descent under CDAT. */
  static Finding quadratic(JsonObject file, DataType type, Device device) {
    final SelfDescribed compared = new SelfDescribed();
    final Fields fields = new Fields("case", file);
    final double[] curvatures = fields.numbers("lam");
    for (String name : file.keySet())
      if (name.startsWith("sigma_")) {
        final Fields run = fields.object(name);
        compared.quadratic(name, Double.parseDouble(name.substring(6)), curvatures, run, type, device);
      }
    return new Finding(compared.worst, type == DataType.FLOAT64 ? EXACT : FLOAT32, compared.where);
  }

  private void quadratic(String name, double sigma, double[] curvatures, Fields run, DataType type, Device device) {
    final double[] rates = run.numbers("eta");
    final double[] losses = run.numbers("loss_before_step");
    final Problem problem = new Bowl(curvatures);
    final TrainerSide trainer = new TrainerSide();
    final double[] x = problem.start();
    final double[] gradient = new double[x.length];
    try (Tensors tensors = new Tensors(problem.sizes(), type)) {
      tensors.setParameters(x);
      trainer.begin(problem, tensors);
      try (Optimizer optimizer =
          CDAT.tuning(SGD.defaults()).sigma(sigma).maxRate(Double.POSITIVE_INFINITY).curvature(trainer).build(tensors.bind(device, null))) {
        for (int step = 1; step <= rates.length; ++step) {
          tensors.getParameters(x);
          final double loss = problem.evaluate(step, x, gradient);
          tensors.setGradients(gradient);
          compare(name + ".loss_before_step at step " + step, losses[step - 1], loss, losses[step - 1]);
          optimizer.step(loss);
          compare(name + ".eta at step " + step, rates[step - 1], optimizer.report().learnedScale(), rates[step - 1]);
        }
      }
      tensors.getParameters(x);
    }
    final double[] expected = run.numbers("w_final");
    double largest = 0;
    for (double w : expected) largest = Math.max(largest, Math.abs(w));
    for (int i = 0; i < x.length; ++i) compare(name + ".w_final[" + i + "]", expected[i], x[i], largest);
  }

  /** The models, from their configurations. */
  static Finding models(JsonObject file) {
    final SelfDescribed compared = new SelfDescribed();
    final Fields fields = new Fields("case", file);
    for (String name : file.keySet())
      if (file.get(name) instanceof JsonObject run && run.has("config")) compared.model(name, fields.object(name));
    return new Finding(compared.worst, EXACT, compared.where);
  }

  private void model(String name, Fields run) {
    final Fields config = run.object("config");
    final EdgeModel model = EdgeModel.of(config.number("a"), config.number("b"));
    final int steps = (int) config.number("T");
    final List<State> states;
    if (config.has("sigma"))
      states =
          model.cdat(
              config.number("sigma"), config.number("nu"), config.number("eta0"), config.number("p0"), config.number("g0"),
              config.number("lambda0"), steps);
    else if (config.has("epsilon"))
      states =
          model.belowTheEdge(
              config.number("epsilon"), config.number("eta0"), config.number("p0"), (config.number("y0") + 2) / config.number("eta0"),
              steps);
    else {
      // Where the start is written as a formula, its first recorded values say the same.
      final double rate = config.number("eta");
      final double x = config.has("x0") ? config.number("x0") : Math.sqrt(run.numbers("p")[0]);
      states = model.constantRate(rate, x, run.numbers("lambda")[0], steps);
    }
    series(name, run, "x", states, State::x);
    series(name, run, "p", states, State::p);
    series(name, run, "lambda", states, State::lambda);
    series(name, run, "eta", states, State::eta);
    series(name, run, "g", states, State::g);
    series(name, run, "y", states, State::y);
  }

  private void series(String name, Fields run, String quantity, List<State> states, ToDoubleFunction<State> value) {
    if (!run.has(quantity)) return;
    final double[] recorded = run.numbers(quantity);
    if (recorded.length != states.size())
      throw new IllFormedException(name + "." + quantity + " must have " + states.size() + " elements, not " + recorded.length);
    double largest = 0;
    for (double r : recorded) largest = Math.max(largest, Math.abs(r));
    for (int t = 0; t < recorded.length; ++t)
      compare(name + "." + quantity + " after " + t + " steps", recorded[t], value.applyAsDouble(states.get(t)), largest);
  }

  private void compare(String what, double expected, double actual, double scale) {
    final double error = Math.abs(actual - expected) / Math.abs(scale);
    if (error <= worst) return;
    worst = Double.isNaN(error) ? Double.POSITIVE_INFINITY : error;
    where = what + " is " + actual + ", recorded " + expected;
  }

  /** sum of curvatures x^2 / 2. */
  private record Bowl(double[] curvatures) implements Problem {
    @Override
    public int[] sizes() {
      return new int[] {curvatures.length};
    }

    @Override
    public double[] start() {
      final double[] ones = new double[curvatures.length];
      Arrays.fill(ones, 1);
      return ones;
    }

    @Override
    public int steps() {
      return Integer.MAX_VALUE;
    }

    @Override
    public double evaluate(int step, double[] x, double[] gradient) {
      double loss = 0;
      for (int i = 0; i < x.length; ++i) {
        gradient[i] = curvatures[i] * x[i];
        loss += gradient[i] * x[i] / 2;
      }
      return loss;
    }

    @Override
    public void hessian(int step, double[] x, double[] vector, double[] product) {
      for (int i = 0; i < x.length; ++i) product[i] = curvatures[i] * vector[i];
    }
  }
}
